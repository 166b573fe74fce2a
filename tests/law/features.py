"""What the compiler takes in views. The generator writes only that; what it must take is asserted by ``test_coverage``."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from springline.core.schema import Column, TableSchema
from springline.core.types import BIGINT, INT, STRING, TIMESTAMP, SqlType
from springline.errors import SqlError
from springline.sql import compile_view
from tests.law.domains import NASTY, PRICE, RATE
from tests.law.form import Form
from tests.law.user_functions import FUNCTIONS

_TABLES: Final = {
    name: TableSchema(
        name,
        (
            Column("id", INT, False),
            Column("n", INT),
            Column("g", STRING),
            Column("b", BIGINT),
            Column("ts", TIMESTAMP),
        ),
        ("id",),
    )
    for name in ("s.t", "s.u")
}

PROBES: Final[dict[str, str]] = {
    "RIGHT JOIN": "SELECT t.id, u.id AS uid FROM t RIGHT JOIN u ON t.n = u.n",
    "FULL JOIN": "SELECT t.id, u.id AS uid FROM t FULL JOIN u ON t.n = u.n",
    "CROSS JOIN": "SELECT t.id, u.id AS uid FROM t CROSS JOIN u",
    "UNION": "SELECT n FROM t UNION SELECT n FROM u",
    "INTERSECT": "SELECT n FROM t INTERSECT SELECT n FROM u",
    "EXCEPT": "SELECT n FROM t EXCEPT SELECT n FROM u",
    "INTERSECT ALL": "SELECT n, COUNT(*) AS c FROM (SELECT n FROM t INTERSECT ALL SELECT n FROM u) AS x GROUP BY n",
    "EXCEPT ALL": "SELECT n, COUNT(*) AS c FROM (SELECT n FROM t EXCEPT ALL SELECT n FROM u) AS x GROUP BY n",
    "IN": "SELECT id FROM t WHERE n IN (SELECT n FROM u)",
    "NOT IN": "SELECT id FROM t WHERE n NOT IN (SELECT n FROM u)",
    "EXISTS": "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.n = t.n)",
    "NOT EXISTS": "SELECT id FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.n = t.n)",
    "scalar subquery": "SELECT id FROM t WHERE n > (SELECT AVG(n) FROM u)",
    "correlated scalar subquery": "SELECT id, (SELECT MAX(u.id) FROM u WHERE u.n = t.n) AS m FROM t",
    "top-N": (
        "SELECT id, n FROM (SELECT id, n, ROW_NUMBER() OVER (PARTITION BY g ORDER BY n DESC, id) AS rn FROM t) AS x "
        "WHERE rn <= 2"
    ),
    "top-N with its number": (
        "SELECT id, n, rn FROM (SELECT id, n, ROW_NUMBER() OVER (PARTITION BY g ORDER BY n, id) AS rn FROM t) AS x "
        "WHERE rn <= 2"
    ),
    "RANK": "SELECT id, RANK() OVER (PARTITION BY g ORDER BY n) AS r FROM t",
    "ROW_NUMBER": "SELECT id, ROW_NUMBER() OVER (PARTITION BY g ORDER BY n, id) AS r FROM t",
    "LAG": "SELECT id, LAG(n) OVER (PARTITION BY g ORDER BY n, id) AS r FROM t",
    "aggregate OVER": "SELECT id, SUM(n) OVER (PARTITION BY g) AS r FROM t",
    "ordered aggregate OVER": "SELECT id, SUM(n) OVER (PARTITION BY g ORDER BY id) AS r FROM t",
    "DISTINCT over GROUP BY": "SELECT DISTINCT COUNT(*) AS c FROM t GROUP BY g",
    "ORDER BY LIMIT": "SELECT * FROM t ORDER BY n DESC, id LIMIT 2",
    "LATERAL TABLE": "SELECT s.stair, COUNT(*) AS c FROM t CROSS JOIN LATERAL TABLE(STAIRS(t.n)) AS s(stair, below) GROUP BY s.stair",
    "interval join": "SELECT t.id, u.id AS uid FROM t JOIN u ON t.n = u.n AND u.ts BETWEEN t.ts - INTERVAL '1' HOUR AND t.ts",
    "COUNT(DISTINCT a, b)": "SELECT COUNT(DISTINCT n, g) AS c FROM t",
}


@lru_cache(maxsize=256)
def taken(feature: str) -> bool:
    """Whether views may have it."""
    return compiles(PROBES[feature])


@lru_cache(maxsize=512)
def compiles(text: str) -> bool:
    try:
        compile_view("v", text, _TABLES, functions=FUNCTIONS)
    except SqlError:
        return False
    return True


_KINDS: Final = [*NASTY, PRICE, RATE]
_EVERY: Final = TableSchema(
    "s.every",
    (Column("id", INT, False), *(Column(f"c{index}", kind) for index, kind in enumerate(_KINDS))),
    ("id",),
)


@lru_cache(maxsize=1024)
def form_text(form: Form) -> str:
    """The form over plain columns and its first constants."""
    parts = [one[0] if isinstance(one, tuple) else _sample(one) for one in form.takes]
    return form.flink.format(*parts)


def _sample(kind: SqlType) -> str:
    if kind.element is not None:
        return f"ARRAY[{_sample(kind.element)}]"
    return f"c{_KINDS.index(kind)}" if kind in _KINDS else f"CAST(NULL AS {kind})"


@lru_cache(maxsize=1024)
def problem(form: Form) -> str:
    """Why the generator cannot use a form: what the compiler says, or another type than the form's. Empty if it can."""
    try:
        text = f"SELECT id, {form_text(form)} AS x FROM every"
        program = compile_view("v", text, {"s.every": _EVERY}, functions=FUNCTIONS)
    except SqlError as error:
        return str(error)
    found = program.schema.column("x").type
    return "" if found == form.gives else f"is {found}, not {form.gives}"
