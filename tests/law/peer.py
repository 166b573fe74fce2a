"""After each tick, DuckDB is asked the same; what it could not be asked is counted with the reason."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from springline.testing.sql_harness import SqlHarness
from tests.law.cases import Case
from tests.law.duck import CannotCompare, Duck, equal_bags, loaded
from tests.law.written import PeerDiffers, stored_rows

COMPARED: Final[Counter[str]] = Counter()
"""How many answers were compared with DuckDB's, and why others were not: printed with ``-s``."""


class Peer:
    """DuckDB beside one case."""

    def __init__(self, duck: Duck, case: Case) -> None:
        self._duck, self._case = duck, case
        self._lost: dict[str, str] = {}
        self._seen: dict[str, object] = {}
        if not case.peer:
            return
        duck.begin(case)
        for name, query in case.queries.items():
            reasons = sorted(query.piece.lost) + [
                reason for other, reason in self._lost.items() if re.search(rf"\b{other}\b", query.piece.duck)
            ]
            if not reasons:
                try:
                    duck.define(name, query.piece.duck)
                except CannotCompare as error:
                    reasons = [f"DuckDB: {error}"]
            if reasons:
                self._lost[name] = reasons[0]

    def assert_equal(self, harness: SqlHarness) -> None:
        """Every view equals DuckDB's answer over the tables as they are now."""
        if not self._case.peer:
            COMPARED["values of ours that DuckDB does not have (NaN in DECIMAL, infinite dates, …)"] += 1
            return
        if harness.errors or any(map(harness.left_out, harness.views)):
            COMPARED["an expression failed, where DuckDB stops"] += 1
            return
        for schema in self._case.tables:
            rows = harness.rows(schema.name)
            if self._seen.get(schema.name) != rows:
                self._duck.fill(schema.name, rows)
                self._seen[schema.name] = rows
        for name, query in self._case.queries.items():
            if name in self._lost:
                COMPARED[self._lost[name]] += 1
                continue
            try:
                theirs = self._duck.rows(f"SELECT * FROM {name}")
            except CannotCompare as error:
                COMPARED[f"DuckDB: {error}"] += 1
                continue
            ours = loaded(harness.rows(name), harness.schemas[name])
            COMPARED["compared"] += 1
            if not equal_bags(ours, theirs):
                message = (
                    f"{name} differs from DuckDB: {query.piece.flink}\n"
                    f"ours   {ours}\nDuckDB {theirs}\nits SQL {query.piece.duck}"
                )
                raise PeerDiffers(name, stored_rows(theirs, harness.schemas[name]), message)
