"""Kills the real process at random instants and counts what was lost, doubled or wrong: ``python -m tests.crash.run``.

Each round has a database, a folder and a data folder of its own and begins with a kill during the initial snapshot. With ``--power-losses``
the application also runs in this process, on a disk that forgets what was not synced, and the power is cut.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from springline.testing.postgres import PostgresServer
from tests.crash.mutants import MUTANTS
from tests.crash.power import PowerRound
from tests.crash.rounds import KINDS, Round, Tally, World

KILLS_A_ROUND = 12
LOSSES_A_ROUND = 6


@contextlib.contextmanager
def database_server() -> Iterator[PostgresServer]:
    """A server of its own, since it is killed. Its disk is the operating system's cache, which outlives every kill."""
    settings = {"fsync": "off", "autovacuum_naptime": "5s"}
    server = PostgresServer(Path(tempfile.mkdtemp(prefix="springline-crash-server-")), settings=settings)
    server.start()
    try:
        yield server
    finally:
        server.remove()


def crash(
    server: PostgresServer,
    *,
    kills: int,
    power_losses: int,
    seed: int,
    mutant: str | None = None,
    kinds: Mapping[str, int] = KINDS,
    check_every: int = 3,
    deadline: float = float("inf"),
    say: Callable[[str], None] = lambda _: None,
) -> Tally:
    """Runs rounds until so many kills and power cuts were made, the time is over, or something was found."""
    tally = Tally()
    chance = random.Random(seed)
    while tally.kills < kills and time.monotonic() < deadline and tally.is_clean():
        many = min(KILLS_A_ROUND, kills - tally.kills)
        with World(server, chance.getrandbits(32)) as world:
            Round(world, tally, say, mutant=mutant, kinds=kinds, check_every=check_every).run(many, deadline)
    while tally.power_losses < power_losses and time.monotonic() < deadline and tally.is_clean():
        many = min(LOSSES_A_ROUND, power_losses - tally.power_losses)
        with World(server, chance.getrandbits(32), rows=2_000) as world:
            PowerRound(world, tally, say, mutant=mutant).run(many, deadline)
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.run", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--power-losses", type=int, default=None, help="default: one for every five kills")
    parser.add_argument(
        "--seed", type=int, default=None, help="default: another one each time; it is printed"
    )
    parser.add_argument(
        "--minutes", type=float, default=None, help="stop after so long, and say what was done"
    )
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="break a promise on purpose")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    losses = -(-options.kills // 5) if options.power_losses is None else options.power_losses
    started = time.monotonic()
    deadline = started + options.minutes * 60 if options.minutes else float("inf")

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:6.1f} s] {text}", flush=True)

    say(f"{options.kills} kills and {losses} power cuts, seed {seed}")
    with database_server() as server:
        tally = crash(
            server,
            kills=options.kills,
            power_losses=losses,
            seed=seed,
            mutant=options.mutant,
            deadline=deadline,
            say=say,
        )
    starts = sorted(tally.start_s)
    kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(tally.kinds.items()))
    say(f"kinds: {kinds}; {tally.checks} checks of {tally.found.compared} rows and texts")
    if starts:
        say(f"start until ready: median {starts[len(starts) // 2]:.2f} s, longest {starts[-1]:.2f} s")
    if not tally.is_clean():
        say(f"repeat with --seed {seed}")
    print(tally.line())
    return 0 if tally.is_clean() else 1


if __name__ == "__main__":
    sys.exit(main())
