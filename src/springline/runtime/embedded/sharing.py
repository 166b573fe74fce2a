"""Which subqueries views have in common, and what keeps their rows: hidden views, each maintained once for all views that read it.

Two subqueries are the same where they compile to the same state and the same statements that fill it. That says nothing of how they are
written, and cannot be true of two queries that differ. A view that is installed and current stays as it is; only one that is new, or
filled anew anyway, begins to share. Decides; changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from springline.core.schema import TableSchema
from springline.errors import SqlError
from springline.runtime.embedded.changing import Compiler, ViewDefinition
from springline.sql.program import Subplan, ViewProgram
from springline.sql.sharing import SHARED, is_shared

_TRIED: Final = SHARED + "tried"
_NAME: Final = re.compile(rf"{SHARED}[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Form:
    """A view as it is maintained: its definition, with the hidden views that it reads, and its program."""

    definition: ViewDefinition
    program: ViewProgram


def shared_forms(
    definitions: Iterable[ViewDefinition],
    programs: Mapping[str, ViewProgram],
    tables: Mapping[str, TableSchema],
    compile_view: Compiler,
    *,
    installed: Mapping[str, ViewDefinition] | None = None,
    is_current: Callable[[ViewProgram], bool] = lambda _: False,
) -> dict[str, Form]:
    """The views, and before their readers the hidden views that they read. ``programs``: the views that can be maintained, compiled without
    sharing, each after those that it reads. ``installed``: as what the state holds views; ``is_current``: whether it holds the
    view of a program."""
    declared = {one.name: one for one in definitions}
    chooser = _Chooser(declared, programs, tables, compile_view, installed or {}, is_current)
    for name in programs:
        chooser.take(name, chooser.form(declared[name], programs[name]))
    return chooser.taken


class _Chooser:
    def __init__(
        self,
        declared: Mapping[str, ViewDefinition],
        programs: Mapping[str, ViewProgram],
        tables: Mapping[str, TableSchema],
        compile_view: Compiler,
        installed: Mapping[str, ViewDefinition],
        is_current: Callable[[ViewProgram], bool],
    ) -> None:
        self._declared = declared
        self._programs = programs
        self._schemas = {**tables, **{name: program.schema for name, program in programs.items()}}
        self._compile_view = compile_view
        self._installed = installed
        self._is_current = is_current
        self._hidden: dict[str, Form] = {}
        self._anew: set[str] = set()
        self._names: dict[str, str | None] = {}
        self.taken: dict[str, Form] = {}

    def take(self, name: str, form: Form) -> None:
        """The view is maintained in this form, after the hidden views that it reads."""
        for one in form.program.inputs:
            if is_shared(one) and one not in self.taken:
                self.take(one, self._hidden[one])
        self.taken[name] = form

    def form(self, definition: ViewDefinition, private: ViewProgram) -> Form:
        """The form that is there, if it is current; else one that shares what it can."""
        present = self._installed.get(definition.name)
        if present is not None and present == definition:
            kept = self._present(present, private)
            if kept is not None:
                return kept
        self._anew.add(definition.name)
        return self._sharing(definition, private)

    def _present(self, definition: ViewDefinition, private: ViewProgram | None = None) -> Form | None:
        if not all(self._is_present(name) for _, name in definition.shared):
            return None
        try:
            program = private if private and not definition.shared else self._compile(definition)
        except SqlError:
            return None
        is_same = self._is_current(program) and self._anew.isdisjoint(program.inputs)
        return Form(definition, program) if is_same else None

    def _is_present(self, name: str) -> bool:
        """Whether a hidden view is there and current."""
        if name not in self._hidden and name not in self._anew and name in self._installed:
            found = self._present(self._installed[name])
            if found is not None:
                self._hidden[name] = found
        return name in self._hidden and name not in self._anew

    def _sharing(self, definition: ViewDefinition, private: ViewProgram) -> Form:
        """The view reading hidden views where it can, as long as it stays the same view."""
        unshared = Form(definition, private)
        if not _may_share(private) or not (pairs := dict(self._read(private.subplans))):
            return unshared
        try:
            program = self._compile(replace(definition, shared=tuple(pairs.items())))
        except SqlError:
            return unshared
        used = tuple((text, name) for text, name in pairs.items() if name in program.inputs)
        is_same = program.schema == private.schema and _is_full(program) <= _is_full(private)
        return Form(replace(definition, shared=used), program) if used and is_same else unshared

    def _read(self, subplans: Sequence[Subplan]) -> Iterator[tuple[str, str]]:
        """(text, hidden view) of the largest subqueries that are shared."""
        for one in subplans:
            name = self._name(one.text)
            if name is not None and name in self._common:
                self._provide(name, one.text)
                yield one.text, name
            else:
                yield from self._read(one.inner)

    def _provide(self, name: str, text: str) -> None:
        if name not in self._hidden and not self._is_present(name):
            self._anew.add(name)
            definition = ViewDefinition(name, text)
            self._hidden[name] = self._sharing(definition, self._compile(definition))

    def _compile(self, definition: ViewDefinition) -> ViewProgram:
        hidden = {name: form.program.schema for name, form in self._hidden.items()}
        return self._compile_view(definition, {**self._schemas, **hidden})

    # -- what is common ----------------------------------------------------------------------------------------------

    @cached_property
    def _common(self) -> frozenset[str]:
        """The hidden views that at least two others would read, directly."""
        units = {name: program.subplans for name, program in self._programs.items() if _may_share(program)}
        read = Counter(
            reads for subplans in units.values() for reads in {one.reads for one in _all(subplans)}
        )
        found: dict[str, Subplan] = {}
        counted: Counter[str] = Counter()
        for subplans in units.values():
            named = {
                name: one
                for one in _all(subplans)
                if read[one.reads] > 1 and (name := self._name(one.text)) is not None
            }
            counted.update(named.keys())
            found |= named
        common = {name for name, count in counted.items() if count > 1}
        while True:
            within = [found[name].inner for name in common]
            readers = Counter(
                name for unit in (*units.values(), *within) for name in set(self._outermost(unit, common))
            )
            if all(readers[name] > 1 for name in common):
                return frozenset(common)
            common = {name for name in common if readers[name] > 1}

    def _outermost(self, subplans: Sequence[Subplan], common: set[str]) -> Iterator[str]:
        for one in subplans:
            name = self._names.get(one.text)
            if name is not None and name in common:
                yield name
            else:
                yield from self._outermost(one.inner, common)

    def _name(self, text: str) -> str | None:
        """The name of the hidden view for a subquery: equal for equal queries. None where it cannot be a view, or where its rows depend
        on when they came."""
        if text not in self._names:
            try:
                program = self._compile_view(ViewDefinition(_TRIED, text), self._schemas)
            except SqlError:
                self._names[text] = None
            else:
                is_timed = program.schema.event_time is not None
                self._names[text] = None if is_timed or not _may_share(program) else shared_name(program)
        return self._names[text]


def shared_name(program: ViewProgram) -> str:
    """The name of the hidden view of a query, from what the query compiles to."""
    steps = [step.sql for step in (*program.state, *program.backfill)]
    text = json.dumps([program.schema.to_json(), steps], sort_keys=True)
    return SHARED + hashlib.sha256(text.encode()).hexdigest()[:24]


def _may_share(program: ViewProgram) -> bool:
    """Windows that close depend on the order in which rows came: such views share nothing."""
    return not program.close and not program.sides


def _is_full(program: ViewProgram) -> bool:
    return any(one.level == "full" for one in program.levels)


def _all(subplans: Sequence[Subplan]) -> Iterator[Subplan]:
    for one in subplans:
        yield one
        yield from _all(one.inner)


# -- as people see it ----------------------------------------------------------------------------------------------


def spoken_of(reason: str, view: str) -> str:
    """A reason that names a hidden view, as one that names the view that reads it."""
    return _NAME.sub(view, reason)


def hidden_inputs(name: str, inputs: Callable[[str], Sequence[str]]) -> list[str]:
    """The hidden views that a view reads, also through others, each once."""
    found: dict[str, None] = {}
    waiting = [name]
    while waiting:
        for one in inputs(waiting.pop()):
            if is_shared(one) and one not in found:
                found[one] = None
                waiting.append(one)
    return list(found)


def readers_of(name: str, inputs: Mapping[str, Sequence[str]]) -> list[str]:
    """The views of the application that read a hidden view, also through others, sorted."""
    return sorted(
        one
        for one in inputs
        if not is_shared(one) and name in hidden_inputs(one, lambda read: inputs.get(read, ()))
    )
