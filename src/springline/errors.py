"""Every error that Springline raises on purpose.

    SpringlineError
    ├── ConfigurationError      the application or its settings are wrong; nothing was changed
    │   └── SqlError            a statement cannot be used; carries line and column
    ├── SourceError             a source cannot be read as asked
    │   ├── SourceUnavailable   transient: retried with backoff by the runtime
    │   └── SourceLost          terminal: the source no longer holds what we need; resnapshot
    ├── StateError              a file of the data folder cannot be used
    │   ├── DataFolderLocked    another process works on this data folder
    │   ├── NewerFormat         the file was written by a newer Springline
    │   └── StorageFull         the disk (or a quota) is full
    ├── ReadError               a question about the state cannot be answered as asked
    │   ├── NotFresh            the recency barrier missed its deadline
    │   ├── SnapshotTooOld      a reader held its snapshot longer than allowed
    │   ├── NotFound            no relation, receipt or key of this name
    │   └── ViewBuilding        a view that is being filled for the first time
    └── ModelError              a model call failed
        ├── ModelUnavailable    transient: retried
        └── ModelRefused        terminal for this input: goes to the dead letters

An error says what happened, where, what was found, and what to do next. The last part is the
``hint``; it is printed on a line of its own by the command line and is a field of its own over HTTP.
"""

from __future__ import annotations

from typing import ClassVar


class SpringlineError(Exception):
    """Base of all errors raised on purpose. ``code`` is stable and part of the public interface."""

    code: ClassVar[str] = "springline_error"
    transient: ClassVar[bool] = False
    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message} {self.hint}"

    def to_json(self) -> dict[str, object]:
        """The one error shape of HTTP, ``--json`` and MCP."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "transient": self.transient}


class ConfigurationError(SpringlineError):
    """The application or its settings are wrong. Nothing was changed."""

    code = "configuration"
    exit_status = 2


class SqlError(ConfigurationError):
    """A statement cannot be used. ``line`` and ``column`` count from 1 in the text that was given."""

    code = "sql"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        statement: str | None = None,
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        where = "" if line is None else f" (line {line}, column {column})"
        super().__init__(message + where, hint=hint)
        self.statement = statement
        self.line = line
        self.column = column

    def of_view(self, name: str) -> SqlError:
        """The same error, saying whose SELECT the line and column are of."""
        if self.message.startswith(f"View {name!r} "):
            return self
        made = SqlError(f"View {name!r}: {self.message}", hint=self.hint, statement=self.statement)
        made.line, made.column = self.line, self.column
        return made

    def to_json(self) -> dict[str, object]:
        return {**super().to_json(), "line": self.line, "column": self.column}


class SourceError(SpringlineError):
    """A source cannot be read as asked."""

    code = "source"
    exit_status = 3


class SourceUnavailable(SourceError):
    """The source does not answer now. The runtime retries with backoff; nothing is lost."""

    code = "source_unavailable"
    transient = True


class SourceLost(SourceError):
    """The source no longer holds the changes that follow our position."""

    code = "source_lost"


class StateError(SpringlineError):
    """A file of the data folder cannot be used."""

    code = "state"
    exit_status = 4


class DataFolderLocked(StateError):
    """Another process works on this data folder."""

    code = "data_folder_locked"


class NewerFormat(StateError):
    """The file was written by a newer version of Springline; it was not touched."""

    code = "newer_format"


class StorageFull(StateError):
    """The disk is full. Capture pauses, what was acknowledged is kept, work resumes when there is room."""

    code = "storage_full"
    transient = True


class ReadError(SpringlineError):
    """A question about the state cannot be answered as asked."""

    code = "read"
    exit_status = 5


class NotFresh(ReadError):
    """The recency barrier missed its deadline: the context would be older than the caller allows."""

    code = "not_fresh"
    transient = True


class SnapshotTooOld(ReadError):
    """A reader held its snapshot for longer than ``maximum_snapshot_age_ms``; read again."""

    code = "snapshot_too_old"
    transient = True


class NotFound(ReadError):
    """No relation, receipt or key of this name."""

    code = "not_found"


class ViewBuilding(ReadError):
    """The view is new and being filled beside the running ticks; until then it cannot be read."""

    code = "view_building"
    transient = True


class ModelError(SpringlineError):
    """A model call failed."""

    code = "model"
    exit_status = 6


class ModelUnavailable(ModelError):
    """The model does not answer now; the call is retried."""

    code = "model_unavailable"
    transient = True


class ModelRefused(ModelError):
    """The model will not accept this input; it goes to the dead letters."""

    code = "model_refused"
