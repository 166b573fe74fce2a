"""The replay against a real PostgreSQL: exactly once, in order, and ending in the recorded facts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg2
import pytest

from springline.demo import airline, facts, tau_replay
from springline.demo.replay import PROGRESS_TABLE, Replay, StormClock, due_count
from springline.demo.scenario import Event
from springline.errors import ConfigurationError

START = datetime(2013, 2, 7, 4, tzinfo=facts.NEW_YORK)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def insert(minutes: float, number: int, kind: str = "insert") -> Event:
    return Event(at(minutes), "INSERT INTO seen VALUES (%s)", (number,), kind, f"number {number}")


class Database:
    """Reads for assertions, in a connection of its own."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.connection = psycopg2.connect(dsn)
        self.connection.autocommit = True

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def database(postgres_database: Any) -> Iterator[Database]:
    made = Database(postgres_database.dsn)
    yield made
    made.connection.close()


@pytest.fixture
def numbers(database: Database) -> Database:
    database.rows("CREATE TABLE seen (number integer PRIMARY KEY)")
    return database


def replay(database: Database, events: list[Event], **how: Any) -> Replay:
    return Replay(database.dsn, "test", events, START, at(120), **{"speed": 1000.0, **how})


def test_the_storm_clock_runs_pauses_and_changes_speed() -> None:
    real = [0.0]
    clock = StormClock(START, 60, lambda: real[0])
    real[0] = 10
    assert clock.now() == at(10)
    clock.set(speed=120)
    real[0] = 15
    assert clock.now() == at(20)
    clock.set(paused=True)
    real[0] = 100
    assert clock.now() == at(20)
    clock.set(at=at(30))
    assert clock.now() == at(30)
    clock.set(paused=False)
    real[0] = 101
    assert clock.now() == at(32)


def test_events_are_due_at_their_moment_and_not_before() -> None:
    events = [insert(1, 1), insert(2, 2), insert(2, 3), insert(3, 4)]
    assert [due_count(events, 0, at(minutes)) for minutes in (0, 0.99, 1, 2, 3)] == [0, 0, 1, 3, 4]
    assert due_count(events, 3, at(2)) == 0


def test_nothing_happens_before_its_moment(numbers: Database) -> None:
    client = replay(numbers, [insert(1, 1), insert(60, 2)], paused=True)
    client.start()
    client.jump(at(59))
    wait_until(lambda: client.status().events_done == 1)
    time.sleep(0.1)
    assert numbers.rows("SELECT number FROM seen") == [(1,)]
    client.jump(at(60))
    assert client.wait(10)
    client.stop()
    assert client.status().finished


def test_a_stopped_replay_resumes_where_it_was(numbers: Database) -> None:
    events = [insert(minute, minute) for minute in range(1, 101)]
    first = replay(numbers, events, paused=True)
    first.start()
    first.jump(at(40.5))
    wait_until(lambda: first.status().events_done == 40)
    first.stop()
    second = replay(numbers, events, paused=True)
    second.start()
    assert second.status().events_done == 40
    assert second.status().clock == at(40.5)
    second.jump(at(100))
    assert second.wait(10)
    second.stop()
    assert numbers.rows("SELECT count(*) FROM seen") == [(100,)]


def test_a_lost_connection_neither_loses_nor_repeats(numbers: Database) -> None:
    events = [insert(minute / 20, minute) for minute in range(1, 2001)]
    client = replay(numbers, events, speed=1_500)
    client.start()
    for _ in range(3):
        time.sleep(0.2)
        numbers.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test replay'"
        )
        wait_until(lambda: client.status().problem is None)
    client.set_speed(100_000)
    assert client.wait(30)
    client.stop()
    assert numbers.rows("SELECT count(*), max(number) FROM seen") == [(2000, 2000)]


def test_an_event_that_the_database_refuses_is_skipped_and_counted(numbers: Database) -> None:
    client = replay(numbers, [insert(minute, minute) for minute in range(1, 51)], paused=True)
    numbers.rows("INSERT INTO seen VALUES (25)")
    client.start()
    client.jump(at(50))
    assert client.wait(10)
    client.stop()
    assert numbers.rows("SELECT count(*) FROM seen") == [(50,)]
    assert client.status().skipped == 1


def test_another_plan_is_refused(numbers: Database) -> None:
    first = replay(numbers, [insert(1, 1)])
    first.start()
    first.stop()
    with pytest.raises(ConfigurationError, match="another version"):
        replay(numbers, [insert(1, 2)]).start()


def test_time_does_not_go_back_and_speeds_are_sane(numbers: Database) -> None:
    client = replay(numbers, [insert(1, 1)], paused=True)
    client.start()
    client.jump(at(30))
    with pytest.raises(ConfigurationError, match="cannot go back"):
        client.jump(at(29))
    with pytest.raises(ConfigurationError, match="speed"):
        client.set_speed(0)
    client.stop()
    client.stop()


def test_the_storm_ends_in_the_recorded_facts(database: Database) -> None:
    scenario = airline.scenario()
    connection = psycopg2.connect(database.dsn)
    assert not scenario.is_created(connection)
    scenario.create(connection)
    assert scenario.is_created(connection)
    connection.close()
    client = Replay(
        database.dsn,
        scenario.name,
        scenario.events(),
        scenario.clock_start,
        scenario.clock_end,
        speed=scenario.speed,
    )
    client.start()
    client.jump(scenario.clock_end)
    assert client.wait(120)
    client.stop()
    status = client.status()
    assert (status.cancelled, status.skipped, status.events_done) == (895, 0, len(scenario.events()))
    shown = database.rows(
        "SELECT flight_id, status, actual_departure, actual_arrival, arrival_delay_minutes, tail_number FROM flights"
        " ORDER BY flight_id"
    )
    assert shown == [expected(flight) for flight in facts.flights()]
    assert database.rows("SELECT count(*) FROM weather") == [(288,)]
    assert database.rows(
        "SELECT count(*) FROM flights WHERE status = 'cancelled' AND service_date = '2013-02-08'"
    ) == [(472,)]


def expected(flight: facts.Flight) -> tuple[object, ...]:
    """The row that the database must end with."""
    status = "cancelled" if flight.cancelled else "diverted" if flight.diverted else "arrived"
    tail = None if flight.cancelled else flight.tail_number
    delay = None if flight.diverted else flight.arrival_delay
    return (flight.flight_id, status, flight.departure, flight.arrival, delay, tail)


def test_every_column_of_the_database_is_described(database: Database) -> None:
    connection = psycopg2.connect(database.dsn)
    airline.create(connection)
    connection.close()
    described = database.rows(
        "SELECT c.relname || '.' || a.attname, col_description(c.oid, a.attnum) FROM pg_class c"
        " JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped"
    )
    assert {name for name, _ in described} == set(airline.PROVENANCE)
    assert all(comment and comment.endswith(f"({airline.PROVENANCE[name]})") for name, comment in described)
    assert PROGRESS_TABLE not in airline.scenario().tables


def test_the_tau_replay_stays_within_its_two_days() -> None:
    morning = datetime(2024, 5, 16, 9, tzinfo=tau_replay.EASTERN)
    instances = [
        tau_replay.Instance(
            f"HAT{number:03d}", morning.date(), "available", morning, morning + timedelta(hours=2),
            None, None, None, None, ("business", "economy"),
        )
        for number in range(60)
    ]  # fmt: skip
    events = tau_replay.plan(1, instances)
    assert events == tau_replay.plan(1, instances)
    assert {"cancelled", "delayed", "on time", "flying", "landed", "seats"} == {
        event.kind for event in events
    }
    assert all(tau_replay.CLOCK_START < event.at <= tau_replay.CLOCK_END for event in events)
    ended = {tau_replay.instance_key(event): event.kind for event in events if event.kind != "seats"}
    assert set(ended.values()) == {"cancelled", "landed"}


def wait_until(condition: Any, timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)
