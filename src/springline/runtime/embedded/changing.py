"""What has to happen to the views when the application, or a table that they read, has changed. Decides; changes nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import apsw

from springline.core.schema import TableSchema, check_columns
from springline.errors import ConfigurationError, SqlError
from springline.runtime.embedded.tables import LAYOUT, quote
from springline.sql.program import ViewProgram, WindowMode
from springline.sql.sharing import SHARED, is_shared


@dataclass(frozen=True, slots=True)
class ViewDefinition:
    """A view as the application declares it."""

    name: str
    text: str
    key: tuple[str, ...] | None = None
    windows: WindowMode = "closing"
    shared: tuple[tuple[str, str], ...] = dataclasses.field(default=(), compare=False)
    """As it is maintained: texts of its subqueries, each with the hidden view that is read in its place (``sharing.py``)."""

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def from_json(text: str) -> ViewDefinition | None:
        """A definition that was written before; None where an older version wrote it in another form."""
        found: dict[str, Any] = json.loads(text)
        if found.get("key") is not None:
            found["key"] = tuple(found["key"])
        found["shared"] = tuple((part, name) for part, name in found.get("shared", ()))
        try:
            return ViewDefinition(**found)
        except TypeError:
            return None


Compiler = Callable[[ViewDefinition, Mapping[str, TableSchema]], ViewProgram]


@dataclass(frozen=True, slots=True)
class Compiled:
    """The views that can be maintained, each after those that it reads, and those that cannot, with the reason."""

    programs: dict[str, ViewProgram]
    broken: dict[str, SqlError]


def check_names(definitions: Sequence[ViewDefinition], tables: Iterable[TableSchema]) -> None:
    """Raises ConfigurationError for names that views, or the columns of tables, cannot have."""
    for schema in tables:
        check_columns(schema)
    if len({one.name for one in definitions}) != len(definitions):
        raise ConfigurationError("Two views have the same name.", hint="Give each view its own name.")
    for one in definitions:
        if is_shared(one.name):
            raise ConfigurationError(
                f"{one.name!r} cannot name a view: {SHARED} begins the names of what views share.",
                hint="Give the view a name without colons.",
            )


def compile_all(
    definitions: Iterable[ViewDefinition], tables: Mapping[str, TableSchema], compile_view: Compiler
) -> Compiled:
    """Compiles in an order in which every view comes after the views that it reads."""
    schemas = dict(tables)
    waiting = list(definitions)
    compiled = Compiled({}, {})
    while waiting:
        errors: dict[str, SqlError] = {}
        ready: list[ViewProgram] = []
        for definition in waiting:
            try:
                ready.append(compile_view(definition, schemas))
            except SqlError as error:
                errors[definition.name] = error
        if not ready:
            compiled.broken.update(_with_causes(waiting, errors))
            break
        for program in ready:
            schemas[program.name] = program.schema
            compiled.programs[program.name] = program
        waiting = [one for one in waiting if one.name in errors]
    return compiled


def _with_causes(waiting: Sequence[ViewDefinition], errors: Mapping[str, SqlError]) -> dict[str, SqlError]:
    """A view that reads a broken one is told so, rather than that there is no such table. The causes come first."""
    found: dict[str, SqlError] = {}
    for definition in waiting:
        read = [one for one in errors if one != definition.name and _mentions(definition.text, one)]
        if not read:
            found[definition.name] = errors[definition.name]
    for definition in waiting:
        if definition.name not in found:
            read = [one for one in errors if one != definition.name and _mentions(definition.text, one)]
            cause = next((one for one in read if one in found), read[0])
            found[definition.name] = SqlError(
                f"View {definition.name!r} reads view {cause!r}, which cannot be maintained: {errors[cause].message}",
                hint=errors[cause].hint,
                statement=definition.text,
            )
    return found


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", text) is not None


def to_build(programs: Mapping[str, ViewProgram], is_current: Callable[[ViewProgram], bool]) -> list[str]:
    """Which views must be filled anew: those whose state is not theirs, and all that read one of them."""
    found: list[str] = []
    for name, program in programs.items():
        if not is_current(program) or any(one in found for one in program.inputs):
            found.append(name)
    return found


def components(
    programs: Mapping[str, ViewProgram], names: Sequence[str], read_now: Mapping[str, Sequence[str]]
) -> list[list[str]]:
    """Groups of these views that read one another; they have to change in the same tick. Names stay in order. ``read_now``: what the
    present versions read."""
    group_of = {name: {name} for name in names}
    for name in names:
        for read in (*programs[name].inputs, *read_now.get(name, ())):
            if read in group_of and group_of[read] is not group_of[name]:
                joined = group_of[read] | group_of[name]
                for member in joined:
                    group_of[member] = joined
    seen: set[int] = set()
    found: list[list[str]] = []
    for name in names:
        if id(group_of[name]) not in seen:
            seen.add(id(group_of[name]))
            found.append([one for one in names if one in group_of[name]])
    return found


def outer_inputs(programs: Sequence[ViewProgram]) -> list[str]:
    """What a group of views reads from outside, each once."""
    own = {program.name for program in programs}
    return list(dict.fromkeys(one for program in programs for one in program.inputs if one not in own))


_Named = TypeVar("_Named", bound=Any)


def downstream(inputs: Mapping[str, Sequence[str]], relation: str) -> list[str]:
    """The views that read a relation, directly or not, in maintenance order. ``inputs``: what each view reads, in that order."""
    found = {relation}
    for name, read in inputs.items():
        if found & set(read):
            found.add(name)
    return [name for name in inputs if name in found]


def in_order(views: Sequence[_Named], inputs: Callable[[_Named], Sequence[str]]) -> list[_Named]:
    """Views so that each comes after those that it reads; otherwise as they were."""
    placed: dict[str, _Named] = {}
    waiting = list(views)
    names = {one.name for one in waiting}
    while waiting:
        ready = [one for one in waiting if all(name in placed or name not in names for name in inputs(one))]
        assert ready, "views cannot read each other in a circle"
        placed.update((one.name, one) for one in ready)
        waiting = [one for one in waiting if one.name not in placed]
    return list(placed.values())


def fingerprint(program: ViewProgram) -> str:
    """Changes when anything that the view's state depends on does."""
    parts = [
        LAYOUT,
        # A hidden view's name says what it is; whose text it has makes no difference.
        "" if is_shared(program.name) else program.text,
        program.schema.to_json(),
        [step.sql for step in (*program.state, *program.backfill)],
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def rows_up_to(connection: apsw.Connection, relations: Iterable[str], most: int) -> int:
    """How many rows some relations have together; counted no further than just beyond ``most``."""
    found = 0
    for name in relations:
        if found <= most:
            [(rows,)] = connection.execute(
                f"SELECT count(*) FROM (SELECT 1 FROM main.{quote(name)} LIMIT ?)", (most + 1 - found,)
            )
            found += rows
    return found
