"""Table schemas: keys, lookups, and their JSON form."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springline.core.change import schema_entry
from springline.core.schema import Column, TableSchema
from springline.core.types import BIGINT, BYTES, DOUBLE, STRING, SqlType, array, decimal
from springline.errors import ConfigurationError

FLIGHTS = TableSchema(
    "airline.flights",
    (Column("id", BIGINT, nullable=False, identity=1), Column("carrier", STRING), Column("delay", DOUBLE)),
    key=("id",),
)

types = st.sampled_from([BIGINT, STRING, DOUBLE, BYTES, decimal(9, 2), decimal(), array(STRING)])
initials = st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | st.binary()


@st.composite
def schemas(draw: st.DrawFn) -> TableSchema:
    names = draw(st.lists(st.text(min_size=1), min_size=1, max_size=6, unique=True))
    columns = tuple(
        Column(name, draw(types), draw(st.booleans()), draw(st.none() | st.integers(1, 1600)), draw(initials))
        for name in names
    )
    key = tuple(draw(st.lists(st.sampled_from(names), unique=True)))
    return TableSchema(draw(st.text(min_size=1)), columns, key, draw(st.text()))


@given(schemas())
def test_a_schema_reads_back_from_json(schema: TableSchema) -> None:
    text = json.dumps(schema.to_json(), allow_nan=False)
    assert TableSchema.from_json(json.loads(text)) == schema


@pytest.mark.parametrize("initial", [math.inf, -math.inf, b"", b"\x00\xff", "", 0, None, "NaN"])
def test_every_initial_value_can_stand_in_json(initial: int | float | str | bytes | None) -> None:
    schema = TableSchema("t", (Column("c", STRING, initial=initial),))
    back = TableSchema.from_json(json.loads(json.dumps(schema.to_json(), allow_nan=False)))
    assert back.column("c").initial == initial
    assert type(back.column("c").initial) is type(initial)


def test_columns_are_found_by_name() -> None:
    assert FLIGHTS.names == ("id", "carrier", "delay")
    assert FLIGHTS.index("delay") == 2
    assert FLIGHTS.column("carrier").type == STRING
    assert "carrier" in FLIGHTS
    assert "gate" not in FLIGHTS


def test_without_a_key_the_whole_row_is_the_key() -> None:
    assert FLIGHTS.key_indexes == (0,)
    assert TableSchema("t", FLIGHTS.columns).key_indexes == (0, 1, 2)
    assert TableSchema("t", FLIGHTS.columns, key=("delay", "id")).key_indexes == (2, 0)


def test_equal_schemas_are_equal_and_hash_alike() -> None:
    again = TableSchema.from_json(FLIGHTS.to_json())
    assert again == FLIGHTS
    assert hash(again) == hash(FLIGHTS)


@pytest.mark.parametrize(
    ("columns", "key", "message"),
    [
        ((Column("a", STRING), Column("a", BIGINT)), (), "two columns of one name"),
        ((Column("a", STRING),), ("b",), "'b' is not a column"),
    ],
)
def test_a_schema_that_contradicts_itself_is_refused(
    columns: tuple[Column, ...], key: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TableSchema("t", columns, key)


@given(types)
def test_a_column_type_is_written_as_sql(type_: SqlType) -> None:
    schema = TableSchema("t", (Column("c", type_),))
    assert schema.to_json()["columns"][0]["type"] == str(type_)


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (("id", "_tick"), "A column cannot be called '_tick'"),
        (("id", "_W"), "A column cannot be called '_W'"),
        (("id", "ID"), "'id' and 'ID', which differ by capitals only"),
    ],
)
def test_a_table_whose_columns_no_relation_can_have_is_refused(names: tuple[str, ...], problem: str) -> None:
    schema = TableSchema("shop.orders", tuple(Column(name, BIGINT) for name in names), ("id",))
    with pytest.raises(ConfigurationError, match=problem) as caught:
        schema_entry(schema)
    assert "'shop.orders'" in str(caught.value)
    assert "exclude=" in (caught.value.hint or "")
