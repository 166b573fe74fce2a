"""Metrics in Prometheus' text format (version 0.0.4), written by hand: it is a page of text."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from springline.runtime.base import RelationStatus, Status

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

BUCKETS_MS = (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)

Sample = tuple[str, dict[str, str], float]


class RequestMetrics:
    """Counts requests by route and status, and how long they took until the response began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._buckets: Counter[tuple[str, float]] = Counter()
        self._sums: Counter[str] = Counter()

    def record(self, method: str, route: str, status: int, seconds: float) -> None:
        with self._lock:
            self._requests[(method, route, status)] += 1
            self._sums[route] += seconds  # type: ignore[assignment]
            for bucket in BUCKETS_MS:
                if seconds * 1_000 <= bucket:
                    self._buckets[(route, bucket)] += 1

    def lines(self) -> list[str]:
        with self._lock:
            requests, buckets, sums = dict(self._requests), dict(self._buckets), dict(self._sums)
        counts: Counter[str] = Counter()
        for (_, route, _), number in requests.items():
            counts[route] += number
        samples: list[Sample] = []
        for route in sorted(counts):
            for bucket in BUCKETS_MS:
                labels = {"route": route, "le": repr(bucket / 1_000)}
                samples.append(("_bucket", labels, buckets.get((route, bucket), 0)))
            samples.append(("_bucket", {"route": route, "le": "+Inf"}, counts[route]))
            samples.append(("_sum", {"route": route}, sums[route]))
            samples.append(("_count", {"route": route}, counts[route]))
        return [
            *_family(
                "springline_http_requests_total",
                "counter",
                "Requests by route and status.",
                (
                    ("", {"method": method, "route": route, "status": str(status)}, number)
                    for (method, route, status), number in sorted(requests.items())
                ),
            ),
            *_family(
                "springline_http_seconds", "histogram", "Time until the response began, seconds.", samples
            ),
        ]


class Measure:
    """The middleware that fills :class:`RequestMetrics`. Routes are templates, so that ids never become labels."""

    def __init__(self, app: ASGIApp, *, metrics: RequestMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()

        async def measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", None) or "other"
                self._metrics.record(scope["method"], route, message["status"], time.perf_counter() - started)
            await send(message)

        await self._app(scope, receive, measured)


def status_lines(status: Status) -> list[str]:
    """The pipeline's metrics."""
    lines = [
        *_family(
            "springline_up",
            "gauge",
            "1 while the runtime is running.",
            [("", {}, float(status.state == "running"))],
        ),
        *_family("springline_tick", "counter", "Number of the last tick.", [("", {}, status.tick)]),
        *_family("springline_changes_total", "counter", "Changes applied.", [("", {}, status.changes_total)]),
        *_family(
            "springline_commit_to_visible_seconds",
            "gauge",
            "From the source's commit to the tick's, over the last minute.",
            (
                ("", {"quantile": name}, value / 1_000)
                for name, value in sorted(status.commit_to_visible_ms.items())
            ),
        ),
        *_family(
            "springline_file_bytes",
            "gauge",
            "Size of the files of the data folder.",
            (
                ("", {"file": n}, v)
                for n, v in (
                    ("log", status.log_bytes),
                    ("state", status.state_bytes),
                    ("wal", status.wal_bytes),
                )
            ),
        ),
        *_family("springline_dead_letters", "gauge", "Dead letters.", [("", {}, status.dead_letters)]),
        *_family("springline_errors", "gauge", "Errors shown in the status.", [("", {}, len(status.errors))]),
    ]
    return [*lines, *_relation_lines(status), *_source_lines(status), *_knowledge_lines(status)]


def _relation_lines(status: Status) -> list[str]:
    def family(name: str, help_text: str, value: Callable[[RelationStatus], float | None]) -> list[str]:
        found = [({"relation": one.name, "kind": one.kind}, value(one)) for one in status.relations]
        return _family(
            name, "gauge", help_text, [("", labels, float(one)) for labels, one in found if one is not None]
        )

    return [
        *family(
            "springline_view_rows_left_out",
            "Rows of a view on which an expression fails.",
            lambda one: one.left_out if one.kind == "view" else None,
        ),
        *family("springline_relation_rows", "Rows of a table or view.", lambda one: one.rows),
        *family(
            "springline_relation_state_bytes",
            "What a relation takes in the state, indexes and upkeep included.",
            lambda one: one.state_bytes,
        ),
        *family(
            "springline_view_building",
            "1 while a view's next version is being built.",
            lambda one: one.building is not None if one.kind == "view" else None,
        ),
        *family(
            "springline_relation_live",
            "1 while a relation is live, 0 while it loads, is built or is stopped.",
            lambda one: one.state == "live",
        ),
    ]


def _source_lines(status: Status) -> list[str]:
    sources = sorted(status.sources.items())
    optional = (
        ("behind_bytes", "What the source holds that is not captured yet."),
        ("retained_bytes", "What the source keeps on disk because of us."),
    )
    lines = _family(
        "springline_source_streaming",
        "gauge",
        "1 while a source is streaming.",
        (("", {"source": name}, float(source.state == "streaming")) for name, source in sources),
    )
    for attribute, help_text in optional:
        values = ((name, getattr(source, attribute)) for name, source in sources)
        samples = [("", {"source": name}, float(value)) for name, value in values if value is not None]
        lines += _family(f"springline_source_{attribute}", "gauge", help_text, samples)
    return lines


def _knowledge_lines(status: Status) -> list[str]:
    lines: list[str] = []
    for attribute, help_text in (
        ("documents", "Documents of a knowledge base."),
        ("searchable", "Documents whose current version questions can find."),
        ("passages", "Passages."),
        ("pending", "Passages that wait for a vector."),
        ("failed", "Documents whose update failed; their last good version is searchable."),
    ):
        samples = [("", {"knowledge_base": k.name}, float(getattr(k, attribute))) for k in status.knowledge]
        lines += _family(f"springline_knowledge_{attribute}", "gauge", help_text, samples)
    return lines


def _family(name: str, kind: str, help_text: str, samples: Iterable[Sample]) -> list[str]:
    lines = [f"{name}{suffix}{_labels(labels)} {_number(value)}" for suffix, labels, value in samples]
    return [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}", *lines] if lines else []


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    escaped = (
        (name, value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n"))
        for name, value in labels.items()
    )
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped) + "}"


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
