"""What is declared of a table whose changes come in a topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from springline.core.schema import TableSchema
from springline.errors import ConfigurationError
from springline.sources.json_rows import JsonTable, schema_of

TimeUnit = Literal["s", "ms", "us", "ns"]
DecimalText = Literal["text", "base64"]

FORMATS: Final = ("avro", "canal", "debezium", "dms", "json", "json-schema", "maxwell")
NANOSECONDS: Final[Mapping[str, int]] = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


@dataclass(frozen=True, slots=True)
class KafkaTable:
    """One table whose rows or changes come in a topic.

    ``columns``, ``key`` and ``kept`` are those of ``JsonTable``: each field's SQL type as text, the columns that identify a row, and
    whether the rows are stored. A field that a record does not have is NULL, one that is not declared is ignored.

    ``format``: how the records are written, one of ``FORMATS``. ``tag``: for a topic that holds several tables, the name that its records give this
    one, ``database.table`` or ``table``; records of other tables are skipped.

    ``time_unit``: of dates with a time that are written as numbers, where the format does not say it (Debezium without schemas, plain JSON): one
    unit, or one for each column. Plain JSON takes milliseconds where nothing is declared; Debezium's numbers are rejected then, since it writes
    several units. ``decimals``: of Debezium without schemas, whether DECIMALs are texts (``decimal.handling.mode=string``) or base64.

    ``operation_field``: the field of plain JSON that says what happened, as in ``app.jsonl``.
    """

    topic: str
    columns: Mapping[str, str]
    key: Sequence[str] = field(default=())
    format: str = "debezium"
    kept: bool = True
    tag: str | None = None
    time_unit: TimeUnit | Mapping[str, TimeUnit] | None = None
    decimals: DecimalText | None = None
    operation_field: str | None = None

    def schema(self, name: str) -> TableSchema:
        """The declared table. Raises ConfigurationError."""
        return schema_of(name, JsonTable(self.columns, self.key, self.kept))


def check_tables(source: str, tables: Mapping[str, KafkaTable]) -> dict[str, TableSchema]:
    """The declared tables by the names that relations have. Raises ConfigurationError."""
    if not tables:
        raise ConfigurationError(
            f"Source {source!r} declares no table.",
            hint='tables={"orders": KafkaTable("shop.orders", {…}, key=["id"])}',
        )
    for name, table in tables.items():
        where = f"Table {name!r} of source {source!r}"
        if table.format not in FORMATS:
            raise ConfigurationError(
                f"{where} has the unknown format {table.format!r}.", hint=f"Formats: {', '.join(FORMATS)}."
            )
        _check_units(where, table)
        if table.operation_field is not None and table.format != "json":
            raise ConfigurationError(
                f"{where} names an operation_field, but {table.format!r} says itself what happened.",
                hint="Leave operation_field out; it belongs to format='json'.",
            )
        others = [other for other in tables.values() if other.topic == table.topic]
        if any(other.format != table.format for other in others):
            raise ConfigurationError(
                f"The tables of topic {table.topic!r} (source {source!r}) have different formats.",
                hint="All records of a topic are read in one format.",
            )
        if len(others) > 1 and (table.tag is None or table.format in ("json", "json-schema")):
            raise ConfigurationError(
                f"{where} shares the topic {table.topic!r} with others, and nothing says which records are its own.",
                hint="Give each a tag, the name that change records have for it: tag='shop.orders'. Plain rows carry no such name.",
            )
    return {f"{source}.{name}": table.schema(f"{source}.{name}") for name, table in tables.items()}


def _check_units(where: str, table: KafkaTable) -> None:
    given = table.time_unit
    units = {} if given is None else {"": given} if isinstance(given, str) else given
    for column, unit in units.items():
        if unit not in NANOSECONDS:
            raise ConfigurationError(
                f"{where} has the unknown time unit {unit!r}.", hint=f"Units: {', '.join(NANOSECONDS)}."
            )
        if column and column not in table.columns:
            raise ConfigurationError(
                f"{where} has a time unit for {column!r}, which is not among its columns.",
                hint=f"Its columns: {', '.join(table.columns)}.",
            )
