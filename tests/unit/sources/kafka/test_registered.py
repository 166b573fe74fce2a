"""Avro and JSON Schema in a registry's frame: rows, envelopes, evolution, and registries that fail."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import fastavro
import pytest

from springline.core.change import UNCHANGED
from springline.errors import ConfigurationError, SourceError, SourceUnavailable
from springline.sources.kafka.formats import make_format
from springline.sources.kafka.formats.base import NotARow
from springline.sources.kafka.formats.schemas import RegisteredSchema
from springline.sources.kafka.registry import Registry
from tests.unit.sources.kafka.fake_registry import COLUMNS, FIELDS, ROW, STORED, VALUE, FakeRegistry, avro
from tests.unit.sources.kafka.formats import entries, format_of, table

GONE = [1, UNCHANGED, UNCHANGED, UNCHANGED]


def known(**schemas: Any) -> Any:
    """A registry that knows these: ``s7={…}`` is Avro's schema 7."""

    def find(identifier: int) -> RegisteredSchema:
        found = schemas.get(f"s{identifier}")
        if found is None:
            raise NotARow(f"the schema registry knows no schema {identifier}")
        return found if isinstance(found, RegisteredSchema) else RegisteredSchema("AVRO", json.dumps(found))

    return find


def test_a_row_in_avro_with_its_logical_types() -> None:
    read = format_of(table(COLUMNS, format="avro"), schemas=known(s7=ROW))
    assert entries(read, avro(7, ROW, VALUE)) == [("r", "s.t", None, STORED)]
    assert entries(read, avro(7, ROW, {**VALUE, "name": None, "amount": None})) == [
        ("r", "s.t", None, [1, None, None, STORED[3]])
    ]


def test_a_record_is_read_by_the_schema_that_it_was_written_with() -> None:
    """The old schema lacks a column that is declared, the new one has a column that is not; each is fetched when it is first met."""
    old = {**ROW, "fields": FIELDS[:2]}
    new = {**ROW, "fields": [*FIELDS, {"name": "colour", "type": "string", "default": "red"}]}
    read = format_of(table(COLUMNS, format="avro"), schemas=known(s1=old, s2=new))
    assert entries(read, avro(1, old, {"id": 1, "name": "x"})) == [("r", "s.t", None, [1, "x", None, None])]
    assert entries(read, avro(2, new, {**VALUE, "colour": "blue"})) == [("r", "s.t", None, STORED)]
    assert entries(read, avro(1, old, {"id": 2, "name": "y"})) == [("r", "s.t", None, [2, "y", None, None])]


DEBEZIUM_ROW = {
    "type": "record",
    "name": "Value",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "name", "type": ["null", {"type": "string", "connect.version": 1, "connect.name": "io.debezium.data.Json"}], "default": None},
        {"name": "amount", "type": {"type": "bytes", "scale": 2, "precision": 12, "connect.version": 1, "connect.parameters": {"scale": "2", "connect.decimal.precision": "12"}, "connect.name": "org.apache.kafka.connect.data.Decimal", "logicalType": "decimal"}},
        {"name": "at", "type": ["null", {"type": "long", "connect.version": 1, "connect.name": "io.debezium.time.MicroTimestamp"}], "default": None},
    ],
    "connect.name": "shop.public.orders.Value",
}  # fmt: skip
ENVELOPE = {
    "type": "record",
    "name": "Envelope",
    "namespace": "shop.public.orders",
    "fields": [
        {"name": "before", "type": ["null", DEBEZIUM_ROW], "default": None},
        {"name": "after", "type": ["null", "Value"], "default": None},
        {
            "name": "source",
            "type": {
                "type": "record",
                "name": "Source",
                "namespace": "io.debezium.connector.postgresql",
                "fields": [{"name": "ts_ms", "type": "long"}, {"name": "table", "type": "string"}],
            },
        },
        {"name": "op", "type": "string"},
    ],
}
KEY = {
    "type": "record",
    "name": "Key",
    "namespace": "shop.public.orders",
    "fields": [{"name": "id", "type": "long"}],
}
SOURCE = {"ts_ms": 1_700_000_000_000, "table": "orders"}


def test_debezium_in_avro_is_recognised_by_its_fields() -> None:
    read = format_of(table(COLUMNS, format="avro"), schemas=known(s1=ENVELOPE, s2=KEY))
    key = avro(2, KEY, {"id": 1})
    made = avro(1, ENVELOPE, {"before": None, "after": VALUE, "source": SOURCE, "op": "c"})
    assert entries(read, made, key) == [("r", "s.t", None, STORED)]
    gone = avro(1, ENVELOPE, {"before": None, "after": None, "source": SOURCE, "op": "d"})
    assert entries(read, gone, key) == [("d", "s.t", GONE, None)]
    assert entries(read, None, key) == [("d", "s.t", GONE, None)]
    kept = avro(
        1,
        ENVELOPE,
        {
            "before": None,
            "after": {**VALUE, "name": "__debezium_unavailable_value"},
            "source": SOURCE,
            "op": "u",
        },
    )
    assert entries(read, kept, key) == [("u", "s.t", None, [1, UNCHANGED, *STORED[2:]])]


def test_a_schema_may_refer_to_others() -> None:
    address = {
        "type": "record",
        "name": "Address",
        "namespace": "shop",
        "fields": [{"name": "town", "type": "string"}],
    }
    row = {"type": "record", "name": "Person", "namespace": "shop", "fields": [{"name": "id", "type": "long"}, {"name": "home", "type": "shop.Address"}]}  # fmt: skip
    out = io.BytesIO()
    parsed = fastavro.parse_schema({**row, "fields": [row["fields"][0], {"name": "home", "type": address}]})  # type: ignore[index]
    fastavro.schemaless_writer(out, parsed, {"id": 1, "home": {"town": "Bern"}})
    registered = RegisteredSchema("AVRO", json.dumps(row), {"shop.Address": json.dumps(address)})
    read = format_of(table({"id": "BIGINT", "home": "STRING"}, format="avro"), schemas=known(s3=registered))
    assert entries(read, b"\0\0\0\0\3" + out.getvalue()) == [("r", "s.t", None, [1, '{"town":"Bern"}'])]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "not in a registry's frame"),
        (b'{"id": 1}', "not in a registry's frame"),
        (b"\0\0\0\0\x09\2", "knows no schema 9"),
        (b"\0\0\0\0\7", "not what schema 7 describes"),
        (avro(7, ROW, VALUE) + b"more", "bytes behind it"),
        (b"\0\0\0\0\x08\2", "its schema is JSON, not Avro"),
        (b"\0\0\0\0\x06\2", "its schema cannot be read"),
        (b"\0\0\0\0\5" + bytes([2]), "not a record with fields"),
        (avro(4, {"type": "record", "name": "V", "fields": [{"name": "id", "type": "string"}]}, {"id": "x"}), "id: 'x' is not a BIGINT"),
    ],
)  # fmt: skip
def test_a_record_that_does_not_fit_is_rejected_with_the_reason(value: bytes, reason: str) -> None:
    schemas = known(
        s4={"type": "record", "name": "V", "fields": [{"name": "id", "type": "string"}]},
        s5="long",
        s6={"type": "recorde"},
        s7=ROW,
        s8=RegisteredSchema("JSON", "{}"),
    )
    read = format_of(table(COLUMNS, format="avro"), schemas=schemas)
    with pytest.raises(NotARow, match=reason):
        entries(read, value)


def framed(identifier: int, value: Any) -> bytes:
    return b"\0" + identifier.to_bytes(4, "big") + json.dumps(value).encode()


def optional(schema: Any) -> Any:
    return {"oneOf": [{"type": "null"}, schema]}


JSON_ROW = {
    "type": "object",
    "title": "shop.public.orders.Value",
    "properties": {
        "id": {"type": "integer", "connect.index": 0, "connect.type": "int64"},
        "name": optional({"type": "string", "connect.index": 1}),
        "amount": optional({"type": "string", "title": "org.apache.kafka.connect.data.Decimal", "connect.parameters": {"scale": "2"}, "connect.type": "bytes"}),
        "at": optional({"type": "integer", "title": "io.debezium.time.MicroTimestamp", "connect.type": "int64"}),
    },
}  # fmt: skip
JSON_VALUE = {"id": 1, "name": "Ä", "amount": "+x4=", "at": 1_700_000_000_123_456}


def test_json_schema_says_what_json_does_not() -> None:
    schemas = known(s7=RegisteredSchema("JSON", json.dumps(JSON_ROW)))
    read = format_of(table(COLUMNS, format="json-schema"), schemas=schemas)
    assert entries(read, framed(7, JSON_VALUE), b"1") == [("r", "s.t", None, STORED)]
    assert entries(read, None, b'{"id": 1}') == [("d", "s.t", GONE, None)]
    with pytest.raises(NotARow, match="not what schema 7 describes"):
        entries(read, b"\0\0\0\0\7{")


def test_debezium_in_json_schema_and_references_within_it() -> None:
    envelope = {
        "type": "object",
        "definitions": {"Value": JSON_ROW},
        "properties": {
            "before": optional({"$ref": "#/definitions/Value"}),
            "after": optional({"$ref": "#/definitions/Value"}),
            "op": {"type": "string"},
            "source": {"type": "object"},
        },
    }
    schemas = known(s7=RegisteredSchema("JSON", json.dumps(envelope)))
    read = format_of(table(COLUMNS, format="json-schema"), schemas=schemas)
    made = {"before": None, "after": JSON_VALUE, "op": "c", "source": SOURCE}
    assert entries(read, framed(7, made)) == [("r", "s.t", None, STORED)]
    gone = {"before": JSON_VALUE, "after": None, "op": "d", "source": SOURCE}
    assert entries(read, framed(7, gone)) == [("d", "s.t", GONE, None)]


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    made = FakeRegistry()
    yield made
    made.close()


def test_a_schema_is_fetched_once_with_what_it_refers_to(registry: FakeRegistry) -> None:
    find = Registry("s", registry.url)
    for _ in range(3):
        found = find(7)
    assert found.kind == "AVRO"
    assert json.loads(found.text) == ROW
    assert list(found.references) == ["shop.Address"]
    assert [path.partition("?")[0] for path in registry.asked] == [
        "/schemas/ids/7",
        "/subjects/address/versions/2",
    ]


def test_a_registry_that_fails_is_waited_for_and_a_schema_that_it_does_not_know_is_not(
    registry: FakeRegistry,
) -> None:
    find = Registry("s", registry.url)
    with pytest.raises(NotARow, match="knows no schema 9"):
        find(9)
    registry.status = 503
    with pytest.raises(SourceUnavailable, match="not now"):
        find(7)
    registry.status = 401
    with pytest.raises(SourceError, match=r"basic\.auth\.user\.info") as refused:
        find(7)
    assert not refused.value.transient
    registry.status = 200
    assert find(7).kind == "AVRO"
    registry.close()
    with pytest.raises(SourceUnavailable, match="does not answer"):
        find(8)


def test_the_registrys_password_is_sent_and_never_shown(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_USER", "reader:sesame-street")
    find = Registry("s", {"url": registry.url, "basic.auth.user.info": "env:REGISTRY_USER"})
    assert find(7).kind == "AVRO"
    assert registry.authorization[0] == "Basic cmVhZGVyOnNlc2FtZS1zdHJlZXQ="
    registry.status = 403
    with pytest.raises(SourceError) as refused:
        find(8)
    assert "sesame" not in f"{refused.value} {find!r}"


def test_a_registry_is_needed_and_must_be_declared_well() -> None:
    with pytest.raises(ConfigurationError, match="schema_registry="):
        make_format("avro", [], None)
    with pytest.raises(ConfigurationError, match="is not declared as its client understands"):
        Registry("s", {"url": "http://127.0.0.1:1", "colour": "red"})
    with pytest.raises(ConfigurationError, match="is not declared as its client understands"):
        Registry("s", {})
