"""A folder of documents: the files that are there first, then every change to them.

Guarantees. Every completed write (the file is closed, or renamed into place) before ``current_position`` is covered by the position that it
returns: the barrier is exact. A half-written file is never shown: on Linux a file is read when nobody has it open for writing (or when it was
not touched for a second); elsewhere, and on file systems without leases, when it was not touched for 50 ms. A file that becomes empty is believed
after ``empty_grace_s``, since many programs truncate before they write. All changes that one look at the folder finds are one transaction (several, if they
are larger than 32 MiB); a rename is a delete and an insert in one. After a restart only differences are sent, also deletes made while nobody looked.
A file that cannot be read keeps its last good content and says why in ``error``. A folder that vanishes is an error, not a mass delete.

Not covered: which of several quick versions of a file are seen, except that the last one is; changes behind the same modification time, size
and inode (some programs restore the time), which only a changed size or a rename reveals.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, cast

import watchfiles

from springline.core.change import Entry, Transaction, load_entry, schema_entry
from springline.core.position import FolderPosition, Position
from springline.core.schema import TableSchema
from springline.errors import ConfigurationError, SourceUnavailable
from springline.log.base import CaptureWriter
from springline.sources.base import Finding, SourceStatus
from springline.sources.folder_reading import (
    Listing,
    Readable,
    Unfinished,
    Unreadable,
    batches,
    key,
    list_folder,
    read_document,
    real_path,
)
from springline.sources.folder_rows import COLUMNS, Known, change, deletion

_TRANSACTION_BYTES: Final = 32 * 1_048_576
_PROGRESS: Final = "file:"
_SETTLE_S: Final = 0.05
_WATCH_STEP_MS: Final = 5
_UNFINISHED_RECHECK_S: Final = 0.05


@dataclass(slots=True)
class _Look:
    """What one look at the folder found to do: files that changed, with the size of their content, and files that are gone."""

    changed: list[tuple[str, int]]
    deleted: list[str]
    settling: bool = False
    unfinished: bool = False


class FolderSource:
    """Implements ``sources.base.Source`` for the folder ``path``; its one table is ``NAME.documents``.

    ``patterns``: file names or relative paths, as the shell matches them. ``maximum_bytes``: larger files are listed with an error and never
    read. ``rescan_s``: a look at the folder that no notification asked for, as a safety net (network file systems send none).
    """

    barrier: ClassVar[Literal["exact", "bounded"]] = "exact"

    def __init__(
        self,
        name: str,
        path: Path | str,
        *,
        patterns: Sequence[str] = ("*.md", "*.txt"),
        maximum_bytes: int = 20 * 1_048_576,
        rescan_s: float = 30.0,
        empty_grace_s: float = 2.0,
        watch: bool = True,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
    ) -> None:
        self.name = name
        self.path = Path(path)
        self.table = f"{name}.documents"
        self._patterns = tuple(patterns)
        self._maximum_bytes = maximum_bytes
        self._rescan_s = rescan_s
        self._empty_grace_s = empty_grace_s
        self._watch = watch
        self._now_us = now_us
        self._known: dict[str, Known] = {}
        self._emptied: dict[str, float] = {}
        self._scan = 0
        self._device = 0
        self._root_inode = 0
        self._changed = threading.Condition()
        self._wake = threading.Event()
        self._asked = 0
        self._answered = 0
        self._failure: SourceUnavailable | None = None
        self._status = SourceStatus("starting")

    def check(self) -> Sequence[Finding]:
        self._require_folder()
        listing = list_folder(self.path, self._patterns)
        findings = [
            Finding(
                "ok",
                self.name,
                f"{len(listing.files)} files in {self.path} match {', '.join(self._patterns)}",
            )
        ]
        if not listing.files:
            fix = "Put documents there, or change the patterns."
            findings = [
                Finding(
                    "warning", self.name, f"No file in {self.path} matches {', '.join(self._patterns)}.", fix
                )
            ]
        findings += [
            Finding("warning", self.name, f"{name} cannot be read.", "Grant read permission.")
            for name in listing.unreadable
        ]
        large = [name for name, state in listing.files.items() if state.st_size > self._maximum_bytes]
        findings += [
            Finding("warning", self.name, f"{name} is larger than maximum_bytes.", "Split it.")
            for name in large
        ]
        return findings

    def tables(self) -> Sequence[TableSchema]:
        return [TableSchema(self.table, COLUMNS, ("document",), f"Documents in the folder {self.path.name}")]

    def run(self, writer: CaptureWriter, stop: threading.Event) -> None:
        self._resume(writer)
        stop_watching = threading.Event()
        watcher = threading.Thread(
            target=self._follow, args=(stop_watching,), name=f"watch-{self.name}", daemon=True
        )
        try:
            self._require_folder()
            if self._watch:
                watcher.start()
            self._capture(writer, stop)
        except SourceUnavailable as error:
            self._report("retrying", error=error.message)
            with self._changed:
                self._failure = error
                self._changed.notify_all()
            raise
        finally:
            stop_watching.set()
            if watcher.is_alive():
                watcher.join(1.0)
            if self._status.state != "retrying":
                self._report("stopped")

    def current_position(self, timeout_s: float) -> Position:
        """Has the folder looked at once more, for all who ask meanwhile together; costs a listing (about 5 ms for 2,000 files)."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            self._asked += 1
            mine = self._asked
            self._wake.set()
            while self._answered < mine:
                if self._failure is not None:
                    raise self._failure
                left = deadline - time.monotonic()
                if left <= 0:
                    raise SourceUnavailable(
                        f"The folder {self.path} was not looked at within {timeout_s:g} s."
                    )
                self._changed.wait(left)
            return FolderPosition(self._scan)

    def status(self) -> SourceStatus:
        return self._status

    def close(self) -> None:
        self._wake.set()

    def _require_folder(self) -> None:
        """A folder that was captured before and is gone is an interruption; one that never was there is a mistake."""
        if self.path.is_dir():
            return
        if self._known:
            raise SourceUnavailable(
                f"The folder {self.path} is gone.",
                hint="Nothing was deleted from the knowledge base; put it back, or remove the source.",
            )
        what = "is not a folder" if self.path.exists() else "does not exist"
        raise ConfigurationError(
            f"Source {self.name!r}: {self.path} {what}.", hint=f"Create it: mkdir -p {self.path}"
        )

    def _resume(self, writer: CaptureWriter) -> None:
        position = writer.position()
        progress = writer.progress()
        self._known = {
            name.removeprefix(_PROGRESS): Known.from_json(cast("Sequence[Any]", value))
            for name, value in progress.items()
            if name.startswith(_PROGRESS)
        }
        self._emptied = {}
        self._root_inode = 0
        self._device = int(cast("int", progress.get("device") or 0))
        with self._changed:
            self._scan = position.scan if isinstance(position, FolderPosition) else 0
            self._failure = None

    def _follow(self, stop: threading.Event) -> None:
        """Wakes the capture at every notification. Notifications only wake: what changed is found by looking."""
        try:
            for _ in watchfiles.watch(
                self.path,
                watch_filter=None,
                stop_event=stop,
                step=_WATCH_STEP_MS,
                debounce=20,
                rust_timeout=60_000,
                raise_interrupt=False,
                ignore_permission_denied=True,
            ):
                self._wake.set()
        except (OSError, RuntimeError) as error:
            # No notifications here (too many watches, say): looking every rescan_s still finds everything.
            self._report(
                self._status.state, error=f"No notifications: {error}", details={"rescan_s": self._rescan_s}
            )

    def _capture(self, writer: CaptureWriter, stop: threading.Event) -> None:
        loaded = writer.progress().get("loaded") is True
        self._report("streaming" if loaded else "snapshot")
        if not loaded:
            self._begin_load(writer)
        settled_for = 0
        while not stop.is_set():
            self._wake.clear()
            with self._changed:
                ticket = self._asked
            started = time.monotonic()
            look = self._look()
            if not self._write(writer, look, stop, loading=not loaded):
                return
            if not loaded:
                self._end_load(writer)
                loaded = True
            # Who asks for the position waits once for files that were written a moment ago; a file still open is not a completed write.
            self._answer(ticket if not look.settling else settled_for)
            settled_for = ticket if look.settling else 0
            took = time.monotonic() - started
            self._wait(stop, look, took)

    def _wait(self, stop: threading.Event, look: _Look, took_s: float) -> None:
        """Until there is something to look for. Large folders are looked at half of the time at most."""
        pause = self._rescan_s
        if look.settling or look.unfinished or any(known.fresh for known in self._known.values()):
            pause = _SETTLE_S if look.settling else _UNFINISHED_RECHECK_S
        for since in self._emptied.values():
            pause = min(pause, max(0.01, since + self._empty_grace_s - time.monotonic()))
        until = time.monotonic() + pause
        while not stop.is_set() and (left := until - time.monotonic()) > 0:
            if look.settling:
                stop.wait(left)
            elif self._wake.wait(min(left, 0.5)):
                break
        with self._changed:
            somebody_waits = self._asked > self._answered
        if not somebody_waits:
            stop.wait(min(took_s, 1.0))

    def _answer(self, ticket: int) -> None:
        with self._changed:
            self._answered = max(self._answered, ticket)
            self._changed.notify_all()

    def _look(self) -> _Look:
        listing = list_folder(self.path, self._patterns)
        self._recognise(listing)
        look = _Look([], [])
        self._emptied = {name: since for name, since in self._emptied.items() if name in listing.files}
        for name, state in sorted(listing.files.items()):
            known = self._known.get(name)
            if known is None or known.state != key(state) or known.fresh:
                look.changed.append((name, min(state.st_size, self._maximum_bytes)))
            elif name in self._emptied:
                del self._emptied[name]
        for name in self._known.keys() - listing.files.keys():
            if not any(name == prefix or name.startswith(prefix) for prefix in listing.unreadable):
                look.deleted.append(name)
        look.deleted.sort()
        return look

    def _recognise(self, listing: Listing) -> None:
        """The mount point of a share that went away is an empty folder on another device."""
        if self._known and not listing.files and self._device not in (0, listing.device):
            raise SourceUnavailable(
                f"The folder {self.path} is empty and on another file system than before: its share is probably not mounted.",
                hint="Nothing was deleted from the knowledge base. Mount it, or remove the source and add it again.",
            )
        self._device = listing.device
        if self._root_inode not in (0, listing.root_inode):
            # Notifications still come from the old one; beginning again follows the new one.
            self._root_inode = 0
            raise SourceUnavailable(
                f"The folder {self.path} was replaced by another.", hint="It is being read anew."
            )
        self._root_inode = listing.root_inode

    def _begin_load(self, writer: CaptureWriter) -> None:
        """A load that was interrupted goes on: its files are known, and rows of files that went away are deleted like any others."""
        if writer.progress().get("loaded") is None:
            entries = [schema_entry(self.tables()[0]), load_entry(self.table, loading=True)]
            self._append(writer, entries, self._now_us(), self._scan)
            writer.save("loaded", False)
            writer.commit()

    def _end_load(self, writer: CaptureWriter) -> None:
        self._append(writer, [load_entry(self.table, loading=False)], self._now_us(), self._scan + 1)
        writer.save("loaded", True)
        writer.commit()
        with self._changed:
            self._scan += 1
        self._report("streaming")

    def _write(self, writer: CaptureWriter, look: _Look, stop: threading.Event, *, loading: bool) -> bool:
        """Reads what changed and logs it; whether it came to the end before ``stop``. Nothing is written where nothing changed."""
        deleted = look.deleted
        for names in batches(look.changed, _TRANSACTION_BYTES) if look.changed else [[]]:
            entries: list[Entry] = [deletion(self.table, name) for name in deleted]
            after: dict[str, Known | None] = dict.fromkeys(deleted)
            changed_us = self._now_us() if deleted else 0
            deleted = []
            for name in names:
                if stop.is_set():
                    return False
                if (found := self._read(name, look)) is None:
                    continue
                entry, known, time_us = found
                if entry is None:
                    # Only touched: remembered by this process; after a restart it is read and compared once more.
                    self._known[name] = known
                    continue
                entries.append(entry)
                after[name] = known
                changed_us = max(changed_us, time_us)
            if entries:
                self._commit(writer, entries, after, changed_us, loading=loading)
        return True

    def _commit(
        self,
        writer: CaptureWriter,
        entries: list[Entry],
        after: dict[str, Known | None],
        changed_us: int,
        *,
        loading: bool,
    ) -> None:
        scan = self._scan if loading else self._scan + 1
        committed_us = self._now_us() if loading else min(changed_us, self._now_us())
        self._append(writer, entries, committed_us, scan)
        for name, known in after.items():
            writer.save(_PROGRESS + name, None if known is None else known.to_json())
        writer.save("device", self._device)
        writer.commit()
        for name, known in after.items():
            if known is None:
                del self._known[name]
                self._emptied.pop(name, None)
            else:
                self._known[name] = known
        with self._changed:
            self._scan = scan
        self._report("snapshot" if loading else "streaming")

    def _append(self, writer: CaptureWriter, entries: list[Entry], committed_at_us: int, scan: int) -> None:
        writer.append(
            Transaction(self.name, FolderPosition(scan), committed_at_us, entries, identifier=f"scan {scan}")
        )

    def _read(self, name: str, look: _Look) -> tuple[Entry | None, Known, int] | None:
        """What a changed file means: its entry (None: only its state changed), what is known then, and when it changed; None: not yet."""
        known = self._known.get(name)
        path = real_path(self.path, name)
        try:
            state = os.stat(path)
            found = read_document(path, name, self._maximum_bytes, known.state[2] if known else None)
        except OSError:
            # Gone since it was listed: the next look says so.
            look.unfinished = True
            return None
        if isinstance(found, Unfinished):
            look.settling |= found.settling
            look.unfinished = True
            return None
        if isinstance(found, Readable):
            state = found.state
            if self._hold_empty(name, found, known):
                look.unfinished = True
                return None
        changed_us = max(state.st_mtime_ns, state.st_ctime_ns) // 1_000
        if isinstance(found, Unreadable):
            after = Known(key(state), known.content_hash if known else None, found.reason)
        else:
            after = Known(key(state), found.content_hash, None, found.fresh)
        return change(self.table, name, found, state, known), after, changed_us

    def _hold_empty(self, name: str, found: Readable, known: Known | None) -> bool:
        """An empty file is perhaps about to be written: it is held until it was empty for ``empty_grace_s``."""
        if found.content:
            self._emptied.pop(name, None)
            return False
        if known is not None and known.content_hash == found.content_hash:
            return False
        since = self._emptied.setdefault(name, time.monotonic())
        if (
            time.monotonic() - since < self._empty_grace_s
            and time.time() - found.state.st_mtime < self._empty_grace_s
        ):
            return True
        self._emptied.pop(name, None)
        return False

    def _report(
        self,
        state: Literal["starting", "snapshot", "streaming", "retrying", "stopped"],
        *,
        error: str | None = None,
        details: dict[str, object] | None = None,
    ) -> None:
        failed = {name: known.error for name, known in list(self._known.items()) if known.error}
        self._status = SourceStatus(
            state,
            position=FolderPosition(self._scan),
            rows_loaded=len(self._known),
            last_message_at_us=self._now_us(),
            error=error,
            details={"folder": str(self.path), "failed": failed, **(details or {})},
        )
