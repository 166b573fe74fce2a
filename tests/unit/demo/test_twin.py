"""The twin refreshes when it says, and states what it really achieved."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from springline.demo.fleet import FlightStatus
from springline.demo.twin import Twin, next_refresh_in_s
from springline.errors import ConfigurationError, SourceUnavailable
from springline.serve.service import AskRequest
from springline.testing.fake_demo import serve_fake

START = datetime.fromisoformat("2013-02-08T06:00:00-05:00")


@pytest.mark.parametrize(
    ("interval_s", "since_s", "speed", "rested_s", "took_s", "expected"),
    [
        (60.0, 0.0, 60.0, 0.0, 0.1, 1.0),
        (60.0, 30.0, 60.0, 0.5, 0.1, 0.5),
        (60.0, 90.0, 60.0, 9.0, 0.1, 0.0),
        # At 720 times, 5 s of storm are 7 ms; the rest after a refresh of 0.1 s comes first.
        (5.0, 72.0, 720.0, 0.0, 0.1, 0.3),
    ],
)
def test_when_the_next_refresh_is_due(
    interval_s: float, since_s: float, speed: float, rested_s: float, took_s: float, expected: float
) -> None:
    assert next_refresh_in_s(interval_s, since_s, speed, rested_s, took_s) == pytest.approx(expected)


class Bench:
    """A twin with clocks in the hand."""

    def __init__(self) -> None:
        self.real = 100.0
        self.storm = START
        self.copies = 0
        self.twin = Twin(
            copy=self._copy,
            answer=lambda request, snapshot: cast("Any", (request.question, snapshot)),
            storm=lambda: self.storm,
            speed=lambda: 60.0,
            monotonic=lambda: self.real,
        )

    def pass_s(self, seconds: float) -> None:
        self.real += seconds
        self.storm += timedelta(seconds=seconds * 60)

    def _copy(self) -> Any:
        self.copies += 1
        self.pass_s(0.5)
        return f"copy {self.copies}"


def test_it_answers_from_the_last_copy_and_measures() -> None:
    bench = Bench()
    with pytest.raises(SourceUnavailable):
        bench.twin.ask(AskRequest("?"))
    bench.twin.refresh()
    assert bench.twin.status().achieved_s is None
    bench.pass_s(1.5)
    bench.twin.refresh()
    bench.pass_s(1.0)
    assert cast("Any", bench.twin.ask(AskRequest("?"))) == ("?", "copy 2")
    status = bench.twin.status()
    assert status.refreshes == 2
    # Counted from the beginning of each copy: that is the moment which it shows.
    assert status.achieved_s == pytest.approx(120)
    assert status.age_s == pytest.approx(90)
    assert status.refresh_ms == pytest.approx(500)


@pytest.mark.parametrize("interval_s", [4.9, 3_601])
def test_intervals_have_bounds(interval_s: float) -> None:
    with pytest.raises(ConfigurationError):
        Bench().twin.set_interval(interval_s)


def test_the_twin_is_wrong_until_it_refreshes() -> None:
    served = serve_fake()
    try:
        assert served.twin is not None
        assert served.stage is not None
        served.stage.pause()
        before = FlightStatus("x", "scheduled", 0)
        with served.runtime.lock:
            served.runtime.source.execute("UPDATE flights SET status = 'cancelled' WHERE flight_id = 21")
            served.runtime.source.commit()
        request = AskRequest("Is my flight cancelled?", "C0001")
        assert before.status in served.twin.ask(request).to_json()["answer"]
        assert "cancelled" in served.service.ask(request).to_json()["answer"].split("[1]")[0]
        served.twin.refresh()
        assert "cancelled" in served.twin.ask(request).to_json()["answer"].split("[1]")[0]
    finally:
        served.close()
