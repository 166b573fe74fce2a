"""A small application's job as text, and the decisions behind it."""

from __future__ import annotations

import dataclasses
import json

import pytest

from springline.core.schema import Column, EventTime, TableSchema
from springline.core.types import parse_type
from springline.errors import ConfigurationError, SqlError
from springline.runtime.embedded.changing import ViewDefinition
from springline.runtime.flink.compile import compile_job
from springline.runtime.flink.ddl import flink_type
from springline.runtime.flink.definition import Job, JobDefinition, KafkaSettings
from springline.runtime.flink.submit import explain_job
from springline.sql import Functions
from tests.unit.runtime.flink import functions_of_an_application

KAFKA = KafkaSettings("kafka:9092", {"security.protocol": "SSL"})


def schema(name: str, columns: str, key: str = "", *, kept: bool = True) -> TableSchema:
    made = [one.strip().split(" ", 1) for one in columns.split(";")]
    keys = tuple(key.split())
    return TableSchema(
        name,
        tuple(Column(one, parse_type(kind), nullable=one not in keys) for one, kind in made),
        keys,
        kept=kept,
    )


ORDERS = schema("shop.orders", "id INT; customer STRING; total DECIMAL(8, 2); at TIMESTAMP", "id")


def job(
    *views: ViewDefinition,
    tables: tuple[TableSchema, ...] = (ORDERS,),
    generation: int = 1,
    **options: object,
) -> Job:
    return compile_job(JobDefinition("store", tables, views, **options), KAFKA, generation)  # pyright: ignore[reportArgumentType]


def statements(made: Job, about: str) -> list[str]:
    return [one.sql for one in made.statements if one.about == about]


def test_a_table_is_read_and_copied_through() -> None:
    source, sink, insert = statements(job(), "shop.orders")
    assert source == (
        "CREATE TABLE `shop.orders` (\n"
        "  `id` INT NOT NULL,\n"
        "  `customer` STRING,\n"
        "  `total` DECIMAL(8, 2),\n"
        "  `at` TIMESTAMP(6),\n"
        "  PRIMARY KEY (`id`) NOT ENFORCED\n"
        ") WITH (\n"
        "  'connector' = 'kafka',\n"
        "  'topic' = 'store.shop.orders',\n"
        "  'properties.bootstrap.servers' = 'kafka:9092',\n"
        "  'properties.security.protocol' = 'SSL',\n"
        "  'properties.group.id' = 'store-1',\n"
        "  'properties.isolation.level' = 'read_committed',\n"
        "  'properties.partition.discovery.interval.ms' = '60000',\n"
        "  'scan.startup.mode' = 'earliest-offset',\n"
        "  'format' = 'debezium-json',\n"
        "  'debezium-json.timestamp-format.standard' = 'SQL',\n"
        "  'debezium-json.ignore-parse-errors' = 'true'\n"
        ")"
    )
    assert sink == (
        "CREATE TABLE `to:shop.orders` (\n"
        "  `id` INT NOT NULL,\n"
        "  `customer` STRING,\n"
        "  `total` DECIMAL(8, 2),\n"
        "  `at` TIMESTAMP(6),\n"
        "  PRIMARY KEY (`id`) NOT ENFORCED\n"
        ") WITH (\n"
        "  'connector' = 'upsert-kafka',\n"
        "  'topic' = 'store.derived-1.shop.orders',\n"
        "  'properties.bootstrap.servers' = 'kafka:9092',\n"
        "  'properties.security.protocol' = 'SSL',\n"
        "  'key.format' = 'json',\n"
        "  'value.format' = 'json',\n"
        "  'key.json.timestamp-format.standard' = 'SQL',\n"
        "  'key.json.encode.decimal-as-plain-number' = 'true',\n"
        "  'value.json.timestamp-format.standard' = 'SQL',\n"
        "  'value.json.encode.decimal-as-plain-number' = 'true',\n"
        "  'sink.delivery-guarantee' = 'exactly-once',\n"
        "  'sink.transactional-id-prefix' = 'store-1-shop.orders',\n"
        "  'sink.parallelism' = '1',\n"
        "  'properties.transaction.timeout.ms' = '600000'\n"
        ")"
    )
    assert insert == "INSERT INTO `to:shop.orders` SELECT `id`, `customer`, `total`, `at` FROM `shop.orders`"


def test_a_view_is_a_temporary_view_and_an_insert_of_its_declared_types() -> None:
    made = job(ViewDefinition("spent", "SELECT customer, SUM(total) AS total FROM orders GROUP BY customer"))
    view, sink, insert = statements(made, "spent")
    assert view == (
        "CREATE TEMPORARY VIEW `spent` AS SELECT `customer`, SUM(`total`) AS `total` FROM `shop.orders` AS `orders` GROUP BY `customer`"
    )
    assert "  `_key` STRING NOT NULL,\n  PRIMARY KEY (`_key`) NOT ENFORCED\n" in sink
    assert "'value.fields-include' = 'EXCEPT_KEY'" in sink
    assert insert == (
        "INSERT INTO `to:spent` SELECT CAST(`customer` AS STRING), CAST(`total` AS DECIMAL(18, 2)),"
        " JSON_ARRAY(CAST(`customer` AS STRING) NULL ON NULL) FROM `spent`"
    )


def test_a_key_that_cannot_be_null_is_the_topics() -> None:
    made = job(ViewDefinition("large", "SELECT id, total FROM orders WHERE total > 100"))
    relation = next(one for one in made.relations if one.name == "large")
    assert (relation.key_column, relation.schema.key, relation.topic) == (
        None,
        ("id",),
        "store.derived-1.large",
    )
    assert "PRIMARY KEY (`id`) NOT ENFORCED" in statements(made, "large")[1]


def test_a_computed_key_collides_with_no_column() -> None:
    made = job(
        ViewDefinition("spent", "SELECT customer AS _key, COUNT(*) AS n FROM orders GROUP BY customer")
    )
    assert next(one.key_column for one in made.relations if one.name == "spent") == "_key_"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT a.id, b.n FROM orders AS a LEFT JOIN (SELECT id, COUNT(*) AS n FROM orders GROUP BY id) AS b ON a.id = b.id",
        "SELECT id FROM orders WHERE id IN (SELECT id FROM orders)",
        "SELECT id FROM orders AS a WHERE NOT EXISTS (SELECT 1 AS x FROM orders AS b WHERE b.id = a.id)",
        "SELECT id, (SELECT COUNT(*) FROM orders AS b WHERE b.id = a.id) AS n FROM orders AS a",
        "SELECT id FROM matched",
    ],
)
def test_where_a_join_counts_partners_the_rows_before_are_passed_on(text: str) -> None:
    """FLINK-40681: with the plain key Flink's planner leaves them out, and rows are lost."""
    matched = ViewDefinition("matched", "SELECT a.id FROM orders AS a LEFT JOIN orders AS b ON a.id = b.id")
    made = job(matched, ViewDefinition("v", text))
    assert next(one.key_column for one in made.relations if one.name == "v") == "_key"


def test_the_key_of_one_row_is_all_of_it() -> None:
    made = job(ViewDefinition("all", "SELECT COUNT(*) AS n FROM orders"))
    assert "PRIMARY KEY (`n`) NOT ENFORCED" in statements(made, "all")[1]


def test_a_stream_is_read_as_it_comes_and_not_copied() -> None:
    clicks = schema("web.clicks", "page STRING; at TIMESTAMP", kept=False)
    made = job(
        ViewDefinition("pages", "SELECT page, COUNT(*) AS n FROM clicks GROUP BY page"), tables=(clicks,)
    )
    [source] = statements(made, "web.clicks")
    assert "'format' = 'json'" in source
    assert "PRIMARY KEY" not in source
    assert [one.name for one in made.relations] == ["pages"]


def test_views_come_after_what_they_read_and_inserts_last() -> None:
    made = job(
        ViewDefinition("gold", "SELECT customer FROM spent WHERE total > 100"),
        ViewDefinition("spent", "SELECT customer, SUM(total) AS total FROM orders GROUP BY customer"),
    )
    views = [one.about for one in made.statements if "TEMPORARY VIEW" in one.sql]
    assert views == ["spent", "gold"]
    kinds = [one.kind for one in made.statements]
    assert kinds == sorted(kinds)
    assert "FROM `spent` AS `spent` WHERE" in statements(made, "gold")[0]


def test_event_time_is_a_column_of_milliseconds_for_windows_that_close() -> None:
    windows = (
        "SELECT window_start, window_end, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(at), INTERVAL '1' MINUTE))"
        " GROUP BY window_start, window_end"
    )
    times = {"shop.orders": EventTime("at", 1_500_000, 0, 60_000_000)}
    made = job(
        ViewDefinition("minutes", windows),
        ViewDefinition("large", "SELECT id, at FROM orders"),
        event_times=times,
    )
    source, plain, timed, *_ = statements(made, "shop.orders")
    assert "CREATE TABLE `from:shop.orders`" in source
    assert (
        "  `_at` AS CAST(`at` AS TIMESTAMP(3)),\n  WATERMARK FOR `_at` AS `_at` - INTERVAL '1.500' SECOND(2, 3),"
        in source
    )
    assert "'scan.watermark.idle-timeout' = '60000 ms'" in source
    assert "'scan.watermark.emit.strategy' = 'on-event'" in source
    assert plain == (
        "CREATE TEMPORARY VIEW `shop.orders` AS SELECT `id`, `customer`, `total`, `at` FROM `from:shop.orders`"
    )
    assert timed == (
        "CREATE TEMPORARY VIEW `timed:shop.orders` AS SELECT `id`, `customer`, `total`, `_at` AS `at` FROM `from:shop.orders`"
    )
    assert "TUMBLE(TABLE `timed:shop.orders`, DESCRIPTOR(`at`)" in statements(made, "minutes")[0]
    assert "FROM `shop.orders`" in statements(made, "large")[0]


def test_a_window_over_a_view_reads_it_with_its_event_time() -> None:
    windows = (
        "SELECT window_start, window_end, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE large, DESCRIPTOR(at), INTERVAL '1' MINUTE))"
        " GROUP BY window_start, window_end"
    )
    made = job(
        ViewDefinition("large", "SELECT id, at FROM orders WHERE total > 9"),
        ViewDefinition("minutes", windows),
        event_times={"shop.orders": EventTime("at")},
    )
    plain, timed, *_ = statements(made, "large")
    assert "`large` AS SELECT `id`, `at` FROM `shop.orders`" in plain
    assert "`timed:large` AS SELECT `id`, `at` FROM `timed:shop.orders`" in timed
    assert "TABLE `timed:large`" in statements(made, "minutes")[0]


LIVE = "SELECT window_start, window_end, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(at), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LIVE, "live windows"),
        ("SELECT customer, LISTAGG(customer) AS c FROM orders GROUP BY customer", "aggregates in order"),
        ("SELECT id, RANK() OVER (ORDER BY total) AS n FROM orders", "functions OVER windows"),
        ("SELECT id, ROW_NUMBER() OVER (ORDER BY total) AS n FROM orders", "functions OVER windows"),
        (
            "SELECT customer, COUNT(DISTINCT id, total) AS n FROM orders GROUP BY customer",
            "COUNT of several distinct columns",
        ),
        (
            "SELECT id, (SELECT o.id FROM orders AS o WHERE o.customer = a.customer) AS x FROM orders AS a",
            "queries with several rows",
        ),
    ],
)
def test_what_flink_cannot_do_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(SqlError, match=f"View 'v': On Flink there are no {said}") as caught:
        job(ViewDefinition("v", text))
    assert caught.value.line == 1
    assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id, customer FROM (SELECT id, customer, ROW_NUMBER() OVER (PARTITION BY customer ORDER BY total) AS n FROM orders) AS t WHERE n <= 3",
        "SELECT id, customer FROM (SELECT id, customer, ROW_NUMBER() OVER (PARTITION BY customer ORDER BY total) AS n FROM orders) AS t WHERE id > 3 AND 3 >= n",
        "SELECT id, (SELECT MAX(o.id) FROM orders AS o WHERE o.customer = a.customer) AS x FROM orders AS a",
        "SELECT id FROM orders AS a WHERE id IN (SELECT id FROM orders) AND EXISTS (SELECT 1 AS x FROM orders AS o WHERE o.id = a.id)",
    ],
)
def test_what_flink_can_do_is_not(text: str) -> None:
    assert job(ViewDefinition("v", text)).statements


def test_windows_with_lateness_and_tables_without_a_key_are_refused() -> None:
    with pytest.raises(SqlError, match="allowed lateness"):
        job(ViewDefinition("v", LIVE), event_times={"shop.orders": EventTime("at", 0, 5)})
    with pytest.raises(ConfigurationError, match="tables without a key"):
        job(tables=(schema("s.prices", "id INT; price INT"),))
    with pytest.raises(ConfigurationError, match="topics cannot be"):
        compile_job(JobDefinition("my store", (ORDERS,), ()), KAFKA, 1)


def test_a_broken_view_is_named() -> None:
    with pytest.raises(SqlError, match="View 'v': There is no column 'nothing'"):
        job(ViewDefinition("v", "SELECT nothing FROM orders"))


def test_the_fingerprint_is_of_what_is_computed() -> None:
    view = ViewDefinition("large", "SELECT id FROM orders WHERE total > 100")
    assert job(view).fingerprint == job(view, generation=2).fingerprint
    assert (
        job(view).fingerprint
        != job(ViewDefinition("large", "SELECT id FROM orders WHERE total > 101")).fingerprint
    )
    assert dataclasses.replace(job(view), configuration={}).fingerprint == job(view).fingerprint


def test_a_job_is_json_and_text() -> None:
    made = job(ViewDefinition("large", "SELECT id FROM orders WHERE total > 100"), generation=4)
    told = json.loads(json.dumps(made.to_json()))
    assert (told["name"], told["group"], told["generation"]) == ("store-4", "store-4", 4)
    assert told["configuration"]["execution.checkpointing.mode"] == "EXACTLY_ONCE"
    shown = explain_job(made)
    assert "large        store.derived-4.large  key (id)" in shown
    assert "INSERT INTO `to:large`" in shown


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("BIGINT", "BIGINT"),
        ("DECIMAL(8, 2)", "DECIMAL(8, 2)"),
        ("DECIMAL", "DECIMAL(38, 18)"),
        ("TIMESTAMP_LTZ", "TIMESTAMP_LTZ(6)"),
        ("TIME", "TIME(3)"),
        ("ARRAY<TIMESTAMP>", "ARRAY<TIMESTAMP(6)>"),
    ],
)
def test_types(ours: str, theirs: str) -> None:
    assert flink_type(parse_type(ours)) == theirs


def test_functions_are_told_by_module_and_name() -> None:
    functions = Functions()
    functions.add_scalar("Domain", functions_of_an_application.domain, ["STRING"], "STRING")
    functions.add_scalar("shout", str.upper, ["STRING"], "STRING")
    functions.add_table(
        "words", functions_of_an_application.words, ["STRING"], {"word": "STRING", "place": "INT"}
    )
    made = job(ViewDefinition("v", "SELECT id, DOMAIN(customer) AS d FROM orders"), functions=functions)
    domain, shout, words = made.functions
    assert (domain.sql_name, domain.name, domain.returns) == ("domain", "domain", (("", "STRING"),))
    assert domain.file is not None
    assert domain.file.endswith("functions_of_an_application.py")
    assert (shout.module, shout.name, shout.file) == ("builtins", "str.upper", None)
    assert (words.is_table, words.returns) == (True, (("word", "STRING"), ("place", "INT")))


def test_a_function_without_a_name_is_refused() -> None:
    functions = Functions()
    functions.add_scalar("twice", lambda value: value * 2, ["INT"], "INT")
    with pytest.raises(ConfigurationError, match="has no module and name") as caught:
        job(functions=functions)
    assert "def" in str(caught.value.hint)


def test_how_it_is_connected_makes_no_other_job() -> None:
    definition = JobDefinition("store", (ORDERS,), ())
    secret = {"security.protocol": "SASL_SSL", "sasl.jaas.config": "x password=\"it''s\";"}
    one, other, third = (
        compile_job(definition, KafkaSettings(*given), 1)
        for given in (
            ("kafka:9092", secret),
            ("kafka:9093", {**secret, "sasl.jaas.config": "y"}),
            ("k:1", {}),
        )
    )
    assert one.fingerprint == other.fingerprint == third.fingerprint
    assert one.fingerprint != compile_job(JobDefinition("store", (), ()), KafkaSettings("k:1"), 1).fingerprint
