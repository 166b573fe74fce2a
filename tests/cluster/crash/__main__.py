"""``python -m tests.cluster.crash --kills 10 --seed 7``; ``make crash-cluster KILLS=10``."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.cluster.crash.rounds import crash


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster.crash", description="Kill parts of a cluster."
    )
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, help="default: another one each time; it is printed")
    parser.add_argument(
        "--outage", type=float, default=60.0, help="how long the broker is away at the end, in seconds"
    )
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:6.1f} s] {text}", flush=True)

    folder = Path(tempfile.mkdtemp(prefix="springline-crash-"))
    say(f"{options.kills} kills, seed {seed}" + (f", in {folder}" if options.keep else ""))
    try:
        tally = crash(folder, kills=options.kills, seed=seed, outage_s=options.outage, say=say)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    say(
        f"{tally.transactions} transactions, {tally.checks} checks, {tally.answered} answers, {tally.refused} refused"
    )
    if tally.found:
        say(f"repeat with --seed {seed}")
    print(tally.line())
    return 1 if tally.found else 0


if __name__ == "__main__":
    sys.exit(main())
