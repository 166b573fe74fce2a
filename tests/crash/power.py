"""Power cuts: the application runs in this process, on a disk that forgets what was not synced."""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections.abc import Callable, Iterator

from springline.errors import SpringlineError
from springline.runtime.embedded.runtime import EmbeddedRuntime
from springline.testing.crash import POINTS, crash_at
from springline.testing.lossy_vfs import LossyDisk
from tests.crash.application import build, catch_up
from tests.crash.compare import Differences, compare, torn
from tests.crash.mutants import MUTANTS
from tests.crash.rounds import CATCH_UP_MS, Tally, World


class PowerRound:
    """Cuts the power several times, over one world, and checks after each cut."""

    def __init__(
        self, world: World, tally: Tally, say: Callable[[str], None], *, mutant: str | None = None
    ) -> None:
        self._world = world
        self._tally = tally
        self._say = say
        self._mutant = mutant
        self._disk = LossyDisk()

    def run(self, cuts: int, deadline: float) -> None:
        """Stops early where something was found: what follows would find it again."""
        with contextlib.ExitStack() as patches:
            patches.callback(self._disk.close)
            patches.enter_context(_quiet_logs())
            if self._mutant is not None:
                patches.enter_context(MUTANTS[self._mutant]())
            for _ in range(cuts):
                self._cut()
                if not self._check() or time.monotonic() > deadline:
                    return

    def _cut(self) -> None:
        world, chance = self._world, self._world.chance
        kept, luck = chance.choice((0.0, 0.0, 0.3, 0.7)), random.Random(chance.getrandbits(32))
        point = chance.choice((None, *sorted(POINTS)))
        if point is None or chance.random() < 0.5:
            self._disk.crash_in(int(10 ** chance.uniform(0.5, 3.3)), kept=kept, random=luck)
        runtime = build(world.dsn, world.folder, world.data, vfs=self._disk.name)

        def cut() -> None:
            self._disk.crash(kept=kept, random=luck)

        with (
            crash_at(point, cut, after=chance.choice((1, 3, 10, 40)))
            if point
            else contextlib.nullcontext() as reached
        ):
            with contextlib.suppress(SpringlineError):
                runtime.start()
            if chance.random() < 0.3:
                world.client.bulk()
            if reached is not None:
                reached.wait(2.0)
            else:
                self._wait_for_the_cut(chance.uniform(0.05, 1.5))
            unsynced = self._disk.unsynced_bytes()
            if not self._disk.is_dead:
                cut()
        _end(runtime)
        self._disk.power_on()
        too_much = world.acknowledged_too_much()
        self._tally.power_losses += 1
        self._tally.acknowledged_too_much += too_much
        found = torn(world.data / "state.db")
        self._tally.found.add(found)
        place = f" at {point}" if point else ""
        self._say(
            f"power cut {self._tally.power_losses}{place}: {unsynced >> 10} KiB unsynced, {kept:.0%} of it kept"
            + (", ACKNOWLEDGED MORE THAN THE LOG HOLDS" if too_much else "")
            + "".join(f"\n  {note}" for note in found.notes)
        )

    def _wait_for_the_cut(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not self._disk.is_dead and time.monotonic() < deadline:
            time.sleep(0.005)

    def _check(self) -> bool:
        world = self._world
        runtime = build(world.dsn, world.folder, world.data, vfs=self._disk.name)
        try:
            runtime.start()
            with world.quiet():
                catch_up(runtime, CATCH_UP_MS)
                with runtime.read() as snapshot:
                    found = compare(snapshot.connection, world.dsn, world.folder)
        except SpringlineError as error:
            found = _not_caught_up(error, runtime)
        finally:
            runtime.stop()
        self._tally.checks += 1
        self._tally.found.add(found)
        verdict = "equal" if not found else "\n  ".join(["DIFFERENT", *found.notes])
        self._say(f"check {self._tally.checks}: {found.compared} rows and texts: {verdict}")
        return not found and self._tally.is_clean()


def _not_caught_up(error: SpringlineError, runtime: EmbeddedRuntime) -> Differences:
    found = Differences(lost=1)
    found.note(f"not caught up: {error}")
    with contextlib.suppress(Exception):
        found.note(f"errors: {list(runtime.status().errors)}")
    return found


def _end(runtime: EmbeddedRuntime) -> None:
    """The process would be gone; here its threads must end and its files be closed, whatever they say."""
    with contextlib.suppress(Exception):
        runtime.stop()


@contextlib.contextmanager
def _quiet_logs() -> Iterator[None]:
    """A machine without power reports many errors."""
    logger = logging.getLogger("springline")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
