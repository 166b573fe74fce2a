"""``python -m bench [part …]``: runs all parts, or the named ones (also ``w1,w2``); results go to ``bench/results/latest.json`` and ``.md``.

Environment: PEERS (springline, pathway, pyflink, bytewax, plain, duckdb), BENCH_SCALE, BENCH_REPETITIONS and more; see ``bench/settings.py``
and ``docs/performance.md``.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from bench.runner import confined_to
from bench.settings import Settings

SUITE = ("w1", "curve", "w2", "w3", "w6", "nexmark")
ALONE = ("cdc", "postgres_decode")
"""Parts that print their own figures."""


def main(arguments: Sequence[str]) -> int:
    known = (*SUITE, *ALONE)
    names = [name for argument in arguments for name in argument.replace(",", " ").split()]
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"There is no benchmark {unknown[0]!r}; there are: {', '.join(known)}.", file=sys.stderr)
        return 2
    if "w1" in names:
        # The same question, asked of tables of other sizes.
        names.append("curve")
    chosen = [name for name in known if name in names] if names else list(known)
    try:
        settings = Settings.load()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if measured := [name for name in chosen if name in SUITE]:
        with confined_to(settings.other_core):
            run_suite(settings, measured)
    for name in chosen:
        if name in ALONE:
            print(f"== {name}", flush=True)
            importlib.import_module(f"bench.{name}").main()
    return 0


def run_suite(settings: Settings, names: Sequence[str]) -> None:
    from bench import results, suite, targets
    from bench.nexmark.run import measure

    run = suite.begin(settings)
    for name in names:
        print(f"== {name}", flush=True)
        if name == "curve":
            run.measure_curve()
        elif name == "nexmark":
            measure(run)
        else:
            run.measure(name)
        # After every part, so that an interrupted run leaves what it found.
        results.write(settings.results, run.results, run.lines)
    run.say(*targets.judged(run.results))
    results.write(settings.results, run.results, run.lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
