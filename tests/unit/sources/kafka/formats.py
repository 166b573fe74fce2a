"""What the tests of formats share: a table, and what records of it become."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from springline.core.change import Entry
from springline.sources.kafka.formats import make_format
from springline.sources.kafka.formats.base import Decoded, Format, Headers, Target
from springline.sources.kafka.formats.schemas import SchemaById
from springline.sources.kafka.tables import KafkaTable

COLUMNS: Mapping[str, str] = {"id": "BIGINT", "name": "STRING", "amount": "DECIMAL(12, 2)", "at": "TIMESTAMP"}


def table(columns: Mapping[str, str] = COLUMNS, key: Sequence[str] = ("id",), **options: Any) -> KafkaTable:
    return KafkaTable("shop.orders", columns, key, **{"format": "debezium", **options})


def format_of(*tables: KafkaTable, schemas: SchemaById | None = None) -> Format:
    """Tables are called t, or t1, t2 …"""
    names = ["t"] if len(tables) == 1 else [f"t{number}" for number in range(1, len(tables) + 1)]
    unit = "ms" if tables[0].format == "json" else None
    targets = [
        Target(one.schema(f"s.{name}"), one, default_unit=unit)
        for name, one in zip(names, tables, strict=True)
    ]
    return make_format(tables[0].format, targets, schemas)


def written(value: object) -> bytes | None:
    """A value as a producer writes it: bytes as they are, None as none, anything else as JSON."""
    return value if isinstance(value, bytes | None) else json.dumps(value).encode()


def decoded(format_: Format, value: object, key: object = None, headers: Headers = ()) -> Decoded:
    return format_.decode(written(key), written(value), headers)


def entries(format_: Format, value: object, key: object = None, headers: Headers = ()) -> list[Entry]:
    return list(decoded(format_, value, key, headers).entries)
