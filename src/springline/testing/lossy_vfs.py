"""A disk that forgets what was not synced: power cuts and full disks, inside one process.

Killing a process loses nothing that it has written: the operating system still holds it. Only a power cut shows whether
a program synced before it promised. :class:`LossyDisk` registers a SQLite VFS over the ordinary one. Every write reaches the file at once, so
that all connections see it; what the file held at its last ``xSync`` is remembered, block by block, and put back after
:meth:`LossyDisk.crash`.

::

    disk = LossyDisk()
    runtime = EmbeddedRuntime(definition, folder, language, Options(vfs=disk.name))
    ...
    disk.crash()            # the power fails: from here on nothing can be written
    runtime.stop()          # the process would have ended
    disk.power_on()         # what was not synced is gone; files can be opened again
    disk.close()

With ``kept`` and ``random`` a crash is meaner: of the blocks that were not synced a random part survives, in any
order, as on a real disk with a cache of its own. Unsynced deletions and truncations may be undone in the same way.
"""

from __future__ import annotations

import itertools
import os
import random as randomness
import threading
from dataclasses import dataclass, field
from pathlib import Path

import apsw

BLOCK_BYTES = 4096

_numbers = itertools.count(1)


@dataclass(slots=True)
class _File:
    """What a crash needs to know of one path: how the file was at its last sync."""

    size: int
    """Its size then."""
    before: dict[int, bytes] = field(default_factory=dict[int, bytes])
    """Block number -> what the block held then, for blocks that were written or cut off since."""
    touched: set[int] = field(default_factory=set[int])
    """Every block written since, also those beyond the size of then."""
    was_synced: bool = False


class LossyDisk:
    """One disk: all files opened through the VFS :attr:`name`, by every connection of this process. Thread-safe."""

    def __init__(self) -> None:
        self.name = f"lossy-{os.getpid()}-{next(_numbers)}"
        self.syncs = 0
        self.writes = 0
        self._room: tuple[str, int] | None = None
        self.lock = threading.RLock()
        self.is_dead = False
        self._files: dict[str, _File] = {}
        self._deleted: dict[str, bytes] = {}
        self._open: dict[int, str] = {}
        self._luck = (0.0, randomness.Random(0))
        self._dies_at: int | None = None
        self._vfs = _LossyVFS(self)

    def crash(self, *, kept: float = 0.0, random: randomness.Random | None = None) -> None:
        """Cuts the power. What was not synced is gone, except, block by block, with probability ``kept``. From now on every
        write and sync fails and no file can be opened, until :meth:`power_on`."""
        with self.lock:
            self._luck = (kept, random or randomness.Random(0))
            self.is_dead = True

    def crash_in(self, writes: int, *, kept: float = 0.0, random: randomness.Random | None = None) -> None:
        """Crashes in the midst of the ``writes``-th write from now: between the pages of a commit, or of a checkpoint."""
        with self.lock:
            self._luck = (kept, random or randomness.Random(0))
            self._dies_at = self.writes + writes

    def power_on(self) -> None:
        """Brings the files to what survived, and lets them be opened again. Raises RuntimeError while a file from before the
        crash is open: close those first."""
        with self.lock:
            if self._open:
                raise RuntimeError(
                    f"Still open from before the crash: {', '.join(sorted(set(self._open.values())))}."
                )
            kept, chance = self._luck
            for path, file in self._files.items():
                if os.path.exists(path):
                    _revert(path, file, kept, chance)
            for path, content in self._deleted.items():
                known = self._files.get(path)
                if chance.random() >= kept and not (known is not None and known.was_synced):
                    Path(path).write_bytes(content)
            self._files.clear()
            self._deleted.clear()
            self.is_dead, self._dies_at = False, None

    def fill(self, room_bytes: int = 0, *, only: str = "") -> None:
        """The disk is full once ``room_bytes`` more were added: what makes a file longer raises SQLITE_FULL, until :meth:`free`.
        ``only``: for files whose name begins so, as if they lay on a disk of their own."""
        with self.lock:
            self._room = (only, room_bytes)

    def free(self) -> None:
        """There is room again."""
        with self.lock:
            self._room = None

    @property
    def is_full(self) -> bool:
        return self._room is not None

    def unsynced_bytes(self) -> int:
        """An upper bound of what a crash would lose now."""
        with self.lock:
            return sum(len(file.touched) for file in self._files.values()) * BLOCK_BYTES

    def close(self) -> None:
        """Unregisters the VFS. Connections must be closed."""
        self._vfs.unregister()

    # -- what the VFS reports ----------------------------------------------------------------------------------------

    def opened(self, handle: int, path: str) -> None:
        with self.lock:
            self._open[handle] = path
            if path not in self._files:
                self._files[path] = _File(os.path.getsize(path))

    def closed(self, handle: int) -> None:
        with self.lock:
            self._open.pop(handle, None)

    def refuse_if_dead(self) -> None:
        if self.is_dead:
            raise apsw.IOError("the power is off")

    def will_write(self, path: str, file: _LossyFile, offset: int, length: int) -> None:
        """Remembers what is about to be overwritten; called under :attr:`lock`."""
        self.writes += 1
        if self.writes == self._dies_at:
            self.is_dead = True
        self.refuse_if_dead()
        self._take_room(path, offset + length - file.real_size())
        self._remember(path, file, offset // BLOCK_BYTES, (offset + length - 1) // BLOCK_BYTES)

    def _take_room(self, path: str, growth: int) -> None:
        if self._room is None or growth <= 0:
            return
        only, left = self._room
        if os.path.basename(path).startswith(only):
            if growth > left:
                raise apsw.FullError("the disk is full")
            self._room = (only, left - growth)

    def will_truncate(self, path: str, file: _LossyFile, size: int) -> None:
        self.refuse_if_dead()
        known = self._files[path]
        self._remember(path, file, size // BLOCK_BYTES, max(0, known.size - 1) // BLOCK_BYTES)

    def synced(self, path: str) -> None:
        self.refuse_if_dead()
        self.syncs += 1
        file = self._files[path]
        file.before.clear()
        file.touched.clear()
        file.size = os.path.getsize(path)
        if not file.was_synced:
            # SQLite syncs the folder together with a new journal or WAL; older deletions in it are durable then.
            file.was_synced = True
            folder = os.path.dirname(path)
            self._deleted = {
                one: data for one, data in self._deleted.items() if os.path.dirname(one) != folder
            }

    def will_delete(self, path: str, *, sync_folder: bool) -> None:
        with self.lock:
            self.refuse_if_dead()
            file = self._files.pop(path, None)
            if not sync_folder and file is not None and os.path.exists(path):
                self._deleted[path] = _as_synced(path, file)

    def _remember(self, path: str, file: _LossyFile, first: int, last: int) -> None:
        known = self._files[path]
        for block in range(first, last + 1):
            start = block * BLOCK_BYTES
            if block not in known.touched and start < known.size:
                known.before[block] = file.real_read(start, min(BLOCK_BYTES, known.size - start))
            known.touched.add(block)


class _LossyVFS(apsw.VFS):
    """Hands out :class:`_LossyFile`; locks, shared memory and names are the ordinary VFS's."""

    def __init__(self, disk: LossyDisk) -> None:
        self._disk = disk
        self._base = ""
        super().__init__(disk.name, self._base)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        self._disk.refuse_if_dead()
        if name is None:
            return apsw.VFSFile(self._base, name, flags)
        return _LossyFile(self._disk, self._base, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self._disk.will_delete(filename, sync_folder=bool(syncdir))
        super().xDelete(filename, syncdir)


class _LossyFile(apsw.VFSFile):
    """One open file. Reading is the ordinary VFS's."""

    def __init__(self, disk: LossyDisk, base: str, name: str | apsw.URIFilename, flags: list[int]) -> None:
        super().__init__(base, name, flags)
        self._disk = disk
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else name
        disk.opened(id(self), self._path)

    def real_read(self, offset: int, length: int) -> bytes:
        return super().xRead(length, offset)

    def real_size(self) -> int:
        return super().xFileSize()

    def xWrite(self, data: bytes, offset: int) -> None:
        with self._disk.lock:
            self._disk.will_write(self._path, self, offset, len(data))
            super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        with self._disk.lock:
            self._disk.will_truncate(self._path, self, newsize)
            super().xTruncate(newsize)

    def xLock(self, level: int) -> None:
        # A connection that is being closed tries to lock the file for a last checkpoint, and does without where it is busy.
        # Where the checkpoint itself failed, SQLite would ignore that, but apsw would raise it.
        is_closing = level >= apsw.SQLITE_LOCK_EXCLUSIVE and os.path.exists(self._path + "-wal")
        if self._disk.is_dead or (is_closing and self._disk.is_full):
            raise apsw.BusyError("the power is off, or the disk full")
        try:
            super().xLock(level)
        except apsw.IOError as error:
            raise apsw.BusyError("a file that may only be read cannot be locked") from error

    def xSync(self, flags: int) -> None:
        # The real file is not synced: what matters is what crash() puts back.
        with self._disk.lock:
            self._disk.synced(self._path)

    def xClose(self) -> None:
        self._disk.closed(id(self))
        super().xClose()


def _revert(path: str, file: _File, kept: float, chance: randomness.Random) -> None:
    """Puts the blocks of one file back to what they were at its last sync, except for those that luck keeps."""
    size_now = os.path.getsize(path)
    survivors = {block for block in sorted(file.touched) if chance.random() < kept}
    ends = [min(size_now, (block + 1) * BLOCK_BYTES) for block in survivors if block * BLOCK_BYTES < size_now]
    keeps_cut = size_now < file.size and chance.random() < kept
    size = max([size_now if keeps_cut else file.size, *ends])
    with open(path, "r+b") as opened:
        opened.truncate(size)
        for block in file.touched - survivors:
            start = block * BLOCK_BYTES
            if start < size:
                old = file.before.get(block, b"")
                opened.seek(start)
                opened.write(old.ljust(min(BLOCK_BYTES, size - start), b"\0")[: size - start])


def _as_synced(path: str, file: _File) -> bytes:
    """A file's content at its last sync."""
    content = bytearray(Path(path).read_bytes()[: file.size].ljust(file.size, b"\0"))
    for block, old in file.before.items():
        content[block * BLOCK_BYTES : block * BLOCK_BYTES + len(old)] = old
    return bytes(content)
