"""The crash runs notice a Springline that breaks a promise. If one of these passes unnoticed, the runs prove nothing."""

from __future__ import annotations

import pytest

from springline.testing.postgres import PostgresServer
from tests.crash.run import crash


def test_a_slot_acknowledged_before_the_log_commits_is_noticed_by_kills(server: PostgresServer) -> None:
    tally = crash(
        server,
        kills=40,
        power_losses=0,
        seed=1,
        mutant="acknowledges_before_commit",
        kinds={"running": 1},
        check_every=1,
    )
    assert tally.found.lost + tally.acknowledged_too_much > 0, tally.line()


def test_a_slot_acknowledged_before_the_log_commits_is_noticed_by_power_cuts(server: PostgresServer) -> None:
    tally = crash(server, kills=0, power_losses=20, seed=2, mutant="acknowledges_before_commit")
    assert tally.found.lost + tally.acknowledged_too_much > 0, tally.line()


def test_positions_committed_apart_from_their_rows_are_noticed(server: PostgresServer) -> None:
    tally = crash(
        server,
        kills=40,
        power_losses=0,
        seed=3,
        mutant="commits_positions_separately",
        kinds={"running": 1},
        check_every=1,
    )
    assert tally.found.duplicated + tally.found.wrong > 0, tally.line()


def test_fragments_that_are_seen_before_their_last_are_noticed(server: PostgresServer) -> None:
    tally = crash(
        server,
        kills=40,
        power_losses=0,
        seed=6,
        mutant="logs_fragments_as_transactions",
        kinds={"bulk": 1},
        check_every=1,
    )
    assert tally.found.duplicated + tally.found.wrong > 0, tally.line()


def test_ticks_committed_before_the_log_are_noticed(server: PostgresServer) -> None:
    """A state that is ahead of its log is refused at the next start."""
    with pytest.raises(RuntimeError, match=r"state\.db has applied the log up to \d+, but log\.db ends at"):
        crash(
            server,
            kills=160,
            power_losses=0,
            seed=7,
            mutant="commits_ticks_before_the_log",
            kinds={"running": 1},
            check_every=1,
        )


def test_a_log_that_is_not_synced_is_noticed_by_power_cuts(server: PostgresServer) -> None:
    tally = crash(server, kills=0, power_losses=20, seed=4, mutant="does_not_sync_the_log")
    assert tally.found.lost + tally.acknowledged_too_much > 0, tally.line()


def test_a_log_that_is_not_synced_survives_a_kill(server: PostgresServer) -> None:
    """Why the power cuts are there: killing a process cannot show this."""
    tally = crash(
        server, kills=3, power_losses=0, seed=5, mutant="does_not_sync_the_log", kinds={"running": 1}
    )
    assert tally.is_clean(), tally.found.notes
