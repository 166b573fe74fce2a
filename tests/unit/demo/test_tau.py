"""The tau airline from a folder: a small one that is made here, and the real one where a variable names it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from springline.demo import tau
from springline.errors import ConfigurationError

REAL = os.environ.get("SPRINGLINE_TAU_AIRLINE")
"""The folder of the real data set; it is not part of this project."""


def write_dataset(folder: Path) -> Path:
    """Two flights, one customer, one reservation."""
    seats = {"available_seats": {"economy": 9, "business": 2}, "prices": {"economy": 120, "business": 410}}
    flight = {
        "scheduled_departure_time_est": "21:00:00",
        "scheduled_arrival_time_est": "01:30:00+1",
        "origin": "LAS",
        "destination": "JFK",
    }
    late = {
        "status": "delayed",
        "estimated_departure_time_est": "2024-05-15T22:59:00",
        "estimated_arrival_time_est": "2024-05-16T03:29:00",
    }
    dates = {
        "2024-05-14": {"status": "cancelled"},
        "2024-05-15": late,
        "2024-05-16": {"status": "available", **seats},
    }
    person = {"first_name": "Mia", "last_name": "Li", "dob": "1990-04-05"}
    user = {
        "name": {"first_name": "Mia", "last_name": "Li"},
        "address": dict.fromkeys(("address1", "address2", "city", "country", "state", "zip"), "x"),
        "email": "mia.li@example.com",
        "dob": "1990-04-05",
        "payment_methods": {"gift_card_1": {"source": "gift_card", "amount": 98, "id": "gift_card_1"}},
        "saved_passengers": [person],
        "membership": "gold",
        "reservations": ["4WQ150"],
    }
    reservation = {
        "reservation_id": "4WQ150",
        "user_id": "mia_li",
        "origin": "LAS",
        "destination": "JFK",
        "flight_type": "one_way",
        "cabin": "economy",
        "flights": [{"flight_number": "HAT001", "date": "2024-05-16", "price": 120}],
        "passengers": [person],
        "payment_history": [{"payment_id": "gift_card_1", "amount": 120}],
        "created_at": "2024-05-02T03:10:19",
        "total_baggages": 1,
        "nonfree_baggages": 0,
        "insurance": "no",
    }
    files: dict[str, dict[str, Any]] = {
        "users": {"mia_li": user},
        "reservations": {"4WQ150": reservation},
        "flights": {"HAT001": {**flight, "dates": dates}, "HAT002": {**flight, "dates": dates}},
    }
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "v2_policy.md").write_text("# Policy\n")
    return folder


def test_a_small_airline_is_loaded_and_replayed(tmp_path: Path, postgres_database: Any) -> None:
    scenario = tau.scenario(write_dataset(tmp_path))
    counts = check_scenario(scenario, postgres_database.dsn)
    assert counts["flight_dates"] == 6
    assert counts["users"] == counts["reservation_flights"] == counts["payments"] == 1
    assert [path.name for path in scenario.documents] == ["v2_policy.md"]


@pytest.mark.skipif(REAL is None, reason="SPRINGLINE_TAU_AIRLINE names no folder")
def test_the_real_airline_is_loaded_and_replayed(postgres_database: Any) -> None:
    scenario = tau.scenario(Path(REAL or ""))
    counts = check_scenario(scenario, postgres_database.dsn)
    assert (counts["users"], counts["reservations"], counts["flight_dates"]) == (500, 2_000, 9_000)
    assert len(scenario.featured) == 4


def check_scenario(scenario: tau.Scenario, dsn: str) -> dict[str, int]:
    """Create, play everything, and count the rows as they were before."""
    connection = psycopg2.connect(dsn)
    assert not scenario.is_created(connection)
    scenario.create(connection)
    assert scenario.is_created(connection)
    counts: dict[str, int] = {}
    with connection, connection.cursor() as cursor:
        for table in scenario.tables:
            cursor.execute(f"SELECT count(*) FROM {table}")
            counts[table] = (cursor.fetchone() or (0,))[0]
        for event in scenario.events():
            cursor.execute(event.sql, event.parameters)
            assert cursor.rowcount > 0, event
    connection.close()
    return counts


def test_every_column_has_a_provenance() -> None:
    assert set(tau.PROVENANCE) == {
        f"{table.name}.{column.name}" for table in tau.TABLES for column in table.columns
    }
    assert all(table.constraints[0].startswith("PRIMARY KEY (") for table in tau.TABLES)


def test_a_wrong_folder_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no policy"):
        tau.scenario(tmp_path / "nothing")
    (tmp_path / "v2_policy.md").write_text("# Policy\n")
    with pytest.raises(ConfigurationError, match=r"users\.json cannot be read"):
        tau.scenario(tmp_path)
