"""Server processes for tests and trials: each in a session of its own, its output in a file, none left behind.

A process ends with the program that started it, however that one ends: in order (``end``), by an exception (``atexit``)
or killed itself, for which each has a guard, a shell that waits for our end of a pipe to close.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import random
import re
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

_ERROR: Final = re.compile(r"\b(ERROR|FATAL)\b|Exception")
_ERROR_LINES: Final = 6
_GUARD: Final = 'read -r over || kill -s KILL -- "-$1"'
_running: set[ServerProcess] = set()


class ServerProcess:
    """One running process and whatever it starts. Not thread-safe."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        lock: int,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Starts ``command`` in the folder of ``log``, to which its output is appended. ``environment`` goes over ours. It keeps
        the ``lock`` on its folder (:func:`lock_folder`) as long as it lives."""
        self.name = name
        self.log = log
        self._log_from = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C in the terminal is for us, who then stop it in order.
                start_new_session=True,
                pass_fds=(lock,),
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
        """The last lines that it printed, and before them the first that tell of an error."""
        with self.log.open("rb") as printed:
            printed.seek(self._log_from)
            text = printed.read().decode(errors="replace").splitlines()
        errors = [number for number, line in enumerate(text[:-lines]) if _ERROR.search(line)]
        if not errors:
            return "\n".join(text[-lines:])
        first = text[errors[0] : min(errors[0] + _ERROR_LINES, len(text) - lines)]
        return "\n".join([*first, "...", *text[-lines:]])

    def _failed(self, what: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self.name} {what}. From {self.log}:\n{self.log_tail()}\n",
            hint="See what it says about a port, the memory or the disk, then start it again.",
        )


def kill_all() -> None:
    """Kills every process that this one started here. Runs by itself at the end of the program."""
    for process in tuple(_running):
        process.kill()


atexit.register(kill_all)


def lock_folder(folder: Path) -> int:
    """Makes the folder and locks it for us and the processes that the lock is given to. Close the descriptor to let go of
    it: it is free when all of them have ended. Raises ConfigurationError where somebody else has it.

    Kafka's own lock comes too late: a second broker has written into the first one's metadata before it sees it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise ConfigurationError(
            f"Another server works in {folder}.", hint="Stop it, or use another folder."
        ) from error
    return lock


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
