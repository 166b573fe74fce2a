"""The first application that ``springline init`` writes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from springline.settings import TABLE

DSN_VARIABLE: Final = "DATABASE_URL"

RESERVED: Final = frozenset(
    """ALL AND ANY ARRAY AS ASC AT BEGIN BETWEEN BIGINT BOOLEAN BOTH BY CASE CAST CHAR CHARACTER CHECK COLLATE COLUMN COMMIT CONDITION
    CONSTRAINT CONTAINS CREATE CROSS CUBE CURRENT CURSOR DATE DAY DEC DECIMAL DEFAULT DELETE DESC DESCRIBE DISTINCT DOUBLE DROP ELEMENT
    ELSE END ESCAPE EXCEPT EXISTS EXTRACT FALSE FETCH FILTER FIRST_VALUE FLOAT FOR FROM FULL FUNCTION GRANT GROUP GROUPING HAVING HOUR
    IN INNER INSERT INT INTEGER INTERSECT INTERVAL INTO IS JOIN LANGUAGE LATERAL LEADING LEFT LIKE LIMIT LOCAL MATCH MERGE METHOD MINUTE
    MODULE MONTH NATURAL NEW NO NONE NOT NULL NUMERIC OF OFFSET ON ONLY OPEN OR ORDER OUT OUTER OVER OVERLAPS PARTITION PERCENT PERIOD
    POSITION POWER PRECISION PRIMARY RANGE RANK REAL REFERENCES RESULT RETURN RIGHT ROLLBACK ROW ROWS SECOND SELECT SESSION SET SHOW
    SOME START STATIC SUM SYSTEM TABLE THEN TIME TIMESTAMP TO TRAILING TRIGGER TRUE TRUNCATE UNION UNIQUE UNKNOWN UPDATE UPPER USER
    USING VALUE VALUES VARCHAR VIEW WHEN WHERE WINDOW WITH WITHIN YEAR YEARS""".split()
)
"""Words that stand in backquotes when they name a column or table."""


@dataclass(frozen=True)
class FoundTable:
    """A table of the database: ``table`` in schema public, otherwise ``schema.table``."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    rows: int


@dataclass(frozen=True)
class Plan:
    """What the application captures. ``references``: (table, column) → the table that the column refers to."""

    source: str
    dsn: str
    tables: Sequence[FoundTable]
    references: Mapping[tuple[str, str], str]


def app_file(plan: Plan) -> str:
    """A runnable ``app.py``."""
    listed = "\n".join(f'        "{table.name}",' for table in plan.tables)
    name, sql, comment = first_view(plan)
    body = "\n".join(f"    {line}" for line in sql.splitlines())
    return f'''"""A Springline application. Run it with: springline run app.py"""

import springline as sl

app = sl.App("{plan.source}")

# Every change that is committed in these tables is here a few milliseconds later.
app.postgres(
    "{plan.source}",
    dsn="{plan.dsn}",
    tables=[
{listed}
    ],
)

# {comment}
app.view(
    "{name}",
    """
{body}
    """,
)

# Documents that answers may quote:
# app.folder("handbook", "documents/")
# app.knowledge("handbook", over="handbook.documents")
#
# Who asks decides which rows an answer may use:
# app.assistant(subject="customer", rows=[sl.Rows("{name}", subject_column="…")], passages=["handbook"])
'''


def first_view(plan: Plan) -> tuple[str, str, str]:
    """Name, SELECT and comment of a view to begin with: rows counted for each row that they refer to, or else plain rows."""
    by_name = {table.name: table for table in plan.tables}
    for (table, column), target in sorted(plan.references.items()):
        if table in by_name and target in by_name and table != target:
            short = table.rpartition(".")[2]
            sql = (
                f"SELECT {_quoted(column)}, COUNT(*) AS {_quoted(_free('rows_' + short, column))}\n"
                f"FROM {_relation(plan, table)}\nGROUP BY {_quoted(column)}"
            )
            return (
                f"{short}_by_{column}",
                sql,
                "Kept equal to its SELECT: after each change only the touched groups are counted again.",
            )
    table = max(plan.tables, key=lambda one: one.rows)
    columns = list(dict.fromkeys([*table.key, *table.columns[:6]]))
    sql = f"SELECT {', '.join(map(_quoted, columns))}\nFROM {_relation(plan, table.name)}"
    return f"{table.name.rpartition('.')[2]}_view", sql, "Kept equal to its SELECT, change by change."


def _free(name: str, other: str) -> str:
    return name if name != other else name + "_"


def _relation(plan: Plan, table: str) -> str:
    return ".".join(map(_quoted, [plan.source, *table.split(".")]))


def _quoted(name: str) -> str:
    if re.fullmatch(r"[a-z_][a-z0-9_]*", name) and name.upper() not in RESERVED:
        return name
    return "`" + name.replace("`", "``") + "`"


def settings_file() -> str:
    """A ``springline.toml`` with every setting, each commented out at its default."""
    lines = ["# Settings of this application. A flag or a SPRINGLINE_… variable goes before a line here.", ""]
    for setting in TABLE:
        lines.append(f"# {setting.about.description}")
        if setting.about.kind == "secret":
            shown = f'"env:{setting.variable}"'
        elif setting.about.kind == "list":
            shown = "[]"
        elif setting.default is None:
            shown = '"…"'
        else:
            shown = (
                setting.default_text
                if setting.about.kind in ("integer", "number")
                else f'"{setting.default_text}"'
            )
        lines += [f"# {setting.name} = {shown}", ""]
    return "\n".join(lines)
