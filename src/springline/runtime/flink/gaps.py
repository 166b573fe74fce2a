"""What the embedded runtime does and Flink does not, or not in the same way: the one list, of which the page is made.

What Flink refuses, or would restart for ever over, is refused when the job is compiled. What it does in another way without
an error is refused too where the difference is a wrong result that nobody would see, and is listed here where it is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlglot import exp
from sqlglot.expressions.core import Expr as Tree

from springline.errors import ConfigurationError, SqlError
from springline.sql.aggregate_calls import is_aggregate
from springline.sql.check import has_one_row
from springline.sql.dialect import Text
from springline.sql.windows_syntax import WindowTable


@dataclass(frozen=True, slots=True)
class Gap:
    """One construct: why Flink cannot do it as the embedded runtime does, and what to write."""

    why: str
    instead: str


REFUSED: Final[Mapping[str, Gap]] = {
    "tables without a key": Gap(
        "Flink's copy of a table that changes is kept by its key; without one an update cannot find its row.",
        "Give the table a primary key in its source, or declare it a stream.",
    ),
    "temporal joins": Gap(
        "Flink's temporal join waits for both watermarks, ignores versions that come late, and wants a table whose key is "
        "not the version's; here a row is joined at once and corrected.",
        "Join the present row (without FOR SYSTEM_TIME AS OF), or keep this view on an embedded application that reads the same sources.",
    ),
    "live windows": Gap(
        "Flink aggregates windows of event time only, and they close.",
        "Declare the column as event time (app.event_time) and use windows that close, or group by FLOOR(ts TO HOUR).",
    ),
    "windows that are not aggregated": Gap(
        "Flink passes rows of windows on for streams only, not for tables that change.",
        "GROUP BY window_start and window_end.",
    ),
    "allowed lateness": Gap(
        "Flink's windowing table functions are final when the watermark passes their end.",
        "Declare a larger delay_s instead of lateness_s.",
    ),
    "aggregates in order": Gap(
        "Flink takes rows in the order in which their changes came, which is another one in each run.",
        "MIN or MAX, COUNT, JSON_OBJECTAGG, or order the values when the view is read.",
    ),
    "functions OVER windows": Gap(
        "Over tables that change, Flink has ROW_NUMBER with a filter on it, and no other function OVER a window.",
        "SELECT … FROM (SELECT …, ROW_NUMBER() OVER (…) AS n FROM …) AS t WHERE n <= 10, or an aggregate joined to its rows.",
    ),
    "rows behind an OFFSET": Gap(
        "Flink keeps rows that are no longer behind it when rows before them come and go.",
        "LIMIT without OFFSET, and leave out the first rows when the view is read.",
    ),
    "first rows of keys alone": Gap(
        "Where a top-N shows and orders by nothing but the columns of its key, Flink keeps rows that were deleted.",
        "Show another column too, and leave it out when the view is read.",
    ),
    "comparisons of a value with itself": Gap(
        "Flink's planner takes x = x and x BETWEEN x AND y for TRUE, also where x is NULL.",
        "x IS NOT NULL.",
    ),
    "COUNT of several distinct columns": Gap(
        "Flink counts one distinct value.",
        "COUNT(DISTINCT JSON_ARRAY(a, b)), or COUNT(*) over a SELECT DISTINCT.",
    ),
    "queries with several rows as a value": Gap(
        "Flink's job fails, and fails again when it restarts, where there are several rows.",
        "An aggregate: (SELECT MAX(x) FROM …).",
    ),
    "correlated queries as values beside LIMIT, EXISTS or IN": Gap(
        "Flink's planner cannot take both apart in one job's view, also where one is in a view that this one reads.",
        "LEFT JOIN (SELECT k, MAX(x) AS x FROM … GROUP BY k) AS t ON t.k = ….",
    ),
    "expressions that fail": Gap(
        "Flink's job fails, and fails again when it restarts, on a row for which this fails; there is no form of it that is NULL instead.",
        "A function that is NULL where it cannot be computed, TRY_CAST, or a CASE around it.",
    ),
    "functions and operators of ours alone": Gap(
        "Flink 2.2 does not know OCTET_LENGTH, INET_ATON and INET_NTOA, compares no DATE with a TIMESTAMP, and has no % of doubles and no IF of "
        "arrays and bytes.",
        "CHAR_LENGTH(HEX(x)) / 2 for OCTET_LENGTH, CAST(x AS TIMESTAMP) for the DATE, CASE WHEN … for IF.",
    ),
    "distinct BYTES in an aggregate": Gap(
        "Flink's state of distinct values does not take them.",
        "COUNT(DISTINCT TO_BASE64(x)).",
    ),
    "conditions of FULL JOIN that fail": Gap(
        "A row for which the condition fails would have to be left out of both sides.",
        "Compute what can fail in a derived table on each side.",
    ),
    "arithmetic of DECIMAL without precision": Gap(
        "Flink has at most 38 digits.",
        "CAST it to DECIMAL(p, s).",
    ),
    "quotients over groups below a window": Gap(
        "Whether this can fail is not known.",
        "Group in a derived table, and use OVER above it.",
    ),
    "keys of BYTES that may be NULL": Gap(
        "A key that may be NULL is written as text.",
        "Filter with WHERE … IS NOT NULL, or encode it with TO_BASE64.",
    ),
    "functions that are not of a module": Gap(
        "Flink's Python imports a function by its module and name.",
        "Define it with def at the top of a module of its own, which imports only what Flink's Python has.",
    ),
}
"""Refused with an error when the job is compiled."""

DIFFERENT: Final[Mapping[str, Gap]] = {
    "rows that are left out": Gap(
        "A row on which an expression fails is left out as in the embedded runtime, but there is no dead letter for it.",
        "Count them with a view of their own: WHERE x IS NOT NULL AND TRY_CAST(x AS INT) IS NULL.",
    ),
    "late rows": Gap(
        "Flink drops what comes for a closed window; there is no table late.<view>.",
        "Choose a delay that is long enough.",
    ),
    "watermarks": Gap(
        "Flink's watermark moves with every row, the embedded one with every tick; a table is idle after a time by the machine's clock, not by the commit times of its source.",
        "Choose a delay that is long enough for rows that come out of order.",
    ),
    "sessions that lose a row": Gap(
        "A session of Flink stays as long as it was when one of its rows goes; here it becomes shorter, or two.",
        "Sessions over streams.",
    ),
    "sums and variances of doubles": Gap(
        "Flink adds and subtracts doubles as they come; here the exact sum is rounded once. What was taken away can leave a trace, and NaN stays for ever.",
        "DECIMAL, or CAST(x AS DECIMAL(38, 6)).",
    ),
    "sums beyond their type": Gap(
        "A sum of BIGINT beyond its range wraps, and a variance beyond its type does too; here the group is left out.",
        "SUM(CAST(x AS DECIMAL(38, 0))).",
    ),
    "one row of nothing": Gap(
        "An aggregate without GROUP BY has no row in Flink until its first input comes; here it has one from the start.",
        "Read a missing row as COUNT 0.",
    ),
    "precision": Gap(
        "Of event time windows see milliseconds; TIME has milliseconds; DECIMAL without precision has 38 digits, 18 of them after the point.",
        "DECIMAL(p, s).",
    ),
    "moments before 1970": Gap(
        "Parts of a TIMESTAMP before 1970 (EXTRACT, FLOOR) are rounded to the wrong side in Flink.",
        "DATE has them right.",
    ),
    "values of PostgreSQL": Gap(
        "Infinite dates, years beyond 9999, 24:00:00 and DECIMAL NaN have no form that Flink reads; capture leaves such rows to the dead letters.",
        "NULL, or a far date.",
    ),
}
"""Done by Flink in another way."""


def refused(where: Text, node: Tree | None, key: str) -> SqlError:
    """The error for a construct of :data:`REFUSED`; the caller raises it."""
    gap = REFUSED[key]
    return where.error(node, f"On Flink there are no {key}. {gap.why}", f"Write instead: {gap.instead}")


def refused_relation(name: str, key: str) -> ConfigurationError:
    """The same for a whole relation."""
    gap = REFUSED[key]
    return ConfigurationError(
        f"{name!r}: on Flink there are no {key}. {gap.why}", hint=f"Instead: {gap.instead}"
    )


_IN_ORDER: Final = frozenset(
    {"LISTAGG", "ARRAY_AGG", "COLLECT", "FIRST_VALUE", "LAST_VALUE", "JSON_ARRAYAGG"}
)


def check(tree: Tree, where: Text, *, closes: bool) -> None:
    """Raises SqlError for what Flink cannot do in a view. ``closes``: whether its windows are of event time."""
    for node in tree.walk():
        if isinstance(node, exp.Version):
            raise refused(where, node.parent, "temporal joins")
        if isinstance(node, exp.Offset):
            raise refused(where, node.parent, "rows behind an OFFSET")
        if isinstance(node, WindowTable):
            _check_window_table(node, where, closes=closes)
        elif isinstance(node, exp.Window):
            if not _is_top_n(node):
                raise refused(where, node, "functions OVER windows")
        elif is_aggregate(node):
            _check_aggregate(node, where)
        elif isinstance(node, exp.Subquery) and is_value(node) and not has_one_row(node):
            raise refused(where, node, "queries with several rows as a value")


def _check_window_table(node: WindowTable, where: Text, *, closes: bool) -> None:
    if not closes:
        raise refused(where, node, "live windows")
    query = node.find_ancestor(exp.Select)
    group = None if query is None else query.args.get("group")
    named = {one.name for one in group.expressions} if group is not None else set[str]()
    if not {"window_start", "window_end"} <= named:
        raise refused(where, node, "windows that are not aggregated")


def _check_aggregate(node: Tree, where: Text) -> None:
    if isinstance(node.parent, exp.Window):
        return
    if node.name.upper() in _IN_ORDER:
        raise refused(where, node, "aggregates in order")
    [first, *_] = [*node.expressions, None]
    if isinstance(first, exp.Distinct) and len(first.expressions) > 1:
        raise refused(where, node, "COUNT of several distinct columns")


def is_value(node: exp.Subquery) -> bool:
    """Whether a query stands where a value does."""
    return not isinstance(
        node.parent, exp.From | exp.Join | exp.In | exp.Exists | exp.SetOperation | exp.Subquery | exp.CTE
    ) and (node.parent is not None and node.arg_key not in ("from_", "query") and not node.alias)


def _is_top_n(node: exp.Window) -> bool:
    """ROW_NUMBER in a derived table whose query filters on it."""
    call = node.this
    shown = node.parent
    if (
        not isinstance(call, exp.Anonymous)
        or call.name.upper() != "ROW_NUMBER"
        or not isinstance(shown, exp.Alias)
    ):
        return False
    inner = shown.parent
    derived = inner.parent if isinstance(inner, exp.Select) else None
    outer = derived.find_ancestor(exp.Select) if isinstance(derived, exp.Subquery) else None
    condition = outer.args.get("where") if outer is not None else None
    if condition is None:
        return False
    return any(
        _limits(one, shown.alias) for one in condition.this.flatten() if isinstance(one, exp.Binary)
    ) or (isinstance(condition.this, exp.Binary) and _limits(condition.this, shown.alias))


def _limits(node: exp.Binary, name: str) -> bool:
    kinds: dict[type[Tree], str] = {
        exp.EQ: "both",
        exp.LT: "left",
        exp.LTE: "left",
        exp.GT: "right",
        exp.GTE: "right",
    }
    kind = kinds.get(type(node))
    if kind is None:
        return False
    pairs = [(node.left, node.right)] if kind == "left" else [(node.right, node.left)]
    if kind == "both":
        pairs = [(node.left, node.right), (node.right, node.left)]
    return any(
        isinstance(one, exp.Column) and one.name == name and isinstance(other, exp.Literal)
        for one, other in pairs
    )


def page() -> str:
    """docs/flink-gaps.md."""
    lines = [
        "# Flink: what is different",
        "",
        "Made of `springline.runtime.flink.gaps`. An application is compiled for Flink from the same text; both runtimes run the same scenario files. What is",
        "listed first is refused when the job is compiled, with the line and column of the view; nothing of it is started.",
        "",
        "## Refused",
        "",
        "| on Flink there are no | why | instead |",
        "|---|---|---|",
        *(_line(key, gap) for key, gap in REFUSED.items()),
        "",
        "## Different",
        "",
        "| | on Flink | instead |",
        "|---|---|---|",
        *(_line(key, gap) for key, gap in DIFFERENT.items()),
    ]
    return "\n".join(lines) + "\n"


def _line(key: str, gap: Gap) -> str:
    return f"| {key} | {gap.why} | {gap.instead} |".replace("<view>", "`<view>`")
