"""Python functions that an application's SQL calls.

A scalar function takes the Python values of its arguments (as ``core.types.load`` gives them; None for NULL) and gives one of its
type. It must be deterministic, and free of side effects: it may be called again for the same row, or not at all where its result
is remembered. Where it raises, the row is left out of the view like any row that cannot be computed, with the exception as the
reason; in a query the value is NULL.

A table function gives any number of rows. In SQL it is a function of the same arguments whose value is a JSON list of rows of
stored values, which ``LATERAL TABLE`` unpacks.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import apsw

from springline.core.types import STRING, SqlType, Stored, load, parse_type, store
from springline.errors import ConfigurationError
from springline.sql.dialect import Text, Tree
from springline.sql.scalars import names
from springline.sql.typed import NULL, Guard, Typed, adopt, coerce, derived, describe, quote

REMEMBERED: Final = 256
"""Results of a function that are remembered: a view asks whether a row fails before it uses the value."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
Types: TypeAlias = Sequence[SqlType | str]


@dataclass(frozen=True, slots=True)
class ScalarFunction:
    """A Python function with its SQL signature."""

    name: str
    function: Callable[..., object]
    arguments: tuple[SqlType, ...]
    returns: SqlType

    @property
    def sql_name(self) -> str:
        return f"py_{self.name.lower()}"


@dataclass(frozen=True, slots=True)
class TableFunction:
    """A Python function that gives rows: tuples with a value for each column."""

    name: str
    function: Callable[..., Iterable[Sequence[object]]]
    arguments: tuple[SqlType, ...]
    columns: tuple[tuple[str, SqlType], ...]

    @property
    def sql_name(self) -> str:
        return f"py_{self.name.lower()}"


@dataclass(slots=True)
class Functions:
    """An application's functions by their name in capitals; SQL's functions have no case."""

    scalars: dict[str, ScalarFunction] = field(default_factory=dict[str, ScalarFunction])
    tables: dict[str, TableFunction] = field(default_factory=dict[str, TableFunction])

    def add_scalar(
        self, name: str, function: Callable[..., object], arguments: Types, returns: SqlType | str
    ) -> None:
        """Raises ConfigurationError for a name that is taken and for types that are not SQL's."""
        self._check(name)
        types = tuple(_type(name, one) for one in arguments)
        self.scalars[name.upper()] = ScalarFunction(name, function, types, _type(name, returns))

    def add_table(
        self,
        name: str,
        function: Callable[..., Iterable[Sequence[object]]],
        arguments: Types,
        returns: Mapping[str, SqlType | str],
    ) -> None:
        """The same for a table function; ``returns`` names its columns."""
        self._check(name)
        columns = tuple((column, _type(name, one)) for column, one in returns.items())
        if not columns or any(kind.name == "BYTES" for _, kind in columns):
            raise ConfigurationError(
                f"The table function {name!r} has no columns, or one of BYTES.",
                hint="Give columns of other types, returns={'word': 'STRING'}.",
            )
        types = tuple(_type(name, one) for one in arguments)
        self.tables[name.upper()] = TableFunction(name, function, types, columns)

    def _check(self, name: str) -> None:
        from springline.sql.aggregate_calls import AGGREGATES

        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"{name!r} cannot be the name of a function.", hint="Letters, digits and _ make a name."
            )
        if name.upper() in {*names(), *AGGREGATES, *self.scalars, *self.tables}:
            raise ConfigurationError(f"There is a function {name!r} already.", hint="Give it another name.")


def _type(name: str, kind: SqlType | str) -> SqlType:
    if isinstance(kind, SqlType):
        return kind
    try:
        return parse_type(kind)
    except ValueError as error:
        raise ConfigurationError(
            f"Function {name!r}: {kind!r} is not a type.",
            hint="Types: INT, STRING, DECIMAL(8, 2) …; docs/sql.md.",
        ) from error


# -- calls -------------------------------------------------------------------------------------------------------------


def scalar_call(where: Text, node: Tree, function: ScalarFunction, operands: Sequence[Typed]) -> Typed:
    """A call of an application's function. Raises SqlError where the arguments are not what it takes."""
    brought = _brought(where, node, function, operands)
    arguments = ", ".join(one.sql for one in brought)
    made = derived(f"{quote(function.sql_name)}({arguments})", function.returns, brought, nullable=True)
    return replace(made, guards=(*made.guards, _guard(function, arguments, made)))


def table_call(
    where: Text, node: Tree, function: TableFunction, operands: Sequence[Typed]
) -> tuple[Typed, tuple[tuple[str, Typed], ...]]:
    """A call of a table function: the JSON list of its rows, and its columns as expressions over ``value``, which holds one
    of them (the column of SQLite's ``json_each``)."""
    brought = _brought(where, node, function, operands)
    arguments = ", ".join(one.sql for one in brought)
    rows = derived(f"{quote(function.sql_name)}({arguments})", STRING, brought, nullable=True)
    rows = replace(rows, guards=(*rows.guards, _guard(function, arguments, rows)))
    columns = tuple(
        (name, Typed(f"json_extract(value, '$[{place}]')", kind, True))
        for place, (name, kind) in enumerate(function.columns)
    )
    return rows, columns


def _guard(function: ScalarFunction | TableFunction, arguments: str, made: Typed) -> Guard:
    failure = f"{quote(function.sql_name + '_error')}({arguments})"
    return Guard(f"({failure} IS NULL)", failure, made.refs)


def _brought(
    where: Text, node: Tree, function: ScalarFunction | TableFunction, operands: Sequence[Typed]
) -> list[Typed]:
    wanted = function.arguments
    if len(operands) != len(wanted):
        listed = ", ".join(map(str, wanted))
        raise where.error(
            node,
            f"{function.name} takes {len(wanted)} arguments, not {len(operands)}.",
            f"{function.name}({listed}).",
        )
    brought: list[Typed] = []
    for index, (operand, kind) in enumerate(zip(operands, wanted, strict=True)):
        made = adopt(operand, kind) if operand.type == NULL else coerce(operand, kind)
        if made is None:
            raise where.error(
                node,
                f"Argument {index + 1} of {function.name} is {describe(operand.type)}; it wants {kind}.",
                f"CAST it to {kind}.",
            )
        brought.append(made)
    return brought


# -- what SQLite calls -------------------------------------------------------------------------------------------------


def register_user_functions(
    connection: apsw.Connection, functions: Functions, report: Callable[[str], None]
) -> None:
    """Makes an application's functions known to a connection."""
    for one in (*functions.scalars.values(), *functions.tables.values()):
        outcome = _remembered(one)

        def value(*arguments: Stored, outcome: _Outcome = outcome) -> Stored:
            stored, failure = outcome(*arguments)
            if failure is not None:
                report(failure)
            return stored

        def failure(*arguments: Stored, outcome: _Outcome = outcome) -> str | None:
            return outcome(*arguments)[1]

        connection.create_scalar_function(one.sql_name, value, len(one.arguments), deterministic=True)
        connection.create_scalar_function(
            one.sql_name + "_error", failure, len(one.arguments), deterministic=True
        )


_Outcome: TypeAlias = Callable[..., tuple[Stored, str | None]]


def _remembered(one: ScalarFunction | TableFunction) -> _Outcome:
    """(stored value, None), or (None, why it failed)."""

    @functools.lru_cache(maxsize=REMEMBERED, typed=True)
    def outcome(*arguments: Stored) -> tuple[Stored, str | None]:
        try:
            values = [load(value, kind) for value, kind in zip(arguments, one.arguments, strict=True)]
            found: Any = one.function(*values)
            if isinstance(one, ScalarFunction):
                return store(found, one.returns), None
            return _rows(found, one.columns), None
        # An application's code may raise anything: the row is left out, and the exception is the reason.
        except Exception as error:
            return None, f"function {one.name} raised {type(error).__name__}: {error}"

    return outcome


def _rows(found: Iterable[Sequence[object]], columns: Sequence[tuple[str, SqlType]]) -> str:
    rows = [[store(value, kind) for value, (_, kind) in zip(row, columns, strict=True)] for row in found]
    return json.dumps(rows, ensure_ascii=False)
