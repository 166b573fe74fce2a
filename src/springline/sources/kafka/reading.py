"""Records of one topic as entries, those that cannot be rows set aside."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from confluent_kafka import Message

from springline.core.change import Entry
from springline.core.schema import Column, TableSchema
from springline.core.types import BIGINT, STRING
from springline.errors import SpringlineError
from springline.sources.kafka.formats import make_format
from springline.sources.kafka.formats.base import NOTHING, Decoded, Headers, ManyAtOnce, Target
from springline.sources.kafka.formats.schemas import SchemaById
from springline.sources.kafka.tables import KafkaTable

LARGEST_RECORD_BYTES: Final = 256 << 20
"""A batch is one value in the log, and SQLite takes a thousand million bytes at most."""

_KEPT_OF_A_KEY: Final = 500
_KEPT_OF_A_VALUE: Final = 2_000


class Read(NamedTuple):
    """What records say. ``committed_at_us``: the newest of their times; None where they have none."""

    entries: list[Entry]
    committed_at_us: int | None
    rejected: int


class TopicReader:
    """One topic's records. Used by one thread."""

    def __init__(
        self, topic: str, tables: Mapping[str, tuple[TableSchema, KafkaTable]], schemas: SchemaById | None
    ) -> None:
        self.topic = topic
        self.tables = {name: schema for name, (schema, _) in tables.items()}
        [kind] = {table.format for _, table in tables.values()}
        unit = "ms" if kind == "json" else None
        targets = [Target(schema, table, default_unit=unit) for schema, table in tables.values()]
        self._format = make_format(kind, targets, schemas)
        quick = getattr(self._format, "decode_many", None)
        self._many = cast("ManyAtOnce", self._format) if quick is not None else None

    @property
    def loadable(self) -> list[str]:
        """The tables whose rows are kept; those of a stream only pass."""
        return [name for name, schema in self.tables.items() if schema.kept]

    def read(
        self,
        messages: Sequence[Message],
        rejected: TableSchema,
        only: Callable[[Message], Collection[str] | None],
    ) -> Read:
        """``only``: the tables that need a record; None for all of them. Raises SourceError where a registry does not answer."""
        values = [message.value() for message in messages]
        repeated = [only(message) for message in messages]
        if self._many is not None and _are_ordinary(values, repeated):
            entries = self._many.decode_many(cast("list[bytes]", values))
            if entries is not None:
                return Read(entries, max(map(_timestamp_us, messages), default=0) or None, 0)
        found: list[Entry] = []
        newest, refused = 0, 0
        for message, value, wanted in zip(messages, values, repeated, strict=True):
            decoded, reason = self._decoded(message, value)
            newest = max(newest, decoded.committed_at_us or _timestamp_us(message))
            if reason is not None:
                refused += 1
                found.append(_rejection(message, value, reason, rejected.name))
            elif wanted is None:
                found.extend(decoded.entries)
            else:
                found.extend(entry for entry in decoded.entries if entry[1] in wanted)
        return Read(found, newest or None, refused)

    def _decoded(self, message: Message, value: bytes | None) -> tuple[Decoded, str | None]:
        """What a record says, or why it cannot be a row."""
        if value is not None and len(value) > LARGEST_RECORD_BYTES:
            return (
                NOTHING,
                f"{len(value):,} bytes are more than the {LARGEST_RECORD_BYTES:,} that a record may have",
            )
        try:
            return self._format.decode(message.key(), value, cast("Headers", message.headers() or ())), None
        except (SpringlineError, MemoryError):
            raise
        except ValueError as error:
            return NOTHING, str(error)
        except Exception as error:  # Whatever a record holds, it does not hold up those behind it.
            return NOTHING, f"{type(error).__name__}: {error}"


def rejected_records(source: str) -> TableSchema:
    """The table of records that could not be rows."""
    columns = (
        Column("topic", STRING, nullable=False),
        Column("partition", BIGINT, nullable=False),
        Column("offset", BIGINT, nullable=False),
        Column("key", STRING),
        Column("value", STRING),
        Column("reason", STRING, nullable=False),
    )
    key = ("topic", "partition", "offset")
    return TableSchema(f"{source}.rejected_records", columns, key, "Records that could not be rows")


def _are_ordinary(values: Sequence[bytes | None], repeated: Sequence[Collection[str] | None]) -> bool:
    """Whether all are values for all tables, of an ordinary size."""
    return all(one is None for one in repeated) and all(
        value is not None and len(value) <= LARGEST_RECORD_BYTES for value in values
    )


def _rejection(message: Message, value: bytes | None, reason: str, table: str) -> Entry:
    row: list[Any] = [
        message.topic(),
        message.partition(),
        message.offset(),
        _excerpt(message.key(), _KEPT_OF_A_KEY),
        _excerpt(value, _KEPT_OF_A_VALUE),
        reason[:_KEPT_OF_A_VALUE].encode(errors="replace").decode(),
    ]
    return ("r", table, None, row)


def _excerpt(data: bytes | None, most: int) -> str | None:
    return None if data is None else data[:most].decode(errors="replace")


def _timestamp_us(message: Message) -> int:
    """When a record was written, as its producer or broker says; 0 where neither does."""
    kind, milliseconds = message.timestamp()
    return milliseconds * 1_000 if kind and milliseconds > 0 else 0
