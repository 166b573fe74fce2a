"""An application as one Flink SQL job: pure, from definitions to statements.

::

    source topics ──> CREATE TABLE `source.table` ──> CREATE TEMPORARY VIEW `view` ──> INSERT INTO `to:view` ──> derived topics

Tables are copied through, because a node that serves must read tables and views as of the same checkpoint; streams are not.
A table with event time is a table with an extra column for it, ``_at``, and two views: ``source.table`` with the column as it
is, and ``timed:source.table`` in which it is the milliseconds that Flink's windows want. Each view is a temporary view, so that
Flink's planner sees through views on views, and one INSERT; all INSERTs are one job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from sqlglot import exp

from springline.core.schema import TableSchema
from springline.errors import SqlError
from springline.log.kafka.names import (
    check_application,
    derived_topic,
    job_group,
    table_topic,
    transaction_prefix,
)
from springline.runtime.embedded.changing import ViewDefinition, check_names, compile_all
from springline.runtime.flink import gaps, lacking
from springline.runtime.flink.configuration import defaults
from springline.runtime.flink.ddl import flink_type, literal, name
from springline.runtime.flink.definition import (
    DerivedRelation,
    Job,
    JobDefinition,
    KafkaSettings,
    PythonFunction,
    Statement,
)
from springline.runtime.flink.functions import python_functions
from springline.runtime.flink.reading import Reading, read
from springline.runtime.flink.rewriting import rewritten
from springline.sql.compile import compile_view
from springline.sql.program import ViewProgram

TRANSACTION_TIMEOUT_MS: Final = 600_000
"""Below the broker's own limit of 15 minutes (``transaction.max.timeout.ms``)."""


def compile_job(
    definition: JobDefinition,
    settings: KafkaSettings,
    generation: int,
    *,
    configuration: Mapping[str, str] | None = None,
) -> Job:
    """The job of an application. ``configuration``: Flink's settings that go over ``configuration.py``.

    Raises ConfigurationError for names that topics cannot have and for tables that Flink cannot keep; SqlError, with the view's name, line
    and column, for what its SQL cannot do there (``gaps.py``).
    """
    check_application(definition.application)
    return _Compiler(definition, settings, generation).job({**defaults(), **(configuration or {})})


class _Compiler:
    def __init__(self, definition: JobDefinition, settings: KafkaSettings, generation: int) -> None:
        self._application = definition.application
        self._generation = generation
        self._settings = settings
        self._functions = definition.functions
        event_times = definition.event_times
        self._tables = {
            one.name: replace(one, event_time=event_times.get(one.name, one.event_time))
            for one in definition.tables
        }
        self._views = {one.name: one for one in definition.views}
        check_names(definition.views, self._tables.values())
        found = compile_all(definition.views, self._tables, self._compile_view)
        for broken, error in found.broken.items():
            raise error.of_view(broken)
        self._programs = found.programs
        self._schemas = {**self._tables, **{one: program.schema for one, program in self._programs.items()}}
        self._statements: list[Statement] = []
        self._timed: set[str] = set()
        self._counting: set[str] = set()
        """Views in which a join counts the partners of a row (``_counts_partners``), or whose inputs are such."""
        self._shapes: dict[str, set[str]] = {}
        """What of ``lacking.shapes`` each view has, with its inputs."""

    def _compile_view(self, view: ViewDefinition, schemas: Mapping[str, TableSchema]) -> ViewProgram:
        return compile_view(
            view.name, view.text, schemas, key=view.key, windows=view.windows, functions=self._functions
        )

    def job(self, configuration: Mapping[str, str]) -> Job:
        for table in self._tables.values():
            self._source(table)
        for view in self._programs:
            self._define_view(view, timed=False)
        relations = [self._derived(schema) for schema in self._schemas.values() if schema.kept]
        for one in relations:
            self._sink(one)
        for one in relations:
            self._insert(one)
        return Job(
            self._application,
            self._generation,
            job_group(self._application, self._generation),
            tuple(self._statements),
            tuple(relations),
            self._used_functions(),
            configuration,
        )

    def _used_functions(self) -> tuple[PythonFunction, ...]:
        return () if self._functions is None else python_functions(self._functions)

    def _define(self, relation: str, sql: str) -> None:
        self._statements.append(Statement("define", sql, relation))

    # -- sources ---------------------------------------------------------------------------------------------------

    def _source(self, table: TableSchema) -> None:
        if table.kept and not table.key:
            raise gaps.refused_relation(table.name, "tables without a key")
        columns = _columns(table)
        timed = table.event_time
        if timed is not None:
            column, delay_us = name(_free(table, "_at")), timed.delay_us
            kind = (
                "TIMESTAMP_LTZ(3)"
                if table.column(timed.column).type.name == "TIMESTAMP_LTZ"
                else "TIMESTAMP(3)"
            )
            columns.append(f"{column} AS CAST({name(timed.column)} AS {kind})")
            delay = f" - {_interval(delay_us)}" if delay_us else ""
            columns.append(f"WATERMARK FOR {column} AS {column}{delay}")
        if table.key and table.kept:
            columns.append(f"PRIMARY KEY ({_names(table.key)}) NOT ENFORCED")
        options = self._options("kafka", table_topic(self._application, table.name)) | {
            "properties.group.id": job_group(self._application, self._generation),
            "properties.isolation.level": "read_committed",
            "properties.partition.discovery.interval.ms": "60000",
            "scan.startup.mode": "earliest-offset",
            "format": "debezium-json" if table.kept else "json",
            **_format("debezium-json" if table.kept else "json"),
        }
        if timed is not None:
            # With every row, so that a checkpoint holds the windows that its rows have closed.
            options["scan.watermark.emit.strategy"] = "on-event"
            if timed.idle_after_us is not None:
                options["scan.watermark.idle-timeout"] = f"{max(1, timed.idle_after_us // 1000)} ms"
        stored = table.name if timed is None else f"from:{table.name}"
        self._define(table.name, _create(stored, columns, options))
        if timed is not None:
            self._define(
                table.name,
                f"CREATE TEMPORARY VIEW {name(table.name)} AS SELECT {_names(table.names)} FROM {name(stored)}",
            )
            shown = ", ".join(
                f"{name(_free(table, '_at'))} AS {name(one)}" if one == timed.column else name(one)
                for one in table.names
            )
            self._define(
                table.name,
                f"CREATE TEMPORARY VIEW {name('timed:' + table.name)} AS SELECT {shown} FROM {name(stored)}",
            )

    def _options(self, connector: str, topic: str) -> dict[str, str]:
        extra = {f"properties.{key}": value for key, value in self._settings.options.items()}
        return {
            "connector": connector,
            "topic": topic,
            "properties.bootstrap.servers": self._settings.bootstrap,
            **extra,
        }

    # -- views -----------------------------------------------------------------------------------------------------

    def _define_view(self, view: str, *, timed: bool) -> None:
        """``timed``: with the event time that it passes on as Flink's time attribute, for windows over it."""
        definition, program = self._views[view], self._programs[view]
        try:
            sql = self._rewritten(definition, program, timed=timed)
        except SqlError as error:
            raise error.of_view(view) from None
        self._define(view, f"CREATE TEMPORARY VIEW {name(('timed:' if timed else '') + view)} AS {sql}")

    def _rewritten(self, view: ViewDefinition, program: ViewProgram, *, timed: bool) -> str:
        known = {one: schema for one, schema in self._schemas.items() if one != view.name}
        reading = read(view.text, known, self._functions)
        closes = bool(program.close)
        gaps.check(reading.tree, reading.where, closes=closes)
        lacking.check(reading)
        if lacking.shows_keys_alone(reading, program.schema):
            raise gaps.refused(reading.where, reading.tree, "first rows of keys alone")
        self._check_shapes(view.name, reading)
        if _counts_partners(reading) or any(one.name in self._counting for one in reading.tables.values()):
            self._counting.add(view.name)
        if closes:
            self._check_lateness(reading)

        def relation(schema: TableSchema) -> str:
            if schema.event_time is None or not (closes or timed):
                return schema.name
            if schema.name in self._programs and schema.name not in self._timed:
                self._timed.add(schema.name)
                self._define_view(schema.name, timed=True)
            return f"timed:{schema.name}"

        return rewritten(reading, relation)

    def _check_shapes(self, view: str, reading: Reading) -> None:
        inputs = (self._shapes.get(one.name, set[str]()) for one in reading.tables.values())
        self._shapes[view] = lacking.shapes(reading.tree).union(*inputs)
        if {lacking.CORRELATED, lacking.APART} <= self._shapes[view]:
            raise gaps.refused(
                reading.where, reading.tree, "correlated queries as values beside LIMIT, EXISTS or IN"
            )

    def _check_lateness(self, reading: Reading) -> None:
        for schema in reading.tables.values():
            if schema.event_time is not None and schema.event_time.lateness_us:
                raise gaps.refused(reading.where, reading.tree, "allowed lateness")

    # -- sinks -----------------------------------------------------------------------------------------------------

    def _derived(self, schema: TableSchema) -> DerivedRelation:
        nullable = not schema.key or any(schema.column(one).nullable for one in schema.key)
        computed = schema.name not in self._tables and (nullable or schema.name in self._counting)
        if computed and any(schema.column(one).type.name == "BYTES" for one in schema.key):
            raise gaps.refused_relation(schema.name, "keys of BYTES that may be NULL")
        return DerivedRelation(
            schema.name,
            derived_topic(self._application, self._generation, schema.name),
            schema,
            transaction_prefix(self._application, self._generation, schema.name),
            _free(schema, "_key") if computed else None,
        )

    def _sink(self, relation: DerivedRelation) -> None:
        schema = relation.schema
        columns = _columns(schema)
        options = self._options("upsert-kafka", relation.topic) | {
            "key.format": "json",
            "value.format": "json",
            **_format("key.json", written=True),
            **_format("value.json", written=True),
            "sink.delivery-guarantee": "exactly-once",
            "sink.transactional-id-prefix": relation.transaction_prefix,
            "sink.parallelism": "1",
            "properties.transaction.timeout.ms": str(TRANSACTION_TIMEOUT_MS),
        }
        key: Sequence[str] = schema.key
        if relation.key_column is not None:
            columns.append(f"{name(relation.key_column)} STRING NOT NULL")
            key = (relation.key_column,)
            options["value.fields-include"] = "EXCEPT_KEY"
        columns.append(f"PRIMARY KEY ({_names(key)}) NOT ENFORCED")
        self._define(relation.name, _create(f"to:{relation.name}", columns, options))

    def _insert(self, relation: DerivedRelation) -> None:
        schema = relation.schema
        shown = [f"CAST({name(one.name)} AS {flink_type(one.type)})" for one in schema.columns]
        if schema.name in self._tables:
            shown = [name(one.name) for one in schema.columns]
        if relation.key_column is not None:
            shown.append(_key_text(schema))
        sql = (
            f"INSERT INTO {name('to:' + relation.name)} SELECT {', '.join(shown)} FROM {name(relation.name)}"
        )
        self._statements.append(Statement("insert", sql, relation.name))


def _columns(schema: TableSchema) -> list[str]:
    return [
        f"{name(one.name)} {flink_type(one.type)}{' NOT NULL' if one.name in schema.key and not one.nullable else ''}"
        for one in schema.columns
    ]


def _counts_partners(reading: Reading) -> bool:
    """Whether a view has an outer join, or a subquery that becomes a semi, anti or outer join.

    Flink's join counts a replaced partner twice where it is not told of the row before (FLINK-40681), and then never shows that the last
    one is gone. Where the sink's key is computed, which Flink cannot see through, all operators pass the rows before on.
    """
    return any(
        (isinstance(one, exp.Join) and one.side.upper() in ("LEFT", "RIGHT", "FULL"))
        or isinstance(one, exp.Exists)
        or (isinstance(one, exp.In) and one.args.get("query") is not None)
        or (isinstance(one, exp.Subquery) and not isinstance(one.parent, exp.From | exp.Join))
        for one in reading.tree.walk()
    )


def _key_text(schema: TableSchema) -> str:
    """A key that may have NULLs, or has no columns, as one text."""
    parts = [f"CAST({name(one)} AS STRING)" for one in schema.key]
    return f"JSON_ARRAY({', '.join(parts)} NULL ON NULL)" if parts else "'[]'"


def _create(relation: str, columns: Sequence[str], options: Mapping[str, str]) -> str:
    listed = ",\n  ".join(columns)
    chosen = ",\n  ".join(f"{literal(key)} = {literal(value)}" for key, value in options.items())
    return f"CREATE TABLE {name(relation)} (\n  {listed}\n) WITH (\n  {chosen}\n)"


def _format(prefix: str, *, written: bool = False) -> dict[str, str]:
    made = {f"{prefix}.timestamp-format.standard": "SQL"}
    if written:
        return made | {f"{prefix}.encode.decimal-as-plain-number": "true"}
    # Only capture writes there, and all that it writes can be read. A record of somebody else's must not end the job again and again: there is no
    # way to take it out of a topic. Capture tells of it, and makes no cut of a table whose types have changed.
    return made | {f"{prefix}.ignore-parse-errors": "true"}


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(name, names))


def _free(schema: TableSchema, wanted: str) -> str:
    """A name that no column has, whatever its capitals."""
    taken = {one.lower() for one in schema.names}
    while wanted in taken:
        wanted += "_"
    return wanted


def _interval(microseconds: int) -> str:
    seconds, rest = divmod(microseconds, 1_000_000)
    return (
        f"INTERVAL '{seconds}{f'.{rest // 1000:03d}' if rest else ''}' SECOND({max(2, len(str(seconds)))}, 3)"
    )
