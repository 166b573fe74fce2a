"""What Flink's SQL lacks is refused when the job is compiled, with the gap's name."""

from __future__ import annotations

import pytest

from springline.core.schema import Column, TableSchema
from springline.core.types import parse_type
from springline.errors import SqlError
from springline.runtime.embedded.changing import ViewDefinition
from springline.runtime.flink.compile import compile_job
from springline.runtime.flink.definition import Job, JobDefinition, KafkaSettings

COLUMNS = "id INT, n INT, d DOUBLE, name STRING, day DATE, at TIMESTAMP, raw BYTES"
TABLE = TableSchema(
    "t",
    tuple(
        Column(one, parse_type(kind), nullable=one != "id")
        for one, kind in (each.split(" ") for each in COLUMNS.split(", "))
    ),
    ("id",),
)


def job(*texts: str) -> Job:
    views = tuple(ViewDefinition(f"v{number}", text) for number, text in enumerate(texts))
    return compile_job(JobDefinition("app", (TABLE,), views), KafkaSettings("kafka:9092"), 1)


@pytest.mark.parametrize(
    "expression",
    [
        "OCTET_LENGTH(name)",
        "INET_ATON(name)",
        "d % 2e0",
        "day < at",
        "CAST(at AS DATE) IS NOT DISTINCT FROM at",
        "day BETWEEN at AND at",
        "IF(n > 0, raw, raw)",
        "IF(n > 0, ARRAY[n], ARRAY[n])",
    ],
)
def test_functions_and_operators_of_ours_alone(expression: str) -> None:
    with pytest.raises(SqlError, match="On Flink there are no functions and operators of ours alone"):
        job(f"SELECT id, {expression} AS x FROM t")


@pytest.mark.parametrize(
    "expression", ["day < CAST(at AS DATE)", "n % 2", "IF(n > 0, name, name)", "CHAR_LENGTH(HEX(name)) / 2"]
)
def test_what_is_to_be_written_instead(expression: str) -> None:
    job(f"SELECT id, {expression} AS x FROM t")


def test_distinct_bytes() -> None:
    with pytest.raises(SqlError, match="On Flink there are no distinct BYTES in an aggregate"):
        job("SELECT n, COUNT(DISTINCT raw) AS x FROM t GROUP BY n")
    job("SELECT n, COUNT(DISTINCT TO_BASE64(raw)) AS x FROM t GROUP BY n")


VALUE = "SELECT o.id, (SELECT MAX(i.id) FROM {0} AS i WHERE i.n = o.n) AS x FROM t AS o"
EXISTS = "SELECT o.id, o.n FROM t AS o WHERE EXISTS (SELECT 1 FROM t AS i WHERE i.n = o.id)"
FIRST = "SELECT id, n FROM t ORDER BY n, id LIMIT 2"


@pytest.mark.parametrize(
    "texts",
    [
        (EXISTS, VALUE.format("v0")),
        (FIRST, VALUE.format("v0")),
        (VALUE.format("t"), "SELECT a.id FROM v0 AS a WHERE a.id IN (SELECT n FROM t)"),
        (VALUE.format("t"), EXISTS, "SELECT a.id FROM v0 AS a JOIN v1 AS b ON a.id = b.id"),
    ],
)
def test_correlated_values_beside_limit_and_existence(texts: tuple[str, ...]) -> None:
    with pytest.raises(
        SqlError, match="On Flink there are no correlated queries as values beside LIMIT, EXISTS or IN"
    ):
        job(*texts)


def test_each_of_them_alone() -> None:
    job(VALUE.format("t"), EXISTS, FIRST, "SELECT id, (SELECT MAX(n) FROM v1) AS x FROM v2")


def test_rows_behind_an_offset() -> None:
    with pytest.raises(SqlError, match="On Flink there are no rows behind an OFFSET"):
        job("SELECT id, n FROM t ORDER BY n, id LIMIT 2 OFFSET 1")


@pytest.mark.parametrize(
    "condition", ["n = n", "n >= n", "n BETWEEN n AND 5", "n IN (1, n)", "n + 1 <> n + 1"]
)
def test_comparisons_of_a_value_with_itself(condition: str) -> None:
    """Flink kept the row of an update that made n NULL."""
    with pytest.raises(SqlError, match="On Flink there are no comparisons of a value with itself"):
        job(f"SELECT id FROM t WHERE {condition}")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id FROM t ORDER BY id DESC LIMIT 3",
        "SELECT n, COUNT(*) AS c FROM t GROUP BY n ORDER BY n LIMIT 3",
        "SELECT a.id FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY id DESC) AS r FROM t) AS a WHERE a.r <= 3",
    ],
)
def test_first_rows_of_keys_alone(text: str) -> None:
    """Flink kept a deleted row among them."""
    if "COUNT" in text:
        job(text)
        return
    with pytest.raises(SqlError, match="On Flink there are no first rows of keys alone"):
        job(text)


def test_first_rows_with_another_column() -> None:
    job("SELECT id, n FROM t ORDER BY id DESC LIMIT 3")
