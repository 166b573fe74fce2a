"""Runs in Flink's own environment: reads expressions from standard input, writes their types and results as JSON.

Input is ``[[over, expression], …]`` with ``over`` one of nothing, samples and facts; output is ``[[type, result], …]`` in the
same order. Expressions are validated one by one; what is valid is evaluated many in one job, and a job that fails is cut in
halves until the failing expressions (and, over samples, rows) stand alone.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import sys
from typing import Any

from pyflink.table import EnvironmentSettings, TableEnvironment

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import samples
from notation import ERROR, REFUSED, clock, moment, written

BATCH = 40
NULL_WHERE_NONE_SHOULD_BE = "however, a null value is being written into it"
"""Some functions are declared NOT NULL and give NULL all the same, which Flink notices when the row is collected."""
CONFIGURATION = {
    "parallelism.default": "1",
    "table.local-time-zone": "UTC",
    "taskmanager.memory.managed.size": "128m",
    "taskmanager.numberOfTaskSlots": "8",
}


def reason(error: Any) -> str:
    """The innermost cause's first line."""
    cause = getattr(error, "java_exception", None)
    if cause is None:
        return str(error).splitlines()[0]
    while cause.getCause() is not None:
        cause = cause.getCause()
    text = re.sub(r"\s+", " ", str(cause.getMessage() or cause.getClass().getSimpleName())).split(" at ")[0]
    text = text.rpartition("Exception: ")[2]
    return text.replace("|", "¦")[:90].strip()


def shown(value: Any) -> str:
    """A value as Flink's Java API returns it, in the notation of the tables."""
    if value is None or isinstance(value, bool | int | float | str | bytes | dt.date):
        return written(value)
    if type(value).__name__ in ("JavaArray", "JavaList"):
        return "[" + ", ".join(shown(one) for one in value) + "]"
    if hasattr(value, "getClass"):
        name = value.getClass().getSimpleName()
        if name in ("LocalDateTime", "Instant"):
            return moment(value.toString())
        if name == "LocalTime":
            return clock(value.toString())
        if name == "Row":
            return "(" + ", ".join(shown(value.getField(place)) for place in range(value.getArity())) + ")"
        return str(value.toString())
    if hasattr(value, "items"):
        return "{" + ", ".join(sorted(f"{shown(key)}: {shown(one)}" for key, one in value.items())) + "}"
    return written(value)


class Flink:
    """A batch environment with the tables that expressions read."""

    def __init__(self) -> None:
        environment = TableEnvironment.create(EnvironmentSettings.new_instance().in_batch_mode().build())
        for name, value in CONFIGURATION.items():
            environment.get_config().set(name, value)
        self._java = environment._j_tenv
        for name, table in (("samples", samples.SAMPLES), ("facts", samples.FACTS)):
            self._java.executeSql(f"CREATE TEMPORARY VIEW {name} AS {samples.relation(table)}")

    def type(self, over: str, expression: str) -> str:
        """The expression's type. Raises where Flink refuses it."""
        source = "" if over == "nothing" else f" FROM {over}"
        schema = self._java.sqlQuery(f"SELECT {expression} AS x{source}").getResolvedSchema()
        return str(schema.getColumnDataTypes()[0].toString())

    def rows(self, query: str) -> list[list[str]]:
        iterator = self._java.executeSql(query).collect()
        made: list[list[str]] = []
        while iterator.hasNext():
            row = iterator.next()
            made.append([shown(row.getField(place)) for place in range(row.getArity())])
        iterator.close()
        return made

    def evaluate(self, over: str, expressions: list[str]) -> list[str]:
        """The results of valid expressions."""
        try:
            return getattr(self, "_" + over)(expressions)
        except Exception as error:
            if len(expressions) == 1:
                if NULL_WHERE_NONE_SHOULD_BE in str(error):
                    return ["NULL"]
                alone = self._row_by_row(expressions[0]) if over == "samples" else ERROR + reason(error)
                return [alone]
            half = len(expressions) // 2
            return [*self.evaluate(over, expressions[:half]), *self.evaluate(over, expressions[half:])]

    def _nothing(self, expressions: list[str]) -> list[str]:
        [row] = self.rows(f"SELECT {_listed(expressions)}")
        return row

    def _samples(self, expressions: list[str], condition: str = "TRUE") -> list[str]:
        found = self.rows(f"SELECT k, {_listed(expressions)} FROM samples WHERE {condition}")
        columns = zip(*[row[1:] for row in sorted(found, key=lambda row: int(row[0]))], strict=True)
        return [" ; ".join(column) for column in columns]

    def _row_by_row(self, expression: str) -> str:
        made: list[str] = []
        for key in samples.SAMPLES["k"][1]:
            try:
                made.extend(self._samples([expression], f"k = {key}"))
            except Exception:
                made.append(ERROR.strip(": "))
        return " ; ".join(made)

    def _facts(self, expressions: list[str]) -> list[str]:
        grouped = self.rows(f"SELECT g, {_listed(expressions)} FROM facts GROUP BY g")
        by_name = {row[0]: row[1:] for row in grouped}
        [everything] = self.rows(f"SELECT {_listed(expressions)} FROM facts")
        nothing = self.rows(f"SELECT {_listed(expressions)} FROM facts WHERE k > 100")
        by_name |= {"'all'": everything, "'none'": nothing[0]}
        groups = [by_name[written(name)] for name in samples.GROUPED]
        return [" ; ".join(column) for column in zip(*groups, strict=True)]


def _listed(expressions: list[str]) -> str:
    return ", ".join(f"{one} AS x{place}" for place, one in enumerate(expressions))


def main() -> None:
    wanted = [tuple(one) for one in json.load(sys.stdin)]
    flink = Flink()
    answers: dict[Any, tuple[str, str]] = {}
    for over in dict.fromkeys(over for over, _ in wanted):
        valid: list[str] = []
        for expression in [one for where, one in wanted if where == over]:
            try:
                answers[over, expression] = (flink.type(over, expression), "")
                valid.append(expression)
            except Exception as error:
                answers[over, expression] = (REFUSED, reason(error))
        for start in range(0, len(valid), BATCH):
            chunk = valid[start : start + BATCH]
            for expression, result in zip(chunk, flink.evaluate(over, chunk), strict=True):
                answers[over, expression] = (answers[over, expression][0], result)
            print(f"{over}: {start + len(chunk)} of {len(valid)}", file=sys.stderr, flush=True)
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump([answers[one] for one in wanted], file)


if __name__ == "__main__":
    main()
