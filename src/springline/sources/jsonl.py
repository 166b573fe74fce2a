"""A file of JSON lines that grows: what is there first, then every line that is appended.

Guarantees. A line counts when its newline is written; every such line before ``current_position`` is covered by the position that it
returns: the barrier is exact. Lines become rows in order, each exactly once. A line that cannot be a row goes to ``NAME.rejected_lines`` with its
place, its text and the reason; the rest goes on. A file that is renamed away and begun anew (log rotation) is read to its end, then the new one from its
beginning, as long as the application runs; a file that was replaced or cut while it did not run is refused (SourceLost), since lines may be missing.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, ClassVar, Final, Literal, cast

from springline.core.change import Entry, Operation, Transaction, load_entry, schema_entry
from springline.core.position import FilePosition, Position
from springline.core.schema import Column, TableSchema
from springline.core.types import BIGINT, STRING
from springline.errors import ConfigurationError, SourceLost, SourceUnavailable
from springline.log.base import CaptureWriter
from springline.sources.base import Finding, SourceStatus
from springline.sources.json_rows import JsonRows, JsonTable, Rejected, TimeUnit

_BLOCK_BYTES: Final = 512 * 1_024
_LONGEST_LINE_BYTES: Final = 16 * 1_048_576
_KEPT_OF_A_REJECTED_LINE: Final = 2_000
_HEAD_BYTES: Final = 256
_ACTIVE_POLL_S: Final = 0.00025
_IDLE_POLL_S: Final = 0.01
_ACTIVE_FOR_S: Final = 2.0
_ROOM_PATIENCE_S: Final = 1.0


class JsonLinesSource:
    """Implements ``sources.base.Source`` for one growing file.

    ``tables``: what the lines are, see ``JsonTable``; each becomes the relation ``NAME.table``. ``table_field``: the field that says which table
    a line belongs to; lines of tables that are not declared are skipped. ``operation_field``: the field that says what happened
    (``c``, ``u``, ``r``, ``d``; also insert, update, delete, +I, +U, -D); without it every line is an upsert of its key, or a new row of a table
    without one. ``time_unit``: of timestamps that are written as numbers since 1970; texts are ISO 8601.
    """

    barrier: ClassVar[Literal["exact", "bounded"]] = "exact"

    def __init__(
        self,
        name: str,
        path: Path | str,
        *,
        tables: Mapping[str, JsonTable],
        table_field: str | None = None,
        operation_field: str | None = None,
        time_unit: TimeUnit = "ms",
    ) -> None:
        self.name = name
        self.path = Path(path)
        self._rows = JsonRows(
            name, tables, table_field=table_field, operation_field=operation_field, time_unit=time_unit
        )
        self._rejected = _rejected_lines(name)
        self._position = FilePosition(1, 0)
        self._is_known = threading.Event()
        self._followed: tuple[int, int] | None = None
        self._status = SourceStatus("starting")

    def check(self) -> Sequence[Finding]:
        if not self.path.exists():
            return [
                Finding(
                    "warning", self.name, f"{self.path} does not exist yet.", "It is read when it appears."
                )
            ]
        if not self.path.is_file() or not os.access(self.path, os.R_OK):
            return [
                Finding("error", self.name, f"{self.path} is not a readable file.", "Grant read permission.")
            ]
        return [Finding("ok", self.name, f"{self.path}: {self.path.stat().st_size:,} bytes")]

    def tables(self) -> Sequence[TableSchema]:
        return [*self._rows.schemas.values(), self._rejected]

    def run(self, writer: CaptureWriter, stop: threading.Event) -> None:
        position = writer.position()
        self._position = position if isinstance(position, FilePosition) else FilePosition(1, 0)
        self._is_known.set()
        self._begin(writer)
        file = self._open(stop)
        if file is None:
            return
        try:
            self._require_same(file, writer)
            file.seek(self._position.offset)
            self._report("streaming")
            while not stop.is_set():
                file = self._follow(file, writer, stop)
        finally:
            file.close()
            self._followed = None
            self._report("stopped")

    def current_position(self, timeout_s: float) -> Position:
        """Where the last whole line ends now; costs one look at the file's end."""
        if not self._is_known.wait(timeout_s):
            raise SourceUnavailable(f"Source {self.name!r} has not begun to read within {timeout_s:g} s.")
        try:
            with self.path.open("rb") as file:
                state = os.fstat(file.fileno())
                end = _end_of_lines(file, state.st_size)
        except FileNotFoundError:
            return self._position
        except OSError as error:
            raise SourceUnavailable(f"{self.path} cannot be read: {error.strerror}.") from error
        known, position = self._followed, self._position
        if known is not None and known != (state.st_dev, state.st_ino):
            return FilePosition(position.file + 1, end)
        return FilePosition(position.file, end)

    def status(self) -> SourceStatus:
        return self._status

    def close(self) -> None:
        """Nothing is held between runs."""

    # -- reading ---------------------------------------------------------------------------------------------------

    def _begin(self, writer: CaptureWriter) -> None:
        """Says what the tables are; again when the declaration has changed."""
        declared = [schema.to_json() for schema in self.tables()]
        known = writer.progress().get("tables")
        if known == declared:
            return
        entries: list[Entry] = [schema_entry(schema) for schema in self.tables()]
        if known is None:
            entries += [load_entry(schema.name, loading=False) for schema in self.tables()]
        self._append(writer, entries)
        writer.save("tables", declared)
        writer.commit()

    def _open(self, stop: threading.Event) -> BinaryIO | None:
        """Waits for the file to appear."""
        while not stop.is_set():
            try:
                return self.path.open("rb")
            except FileNotFoundError:
                if self._position.offset:
                    raise SourceLost(
                        f"{self.path} is gone; it was read up to byte {self._position.offset}.",
                        hint="Put it back, or remove the source.",
                    ) from None
                self._report("starting")
                stop.wait(_IDLE_POLL_S * 10)
            except OSError as error:
                raise SourceUnavailable(f"{self.path} cannot be read: {error.strerror}.") from error
        return None

    def _require_same(self, file: BinaryIO, writer: CaptureWriter) -> None:
        """Refuses a file that is not the one that was read before."""
        offset = self._position.offset
        saved = cast("dict[str, object] | None", writer.progress().get("head"))
        size = os.fstat(file.fileno()).st_size
        if offset and saved is not None:
            is_same = size >= offset and _head(file, cast("int", saved["bytes"])) == saved["hash"]
            if not is_same:
                raise SourceLost(
                    f"{self.path} is not the file that was read up to byte {offset}: it was replaced or cut.",
                    hint="Put the old file back and let it be read to its end; or read the new one under a new source name.",
                )
        self._remember(file, writer)

    def _remember(self, file: BinaryIO, writer: CaptureWriter) -> None:
        state = os.fstat(file.fileno())
        self._followed = (state.st_dev, state.st_ino)
        length = min(_HEAD_BYTES, state.st_size)
        head = {"bytes": length, "hash": _head(file, length)}
        if writer.progress().get("head") != head:
            writer.save("head", head)

    def _follow(self, file: BinaryIO, writer: CaptureWriter, stop: threading.Event) -> BinaryIO:
        """Reads to the end and waits for more; the file to go on with."""
        active_until = time.monotonic() + _ACTIVE_FOR_S
        while not stop.is_set():
            if self._read(file, writer):
                active_until = time.monotonic() + _ACTIVE_FOR_S
                continue
            if time.monotonic() < active_until:
                time.sleep(_ACTIVE_POLL_S)
                continue
            stop.wait(_IDLE_POLL_S)
            if (following := self._replaced(file, writer)) is not None:
                return following
        return file

    def _replaced(self, file: BinaryIO, writer: CaptureWriter) -> BinaryIO | None:
        """The file that stands in this one's place now, if there is one and this one is read to its end."""
        state = os.fstat(file.fileno())
        if state.st_size < self._position.offset:
            raise SourceLost(
                f"{self.path} was cut to {state.st_size} bytes; it was read up to byte {self._position.offset}.",
                hint="Rotate by renaming the file. To go on with this one, read it under a new source name.",
            )
        try:
            other = self.path.open("rb")
        except OSError:
            return None
        beside = os.fstat(other.fileno())
        if (beside.st_dev, beside.st_ino) == (state.st_dev, state.st_ino) or self._read(file, writer):
            other.close()
            return None
        file.close()
        self._position = FilePosition(self._position.file + 1, 0)
        self._remember(other, writer)
        writer.advance(self._position)
        writer.commit()
        return other

    def _read(self, file: BinaryIO, writer: CaptureWriter) -> bool:
        """Reads one block of whole lines into the log; whether there was one."""
        begin = self._position.offset
        block = _whole_lines(file, begin)
        if not block:
            return False
        entries, rejected = self._rows.entries(block)
        entries += [self._rejection(begin, block, one) for one in rejected]
        if begin == 0:
            self._remember(file, writer)
        self._position = FilePosition(self._position.file, begin + len(block))
        self._append(writer, entries)
        writer.commit()
        writer.wait_for_room(_ROOM_PATIENCE_S)
        self._report("streaming")
        return True

    def _append(self, writer: CaptureWriter, entries: list[Entry]) -> None:
        writer.append(Transaction(self.name, self._position, time.time_ns() // 1_000, entries))

    def _rejection(self, begin: int, block: bytes, one: Rejected) -> Entry:
        offset = begin + sum(len(line) + 1 for line in block.split(b"\n", one.line)[: one.line])
        row = [self._position.file, offset, one.text[:_KEPT_OF_A_REJECTED_LINE], one.reason]
        return (Operation.READ.value, self._rejected.name, None, row)

    def _report(self, state: Literal["starting", "streaming", "stopped"]) -> None:
        behind = None
        if self._followed is not None:
            try:
                behind = max(0, self.path.stat().st_size - self._position.offset)
            except OSError:
                behind = None
        self._status = SourceStatus(
            state,
            position=self._position,
            behind_bytes=behind,
            last_message_at_us=time.time_ns() // 1_000 if state == "streaming" else None,
        )


def _rejected_lines(name: str) -> TableSchema:
    columns = (
        Column("file", BIGINT, nullable=False),
        Column("byte", BIGINT, nullable=False),
        Column("line", STRING, nullable=False),
        Column("reason", STRING, nullable=False),
    )
    return TableSchema(f"{name}.rejected_lines", columns, ("file", "byte"), "Lines that could not be rows")


def _whole_lines(file: BinaryIO, begin: int) -> bytes:
    """The next whole lines, about a block of them, at least one if there is one. Raises SourceUnavailable for an endless one."""
    file.seek(begin)
    block = file.read(_BLOCK_BYTES)
    while block and b"\n" not in block[-_BLOCK_BYTES:]:
        more = file.read(_BLOCK_BYTES)
        if not more:
            return b""
        block += more
        if len(block) > _LONGEST_LINE_BYTES:
            raise ConfigurationError(
                f"{file.name}: the line at byte {begin} is longer than {_LONGEST_LINE_BYTES >> 20} MiB.",
                hint="Is this a file of JSON lines? Each object stands on one line.",
            )
    return block[: block.rfind(b"\n") + 1]


def _end_of_lines(file: BinaryIO, size: int) -> int:
    """Where the last newline before ``size`` ends; 0 if there is none."""
    end = size
    while end > 0:
        begin = max(0, end - 65_536)
        file.seek(begin)
        found = file.read(end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _head(file: BinaryIO, length: int) -> str:
    file.seek(0)
    return hashlib.sha256(file.read(length)).hexdigest()
