"""Windows over event time, against a model in Python: random changelogs, cut into ticks at random.

The model knows nothing of SQL. It decides for every change whether its window is closed as of the watermark after the tick before, keeps the
accepted rows of each window, and says which windows have rows to show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from springline.core.schema import Column, EventTime, TableSchema
from springline.core.types import INT, STRING, TIMESTAMP
from springline.testing.sql_harness import Row, SqlHarness
from tests.law.cases import law
from tests.law.check import assert_no_leftovers

SECOND = 1_000_000
MILLISECOND = 1_000
KINDS = ("TUMBLE", "HOP", "CUMULATE", "SESSION")
CALLS = {
    "TUMBLE": "TUMBLE(TABLE e, DESCRIPTOR(at), INTERVAL '4' SECOND, INTERVAL '1' SECOND)",
    "HOP": "HOP(TABLE e, DESCRIPTOR(at), INTERVAL '2' SECOND, INTERVAL '6' SECOND)",
    "CUMULATE": "CUMULATE(TABLE e, DESCRIPTOR(at), INTERVAL '2' SECOND, INTERVAL '6' SECOND)",
    "SESSION": "SESSION(TABLE e PARTITION BY k, DESCRIPTOR(at), INTERVAL '2' SECOND)",
}
GAP = 2
Window = tuple[int, int]
Change = tuple[Row, int]


def query(kind: str) -> str:
    return (
        f"SELECT window_start, window_end, k, COUNT(*) AS n, SUM(v) AS total, MIN(v) AS least, COUNT(DISTINCT v) AS kinds "
        f"FROM TABLE({CALLS[kind]}) GROUP BY window_start, window_end, k"
    )


def windows_of(kind: str, at: int) -> list[Window]:
    """The windows of a row, in microseconds; not of sessions."""
    size, step, offset = {"TUMBLE": (4, 4, 1), "HOP": (6, 2, 0), "CUMULATE": (6, 2, 0)}[kind]
    size, step, offset = size * SECOND, step * SECOND, offset * SECOND
    if kind == "CUMULATE":
        start = (at - offset) // size * size + offset
        return [(start, start + end) for end in range(step, size + 1, step) if at < start + end]
    last = (at - offset) // step * step + offset
    return [(start, start + size) for start in range(last, last - size, -step)]


@dataclass
class Model:
    """``open``: rows accepted into windows that take changes. ``shown``: what the view holds."""

    kind: str
    delay: int
    lateness: int
    watermark: int = -(2**62)
    seen: int = -(2**62)
    open: dict[tuple[Window, object], Counter[Row]] = field(default_factory=dict)
    kept: Counter[Row] = field(default_factory=Counter)
    shown: dict[tuple[Window, object], Row] = field(default_factory=dict)
    late: Counter[tuple[int, Row, Window]] = field(default_factory=Counter)

    def tick(self, changes: list[Change]) -> None:
        timed = [(row, weight) for row, weight in changes if row[3] is not None]
        if self.kind == "SESSION":
            self._sessions(timed)
        else:
            for row, weight in timed:
                for window in windows_of(self.kind, row[3]):
                    if self._forgotten(window, self.watermark):
                        self.late[1 if weight > 0 else -1, row, window] += abs(weight)
                    else:
                        self.open.setdefault((window, row[1]), Counter())[row] += weight
        before = self.watermark
        self.seen = max([self.seen, *(row[3] for row, weight in timed if weight > 0)])
        if self.seen > -(2**62):
            self.watermark = max(self.watermark, self.seen - self.delay)
        self._show(before)

    def _over(self, window: Window, watermark: int) -> bool:
        return window[1] - MILLISECOND <= watermark

    def _forgotten(self, window: Window, watermark: int) -> bool:
        return window[1] - MILLISECOND + self.lateness <= watermark

    def _sessions(self, changes: list[Change]) -> None:
        """Sessions of the rows that are kept and those that come; one that is over, and has only rows that came, is late."""
        for row in (row for row, weight in changes for _ in range(-weight)):
            if self.kept[row]:
                self.kept[row] -= 1
            else:
                self.late[-1, row, (row[3], row[3] + GAP * SECOND)] += 1
        came = [row for row, weight in changes for _ in range(weight)]
        self.kept = +self.kept
        self.open = {}
        for window, rows in sessions([*self.kept.elements(), *came]):
            if not any(self.kept[row] for row in rows) and self._forgotten(window, self.watermark):
                for row in rows:
                    self.late[1, row, window] += 1
                continue
            self.open[window, rows[0][1]] = Counter(rows)
        self.kept = sum(self.open.values(), Counter[Row]())

    def _show(self, before: int) -> None:
        """Windows that took no more changes stay as they were; of the others, those that are over show what they have now."""
        self.shown = {key: row for key, row in self.shown.items() if self._forgotten(key[0], before)}
        for (window, k), rows in list(self.open.items()):
            if self._over(window, self.watermark) and (values := [row[2] for row in rows.elements()]):
                known = [value for value in values if value is not None]
                total = (sum(known), min(known)) if known else (None, None)
                self.shown[window, k] = (*window, k, len(values), *total, len(set(known)))
            if self._forgotten(window, self.watermark):
                del self.open[window, k]
                self.kept -= rows if self.kind == "SESSION" else Counter()


def sessions(rows: list[Row]) -> list[tuple[Window, list[Row]]]:
    made: list[tuple[Window, list[Row]]] = []
    for k in {row[1] for row in rows}:
        run: list[Row] = []
        for row in sorted((one for one in rows if one[1] == k), key=lambda one: one[3]):
            if run and row[3] - run[-1][3] > GAP * SECOND:
                made.append(((run[0][3], run[-1][3] + GAP * SECOND), run))
                run = []
            run.append(row)
        if run:
            made.append(((run[0][3], run[-1][3] + GAP * SECOND), run))
    return made


@st.composite
def changelogs(draw: Callable[..., object]) -> list[list[Change]]:
    """Ticks of inserts, updates and deletes whose times go on, with some that come late."""
    held: dict[int, Row] = {}
    ticks: list[list[Change]] = []
    clock = draw(st.integers(-5, 5))
    for _ in range(draw(st.integers(1, 8))):
        changes: list[Change] = []
        for key in draw(st.lists(st.integers(1, 6), max_size=4, unique=True)):
            if key in held:
                changes.append((held.pop(key), -1))
            if draw(st.integers(0, 3)):
                clock += draw(st.sampled_from([0, 0, 1, 1, 3]))
                behind = draw(st.sampled_from([0, 0, 1, 2, 5, 9, None]))
                fraction = draw(st.sampled_from([0, 0, 999_000, 999_999]))
                at = None if behind is None else (clock - behind) * SECOND + fraction
                row = (
                    key,
                    draw(st.sampled_from(["a", "b", None])),
                    draw(st.sampled_from([None, 1, 2, 5])),
                    at,
                )
                held[key] = row
                changes.append((row, 1))
        ticks.append([one for one in changes if (one[0], -one[1]) not in changes])
    return ticks


def without_keys(ticks: list[list[Change]]) -> list[list[Change]]:
    """The same rows without what tells them apart."""
    made: list[list[Change]] = []
    for changes in ticks:
        net: Counter[Row] = Counter()
        for row, weight in changes:
            net[(0, *row[1:])] += weight
        made.append([(row, weight) for row, weight in net.items() if weight])
    return made


def harness_for(delay: int, lateness: int, *, has_key: bool = True) -> SqlHarness:
    columns = (
        Column("id", INT, nullable=False),
        Column("k", STRING),
        Column("v", INT),
        Column("at", TIMESTAMP),
    )
    event_time = EventTime("at", delay * SECOND, lateness * SECOND)
    return SqlHarness([TableSchema("s.e", columns, ("id",) if has_key else (), event_time=event_time)])


DELAYS = st.sampled_from([0, 0, 1, 3])
LATENESS = st.sampled_from([0, 0, 1, 4])


@law(120)
@given(changelogs(), st.sampled_from(KINDS), DELAYS, LATENESS, st.booleans())
def test_closing_windows_are_the_models(
    ticks: list[list[Change]], kind: str, delay: int, lateness: int, has_key: bool
) -> None:
    harness = harness_for(delay, lateness, has_key=has_key)
    harness.add_view("w", query(kind))
    model = Model(kind, delay * SECOND, lateness * SECOND)
    for changes in ticks if has_key else without_keys(ticks):
        harness.tick({"s.e": changes})
        model.tick(changes)
        assert Counter(harness.rows("w")) == Counter(model.shown.values())
        late: Counter[tuple[int, Row, Window]] = Counter()
        for _, change, _, *row in harness.rows("late.w"):
            late[1 if change > 0 else -1, tuple(row[:4]), tuple(row[4:6])] += abs(change)
        assert late == model.late
        assert_no_leftovers(harness)
        assert_forgotten(harness, model)


def assert_forgotten(harness: SqlHarness, model: Model) -> None:
    """The state holds the windows that take changes, and nothing else."""
    [(groups,)] = harness.connection.execute('SELECT count(*) FROM "s:w:g"').fetchall()
    assert groups == len([rows for rows in model.open.values() if +rows])


@law(40)
@given(changelogs(), st.sampled_from(KINDS))
def test_live_windows_equal_the_batch_answer(ticks: list[list[Change]], kind: str) -> None:
    harness = harness_for(0, 0)
    harness.add_view("w", query(kind), windows="live")
    for changes in ticks:
        harness.tick({"s.e": changes})
        assert Counter(harness.rows("w")) == Counter(harness.batch("w"))
        assert_no_leftovers(harness)


@law(40)
@given(changelogs(), st.sampled_from(KINDS), st.data())
def test_ticks_can_be_joined_where_nothing_is_late(
    ticks: list[list[Change]], kind: str, data: st.DataObject
) -> None:
    """With a delay beyond every row's, no cut makes anything late: all cuts end with the same rows."""
    one, other = harness_for(1_000, 0), harness_for(1_000, 0)
    for harness in (one, other):
        harness.add_view("w", query(kind))
    for changes in ticks:
        one.tick({"s.e": changes})
    waiting: Counter[Row] = Counter()
    for changes in ticks:
        for row, weight in changes:
            waiting[row] += weight
        if data.draw(st.booleans()):
            other.tick({"s.e": list(waiting.items())})
            waiting.clear()
    other.tick({"s.e": list(waiting.items())})
    far = (99, "z", 0, 10_000 * SECOND)
    for harness in (one, other):
        harness.tick({"s.e": [(far, 1)]})
        assert not harness.rows("late.w")
    assert Counter(one.rows("w")) == Counter(other.rows("w"))
    held: Counter[Row] = Counter()
    for row, weight in (change for changes in ticks for change in changes):
        held[row] += weight
    assert sum(row[3] for row in one.rows("w")) >= sum(1 for row in +held if row[3] is not None)


@law(40)
@given(changelogs(), st.sampled_from(KINDS), st.integers(0, 7))
def test_a_view_that_comes_later_shows_the_windows_that_are_over(
    ticks: list[list[Change]], kind: str, cut: int
) -> None:
    """It begins with all rows that the table holds, late ones too, and closes from there on."""
    harness = harness_for(1, 0)
    for changes in ticks[:cut]:
        harness.tick({"s.e": changes})
    harness.add_view("live", query(kind), windows="live")
    harness.add_view("w", query(kind))
    [(reached,)] = harness.connection.execute("SELECT now FROM _watermarks WHERE relation = 'w'").fetchall()
    over = [row for row in harness.rows("live") if row[1] - MILLISECOND <= reached]
    assert Counter(harness.rows("w")) == Counter(over)
