"""Lists a folder and reads one file of it, without ever believing a file that is still being written."""

from __future__ import annotations

import fcntl
import fnmatch
import hashlib
import os
import re
import signal
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from springline.errors import SourceUnavailable

FileState = tuple[int, int, int]
"""(mtime in nanoseconds, size in bytes, inode): what tells one state of a file from another."""

_SETTLED_NS: Final = 50_000_000
_OPEN_FOR_LONG_NS: Final = 1_000_000_000
_EDITOR_FILES: Final = re.compile(r"^\.|~$|^#.*#$|\.(?:swp|swx|swpx|tmp|part|crdownload)$", re.IGNORECASE)
_HEADING: Final = re.compile(
    r"^ {0,3}#{1,6}[ \t]+(.+?)(?:[ \t]+#+)?[ \t]*$|^(?=\S)(.+)\n=+[ \t]*$", re.MULTILINE
)
_FENCED: Final = re.compile(r"^(`{3,}|~{3,}).*?^\1", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Listing:
    """``files``: document name → state. ``unreadable``: folders (as prefixes, ``notes/``) whose files could not be listed: what was
    known of them is neither deleted nor changed. ``device`` and ``root_inode`` identify the folder itself."""

    files: dict[str, os.stat_result]
    unreadable: tuple[str, ...]
    device: int
    root_inode: int


@dataclass(frozen=True, slots=True)
class Readable:
    """A whole, readable document."""

    content: str
    content_hash: str
    title: str
    state: os.stat_result
    fresh: bool
    """Written so recently that a further write may bear the same time: look again."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why the file cannot be a document, in one sentence."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Somebody is writing; ``settling``: perhaps no longer, a moment will tell."""

    settling: bool


def key(state: os.stat_result) -> FileState:
    return state.st_mtime_ns, state.st_size, state.st_ino


def list_folder(root: Path, patterns: Sequence[str]) -> Listing:
    """All files whose name or relative path matches a pattern. Hidden files and folders and editors' temporary files are left out; links to
    folders are not followed, links to files only within the folder. Raises SourceUnavailable where the folder is not there."""
    files: dict[str, os.stat_result] = {}
    unreadable: list[str] = []
    try:
        folder = os.stat(root)
        entries = list(os.scandir(root))
    except OSError as error:
        raise SourceUnavailable(
            f"The folder {root} cannot be read: {error.strerror}.",
            hint="Nothing was deleted from the knowledge base; work resumes when the folder is back.",
        ) from error
    waiting = [("", entries)]
    real_root = os.path.realpath(root) + os.sep
    while waiting:
        prefix, entries = waiting.pop()
        for entry in entries:
            if _EDITOR_FILES.search(entry.name):
                continue
            name = prefix + entry.name
            try:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((name + "/", list(os.scandir(entry.path))))
                elif (
                    _matches(name, entry.name, patterns)
                    and (state := _file_state(entry, real_root)) is not None
                ):
                    files[_printable(name)] = state
            except FileNotFoundError:
                continue
            except OSError:
                unreadable.append(
                    _printable(name) + "/" if entry.is_dir(follow_symlinks=False) else _printable(name)
                )
    return Listing(files, tuple(unreadable), folder.st_dev, folder.st_ino)


def _matches(name: str, base: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(base, pattern) or fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _file_state(entry: os.DirEntry[str], real_root: str) -> os.stat_result | None:
    if entry.is_symlink() and not os.path.realpath(entry.path).startswith(real_root):
        return None
    state = entry.stat()
    return state if stat.S_ISREG(state.st_mode) else None


def _printable(name: str) -> str:
    """A file name that is not UTF-8 keeps its odd bytes as ``\\xff``."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def real_path(root: Path, document: str) -> str:
    """The inverse of the listing's naming."""
    path = os.path.join(root, document)
    if "\\x" in document and not os.path.exists(path):
        return re.sub(r"\\x([89a-f][0-9a-f])", lambda match: chr(0xDC00 + int(match[1], 16)), path)
    return path


def read_document(
    path: str, name: str, maximum_bytes: int, known_inode: int | None, *, patient: bool = True
) -> Readable | Unreadable | Unfinished:
    """Reads a file that has changed. Never holds more than ``maximum_bytes``. ``patient``: a change of the last 50 ms that cannot be proven
    complete is left to settle. Raises FileNotFoundError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        return Unreadable(f"The file cannot be opened: {error.strerror}.")
    try:
        before = os.fstat(descriptor)
        if before.st_size > maximum_bytes:
            size, limit = _megabytes(before.st_size), _megabytes(maximum_bytes)
            return Unreadable(f"The file is too large: {size}, the limit is {limit} (maximum_bytes).")
        age_ns = time.time_ns() - before.st_mtime_ns
        writing = _being_written(descriptor)
        if writing and age_ns < _OPEN_FOR_LONG_NS:
            return Unfinished(settling=False)
        renamed = known_inode != before.st_ino and before.st_ctime_ns != before.st_mtime_ns
        if writing is None and patient and not renamed and age_ns < _SETTLED_NS:
            return Unfinished(settling=True)
        data = _read_all(descriptor, before.st_size)
        after = os.fstat(descriptor)
        if key(after) != key(before) or len(data) != after.st_size:
            return Unfinished(settling=True)
    except OSError as error:
        return Unreadable(f"The file cannot be read: {error.strerror}.")
    finally:
        os.close(descriptor)
    return _decode(data, name, after)


def _read_all(descriptor: int, size: int) -> bytes:
    """At most one byte more than expected, which is enough to see that it grew."""
    pieces: list[bytes] = []
    left = size + 1
    while left > 0 and (piece := os.read(descriptor, left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _being_written(descriptor: int) -> bool | None:
    """Whether any process has the file open for writing; None where that cannot be known.

    Linux grants a read lease (fcntl(2), "Leases") only when nobody has. It is given back at once; should somebody open the file in between, the
    kernel tells us by SIGURG, which is ignored, instead of SIGIO, which is not."""
    if not hasattr(fcntl, "F_SETLEASE") or not hasattr(fcntl, "F_SETSIG"):
        return None
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def _decode(data: bytes, name: str, state: os.stat_result) -> Readable | Unreadable:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Unreadable("The file is UTF-16, not UTF-8: save it as UTF-8.")
    if b"\x00" in data:
        return Unreadable("The file is binary, not text: it holds zero bytes.")
    try:
        content = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Unreadable(
            f"The file is not UTF-8 text: byte {error.start + 1} ({data[error.start]:#04x}) does not belong there."
        )
    fresh = time.time_ns() - state.st_mtime_ns < _SETTLED_NS
    return Readable(content, hashlib.sha256(data).hexdigest(), title_of(content, name), state, fresh)


def title_of(content: str, name: str) -> str:
    """The first Markdown heading, or else the file's name without its ending."""
    if document_format(name) == "markdown":
        match = _HEADING.search(_FENCED.sub("", content[:20_000]))
        if match and (title := (match[1] or match[2]).strip()):
            return title[:200]
    return name.rpartition("/")[2].rpartition(".")[0] or name


def document_format(name: str) -> str:
    return "markdown" if name.lower().endswith((".md", ".markdown", ".mdx")) else "text"


def _megabytes(size: int) -> str:
    return f"{size / 1_048_576:.1f} MiB" if size >= 104_858 else f"{size:,} bytes"


def batches(changes: Sequence[tuple[str, int]], maximum_bytes: int) -> Iterator[list[str]]:
    """Names in runs of at most ``maximum_bytes`` of content, at least one in each."""
    batch: list[str] = []
    held = 0
    for name, size in changes:
        if batch and held + size > maximum_bytes:
            yield batch
            batch, held = [], 0
        batch.append(name)
        held += size
    if batch:
        yield batch
