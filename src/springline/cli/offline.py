"""Reads ``state.db`` of a data folder directly, where no process serves it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from springline.errors import StateError
from springline.storage import DataFolder, check_version, connect, reported

if TYPE_CHECKING:
    import apsw

    from springline.runtime.embedded.snapshot import EmbeddedSnapshot


@contextlib.contextmanager
def open_state(folder: DataFolder) -> Iterator[apsw.Connection]:
    """A read-only connection inside one read transaction. Raises StateError where there is no state, or one of another version."""
    from springline.runtime.embedded.state import STATE_FORMAT

    if not folder.state_path.exists():
        raise StateError(
            f"There is no state in the data folder {folder.path}.",
            hint="Start the application once with `springline run app.py`, or name its folder with --data.",
        )
    connection = connect(folder.state_path, read_only=True)
    try:
        with reported(folder.state_path):
            check_version(connection, folder.state_path, STATE_FORMAT)
            connection.execute("BEGIN")
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def open_snapshot(folder: DataFolder) -> Iterator[EmbeddedSnapshot]:
    """A snapshot of what the last tick left."""
    import time

    from springline.core.position import PositionVector
    from springline.language import LANGUAGE
    from springline.runtime.base import Freshness
    from springline.runtime.embedded.snapshot import EmbeddedSnapshot, Tools

    with open_state(folder) as connection:
        LANGUAGE.register(connection)
        freshness = Freshness("none", True, 0.0, PositionVector(), time.time_ns() // 1_000)
        yield EmbeddedSnapshot(connection, freshness, Tools(LANGUAGE.compile_query, _no_search))


def _no_search(*_: object) -> list[object]:
    raise StateError("Searching needs the running application.", hint="Start it with `springline run`.")


def query(folder: DataFolder, sql: str, parameters: Mapping[str, object], limit: int) -> dict[str, Any]:
    """The same as ``POST /v1/query`` answers."""
    with open_snapshot(folder) as snapshot:
        result = snapshot.query(sql, parameters, limit=limit + 1)
        rows = result.dictionaries()
        return {
            "columns": [{"name": name, "type": str(type_)} for name, type_ in result.columns],
            "rows": rows[:limit],
            "relations": list(result.relations),
            "truncated": len(rows) > limit,
            "snapshot": {
                "tick": snapshot.tick,
                "taken_at_us": snapshot.taken_at_us,
                "positions": snapshot.applied.to_json(),
                "ages": {name: {"age_ms": one.age_ms} for name, one in snapshot.ages().items()},
            },
            "freshness": {"require": "none", "met": True, "waited_ms": 0.0, "missing": []},
        }
