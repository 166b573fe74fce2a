"""Server processes for tests and trials: each in a session of its own, its output in a file, none left behind.

A process ends with the program that started it, however that one ends: in order (``end``), by an exception (``atexit``)
or killed itself, for which each has a guard, a shell that waits for our end of a pipe to close.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from springline.errors import ConfigurationError

POLL_S: Final = 0.05
PORTS: Final = range(20_000, 32_000)

_GUARD: Final = 'read -r over || kill -9 -- "-$1"'
_running: set[ServerProcess] = set()


class ServerProcess:
    """One running process and whatever it starts. Not thread-safe."""

    def __init__(
        self, name: str, command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Starts ``command`` in the folder of ``log``, to which its output is appended. ``environment`` goes over ours."""
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C in the terminal is for us, who then stop it in order.
                start_new_session=True,
                cwd=log.parent,
                env={**os.environ, **(environment or {})},
            )
        _running.add(self)
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", str(self.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def lives(self) -> bool:
        return self._process.poll() is None

    def ask_to_end(self) -> None:
        """SIGTERM, without waiting. Idempotent."""
        if self.lives():
            self._process.send_signal(signal.SIGTERM)

    def end(self, timeout_s: float = 30.0) -> None:
        """Asks it to end and kills it where it has not within ``timeout_s``. Idempotent."""
        if self.lives():
            self.ask_to_end()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the process and all that it started; returns when it is gone. Idempotent."""
        if self not in _running:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        # The guard hears that all is over before it could take the closed pipe for our death.
        with contextlib.suppress(BrokenPipeError):
            self._guard.communicate(b"\n")
        _running.discard(self)

    def wait_until(self, answers: Callable[[], bool], timeout_s: float) -> None:
        """Returns when ``answers()`` is true. Raises ConfigurationError, with the end of the log, where the process ends
        before that or the time is over. ``answers`` may not block for long, and raises nothing."""
        deadline = time.monotonic() + timeout_s
        while not answers():
            if not self.lives():
                raise self._failed(f"ended with status {self._process.returncode}")
            if time.monotonic() > deadline:
                raise self._failed(f"does not answer after {timeout_s:g} s")
            time.sleep(POLL_S)

    def log_tail(self, lines: int = 20) -> str:
        """The last lines that it printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _failed(self, what: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self.name} {what}. The end of {self.log}:\n{self.log_tail()}\n",
            hint="See what it says about a port, the memory or the disk, then start it again.",
        )


def kill_all() -> None:
    """Kills every process that this one started here. Runs by itself at the end of the program."""
    for process in tuple(_running):
        process.kill()


atexit.register(kill_all)


def free_ports(count: int) -> list[int]:
    """Different ports of the loopback interface that nobody listens on.

    They lie below those that the system gives to outgoing connections: a client that retries while its server is down
    would otherwise take the server's port one day, or connect to itself.
    """
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise ConfigurationError(
        f"No {count} ports between {PORTS.start} and {PORTS.stop} are free on 127.0.0.1.",
        hint="Stop what listens there, or say which port to use.",
    )


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: connections of the last one that are still timing out do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
