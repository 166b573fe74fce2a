"""The shape of a table."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, cast

from springline.core.types import SqlType, Stored, parse_type
from springline.errors import ConfigurationError

OWN_COLUMNS: Final = frozenset({"_tick", "_w"})
"""The hidden columns of every relation and of its changes."""


def column_problem(name: str, before: Iterable[str]) -> str | None:
    """Why a column after those ``before`` cannot have this name: a sentence, or None."""
    if not name or name.lower() in OWN_COLUMNS:
        return f"A column cannot be called {name!r}."
    same = next((one for one in before if one.lower() == name.lower()), None)
    if same is None:
        return None
    if same == name:
        return f"Two columns are called {name!r}."
    return f"Two columns are called {same!r} and {name!r}, which differ by capitals only."


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``identity`` survives a rename (PostgreSQL's attnum); None where the source has none.

    ``initial`` is the stored value that rows written before this column existed have (the DEFAULT of an
    ``ADD COLUMN``, which PostgreSQL keeps in its catalog and never sends).
    """

    name: str
    type: SqlType
    nullable: bool = True
    identity: int | None = None
    initial: Stored = None


@dataclass(frozen=True, slots=True)
class EventTime:
    """Which column says when a row's event happened, and how the relation's watermark follows it.

    The watermark is the largest event time seen minus ``delay_us``: rows up to it are expected to have come. Changes count in
    a window for ``lateness_us`` after its end. A table without changes for ``idle_after_us`` while others go on holds nobody up.
    """

    column: str
    delay_us: int = 0
    lateness_us: int = 0
    idle_after_us: int | None = None

    def to_json(self) -> list[str | int | None]:
        return [self.column, self.delay_us, self.lateness_us, self.idle_after_us]


@dataclass(frozen=True, slots=True)
class TableSchema:
    """A table's name, its columns in order, and its key.

    ``name`` is the relation's name everywhere in Springline: ``source.table`` for a mirrored table
    (``source.schema.table`` outside PostgreSQL's ``public``), a plain word for a view.
    An empty ``key`` means that whole rows are the key (REPLICA IDENTITY FULL without a primary key):
    equal rows may then occur more than once. ``event_time`` is declared for a table and derived for a view; a source knows none.
    A table that is not ``kept`` is a stream: its rows only come, pass through the views that read it, and are not stored. Its key,
    if it has one, is the source's promise that no two rows have the same.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    comment: str = ""
    event_time: EventTime | None = None
    kept: bool = True
    _positions: dict[str, int] = field(init=False, repr=False, compare=False, default_factory=dict[str, int])

    def __post_init__(self) -> None:
        self._positions.update({column.name: index for index, column in enumerate(self.columns)})
        if len(self._positions) != len(self.columns):
            raise ValueError(f"Table {self.name!r} has two columns of one name.")
        if missing := [name for name in self.key if name not in self._positions]:
            raise ValueError(f"Key column {missing[0]!r} is not a column of table {self.name!r}.")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def key_indexes(self) -> tuple[int, ...]:
        """Where the key's columns stand in a row; all columns for a table without a key."""
        return (
            tuple(self._positions[name] for name in self.key) if self.key else tuple(range(len(self.columns)))
        )

    def index(self, name: str) -> int:
        return self._positions[name]

    def column(self, name: str) -> Column:
        return self.columns[self._positions[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._positions

    def to_json(self) -> dict[str, Any]:
        """What any JSON writer can carry; the inverse of ``from_json``."""
        made: dict[str, Any] = {
            "name": self.name,
            "columns": [
                {
                    "name": column.name,
                    "type": str(column.type),
                    "nullable": column.nullable,
                    "identity": column.identity,
                    "initial": _initial_to_json(column.initial),
                }
                for column in self.columns
            ],
            "key": list(self.key),
            "comment": self.comment,
        }
        if self.event_time is not None:
            made["event_time"] = self.event_time.to_json()
        if not self.kept:
            made["kept"] = False
        return made

    @staticmethod
    def from_json(data: dict[str, Any]) -> TableSchema:
        return TableSchema(
            name=data["name"],
            columns=tuple(
                Column(
                    name=column["name"],
                    type=parse_type(column["type"]),
                    nullable=column["nullable"],
                    identity=column["identity"],
                    initial=_initial_from_json(column["initial"]),
                )
                for column in data["columns"]
            ),
            key=tuple(data["key"]),
            comment=data.get("comment", ""),
            event_time=EventTime(*data["event_time"]) if data.get("event_time") else None,
            kept=data.get("kept", True),
        )


def _initial_to_json(value: Stored) -> object:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    return value


def _initial_from_json(value: Any) -> Stored:
    if isinstance(value, dict):
        (form, text), *_ = cast("dict[str, str]", value).items()
        return base64.b64decode(text) if form == "base64" else float(text)
    return value


def check_columns(schema: TableSchema) -> None:
    """Raises ConfigurationError for a table with columns that no relation can have."""
    for index, name in enumerate(schema.names):
        if (problem := column_problem(name, schema.names[:index])) is not None:
            raise ConfigurationError(
                f"Table {schema.name!r} cannot be mirrored. {problem}",
                hint="Leave the column out of the capture (PostgreSQL: exclude=), or rename it in the source.",
            )
