"""The data folder and its SQLite files: lock, opening, versions, migration, backup.

Both files are opened in WAL mode with ``synchronous=FULL``: a commit that returned survives a power cut. Each file
carries its format's number in ``user_version`` and ours in ``application_id``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import apsw

from springline.errors import ConfigurationError, DataFolderLocked, NewerFormat, StateError, StorageFull

APPLICATION_ID: Final = 0x53504C4E
"""'SPLN', in the header of every file that we write."""

BUSY_TIMEOUT_MS: Final = 10_000
NEVER_SPILLED: Final = -1
"""Of what a statement changes, so that it can be undone, everything is held in memory. SQLite's own limit is 64 KiB, of some sixteen pages;
beyond it every page that a tick changes is written to a temporary file first. A larger limit would be allocated whole for each statement."""
LOCK_PATIENCE_S: Final = 0.2


def _keep_statement_journals_in_memory() -> None:
    """A setting of the SQLite in this process, which can be made while nobody uses it; where somebody does, its own limit stays."""
    if not apsw.connections():
        apsw.shutdown()
        apsw.config(apsw.SQLITE_CONFIG_STMTJRNL_SPILL, NEVER_SPILLED)
        apsw.initialize()


_keep_statement_journals_in_memory()


@dataclass(frozen=True)
class Format:
    """One kind of file. ``migrations[n]`` brings a file from version ``n`` to ``n + 1``; the first creates it."""

    name: str
    migrations: Sequence[Callable[[apsw.Connection], None]]

    @property
    def version(self) -> int:
        return len(self.migrations)


@dataclass(frozen=True, slots=True)
class Memory:
    """What one connection may hold in memory. ``temp_bytes`` is for a tick's changes, sorting and the like; beyond it temporary files
    are used, in the folder that SQLITE_TMPDIR or TMPDIR names."""

    page_cache_bytes: int = 16 << 20
    temp_bytes: int = 64 << 20


def connect(
    path: Path | str, *, read_only: bool = False, vfs: str | None = None, memory: Memory | None = None
) -> apsw.Connection:
    """Opens one connection with our settings. The caller closes it; one thread at a time may use it."""
    memory = memory or Memory()
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    flags |= (
        apsw.SQLITE_OPEN_NOMUTEX
    )  # One thread at a time uses a connection, so it needs no lock of its own.
    try:
        connection = apsw.Connection(str(path), flags=flags, vfs=vfs, statementcachesize=600)
    except apsw.Error as error:
        raise storage_error(error, path) from error
    try:
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        if not read_only:
            # One statement each: apsw runs what follows a statement with a result only when the result is read to its end.
            connection.pragma("journal_mode", "WAL")
            connection.pragma("synchronous", "FULL")
        connection.execute(
            f"PRAGMA cache_size=-{memory.page_cache_bytes >> 10}; PRAGMA temp_store=FILE; "
            f"PRAGMA temp.cache_size=-{memory.temp_bytes >> 10}; PRAGMA foreign_keys=OFF"
        )
    except apsw.Error as error:
        connection.close()
        raise storage_error(error, path) from error
    return connection


def open_file(
    path: Path, file_format: Format, *, vfs: str | None = None, memory: Memory | None = None
) -> apsw.Connection:
    """Opens a file for writing, creating or migrating it. Before a migration the file is copied beside itself.

    Raises NewerFormat, and touches nothing, where the file is from a newer Springline.
    """
    if path.exists() and path.stat().st_size > 0:
        # Opening for writing changes the file's header; what is not ours must not be touched at all.
        with contextlib.closing(connect(path, read_only=True, vfs=vfs)) as reading, reported(path):
            check_version(reading, path, file_format)
    connection = connect(path, vfs=vfs, memory=memory)
    try:
        version = check_version(connection, path, file_format)
        if 0 < version < file_format.version:
            backup_to(connection, path.with_name(f"{path.name}.v{version}.backup"))
        for number in range(version, file_format.version):
            with immediate(connection):
                file_format.migrations[number](connection)
                connection.execute(
                    f"PRAGMA user_version={number + 1}; PRAGMA application_id={APPLICATION_ID}"
                )
    except apsw.Error as error:
        mapped = storage_error(error, path)
        connection.close()
        raise mapped from error
    except BaseException:
        connection.close()
        raise
    return connection


def check_version(connection: apsw.Connection, path: Path, file_format: Format) -> int:
    """The file's format version; refuses files of others and of newer versions."""
    version = int(connection.pragma("user_version"))
    application = int(connection.pragma("application_id"))
    is_empty = (
        not version and not application and not connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
    )
    if application != APPLICATION_ID and not is_empty:
        raise StateError(
            f"{path} is a SQLite file of another program (application id {application:#x}).",
            hint="Choose another data folder with --data or SPRINGLINE_DATA.",
        )
    if version > file_format.version:
        raise NewerFormat(
            f"{path} has format {version} of {file_format.name}; this Springline knows up to {file_format.version}.",
            hint="Upgrade Springline, or restore a backup that this version wrote. The file was not touched.",
        )
    return version


@contextlib.contextmanager
def immediate(connection: apsw.Connection) -> Iterator[None]:
    """One write transaction; rolled back when the body or its commit raises."""
    with _full_disk_told(connection):
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("COMMIT")
        except BaseException:
            # A full disk may end the transaction by itself, or leave a failed COMMIT open.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


@contextlib.contextmanager
def _full_disk_told(connection: apsw.Connection) -> Iterator[None]:
    """SQLite calls only ENOSPC a full disk; a quota and a limit on file size come as an input/output error."""
    try:
        yield
    except apsw.IOError as error:
        if connection.system_errno in _FULL:
            raise apsw.FullError(str(error)) from error
        raise


@contextlib.contextmanager
def reported(path: Path | str) -> Iterator[None]:
    """SQLite's errors in the body as ours."""
    try:
        yield
    except apsw.Error as error:
        raise storage_error(error, path) from error


def backup_to(connection: apsw.Connection, target: Path) -> None:
    """Copies an open file, as of now, while others read and write it. The copy, which only its owner can read, appears under its
    name when it is whole. The connection must not be inside a transaction. Raises StateError, and leaves nothing."""
    partial = target.with_name(target.name + ".partial")
    try:
        with reported(partial):
            partial.unlink(missing_ok=True)
            os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            _copy_pages(connection, partial)
        _sync(partial)
        partial.replace(target)
        _sync(target.parent)
    except OSError as error:
        raise _file_error(error, target) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _copy_pages(connection: apsw.Connection, partial: Path) -> None:
    # Held open for the whole copy: without it, every commit of another connection would start the copy from the beginning.
    connection.execute("BEGIN")
    try:
        connection.execute("SELECT 1 FROM sqlite_schema").fetchall()
        with contextlib.closing(apsw.Connection(str(partial))) as destination, _full_disk_told(destination):
            with destination.backup("main", connection, "main") as copy:
                while not copy.done:
                    copy.step(2_000)
            destination.execute("PRAGMA journal_mode=DELETE")
    finally:
        connection.execute("ROLLBACK")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _file_error(error: OSError, path: Path | str) -> StateError:
    if error.errno in _FULL:
        return _full(path)
    return StateError(
        f"{path} cannot be written: {error.strerror}.", hint="Check its permissions, or choose another place."
    )


_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def _full(path: Path | str) -> StorageFull:
    return StorageFull(
        f"The disk that holds {path} is full.",
        hint="Free some space; Springline goes on by itself. Nothing that was acknowledged is lost.",
    )


def storage_error(error: apsw.Error, path: Path | str) -> StateError:
    """Our error for SQLite's, with what to do next."""
    if isinstance(error, apsw.FullError):
        return _full(path)
    if isinstance(error, apsw.NotADBError | apsw.CorruptError):
        return StateError(
            f"{path} is damaged or not a SQLite file: {error}.",
            hint="Restore a backup with `springline restore`, or move the data folder away to load everything again.",
        )
    if isinstance(error, apsw.BusyError):
        return StateError(
            f"{path} is locked by another program.", hint="Close it; `fuser` shows who holds the file."
        )
    return StateError(
        f"{path} cannot be used: {error}.", hint="Check permissions and the disk; `springline doctor` helps."
    )


class DataFolder:
    """A folder that one process works on at a time. ``log.db``, ``state.db``, and who runs here."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).expanduser()
        self._lock: int | None = None

    @property
    def log_path(self) -> Path:
        return self.path / "log.db"

    @property
    def state_path(self) -> Path:
        return self.path / "state.db"

    @property
    def owner_path(self) -> Path:
        return self.path / "owner.json"

    def lock(self) -> None:
        """Takes the folder for this process until ``unlock`` or its end. Raises DataFolderLocked, with the owner."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            taken = _flock(descriptor, patience_s=LOCK_PATIENCE_S)
        except OSError as error:
            os.close(descriptor)
            raise self._unusable(error) from error
        if not taken:
            os.close(descriptor)
            owner = self.owner()
            raise DataFolderLocked(
                f"The data folder {self.path} is in use by process {owner.get('pid', 'unknown')}.",
                hint="Stop that process, or choose another folder with --data.",
            )
        self._lock = descriptor
        try:
            self.write_owner({})
        except BaseException:
            self.unlock()
            raise

    def _unusable(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(
            f"The data folder {self.path} cannot be used: {error.strerror}.",
            hint="Choose another one with --data or SPRINGLINE_DATA.",
        )

    def write_owner(self, details: dict[str, Any]) -> None:
        """Says who works here (``pid``, and the ``url`` that the command line talks to). Raises StateError."""
        partial = self.owner_path.with_suffix(".partial")
        try:
            partial.write_text(json.dumps({"pid": os.getpid(), **details}))
            partial.chmod(0o600)
            partial.replace(self.owner_path)
        except OSError as error:
            raise _file_error(error, self.owner_path) from error

    def owner(self) -> dict[str, Any]:
        """The last written owner, or an empty dictionary."""
        try:
            found = json.loads(self.owner_path.read_text())
        except (OSError, ValueError):
            return {}
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}

    def is_locked(self) -> bool:
        """Whether a living process works on this folder. The question holds the lock for a moment, which ``lock`` waits out."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return not _flock(descriptor, patience_s=0.0)
        except OSError:
            return False
        finally:
            os.close(descriptor)

    def unlock(self) -> None:
        """Idempotent."""
        if self._lock is not None:
            self.owner_path.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None


def _flock(descriptor: int, *, patience_s: float) -> bool:
    """Takes the lock of an open file if nobody else holds it, or gives it up within ``patience_s``; whether it is taken."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        else:
            return True
