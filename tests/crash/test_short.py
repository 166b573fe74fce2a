"""A few kills and power cuts, so that every change of the code meets some. ``make crash`` makes many."""

from __future__ import annotations

from springline.testing.postgres import PostgresServer
from tests.crash.run import crash


def test_kills_lose_nothing_and_double_nothing(server: PostgresServer) -> None:
    said: list[str] = []
    tally = crash(server, kills=6, power_losses=0, seed=20, say=said.append)
    assert tally.line() == "kills=6 lost=0 duplicated=0 wrong=0", "\n".join(said)
    assert tally.checks == 2


def test_power_cuts_lose_nothing_and_double_nothing(server: PostgresServer) -> None:
    said: list[str] = []
    tally = crash(server, kills=0, power_losses=3, seed=21, say=said.append)
    assert tally.line() == "kills=0 power_losses=3 lost=0 duplicated=0 wrong=0", "\n".join(said)
