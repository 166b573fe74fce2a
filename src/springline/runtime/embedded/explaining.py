"""What ``springline explain`` says of a view: how it is maintained, and what it shares with others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import apsw

from springline.core.schema import EventTime
from springline.errors import NotFound
from springline.runtime.embedded.changing import Compiler, ViewDefinition, compile_all, fingerprint
from springline.runtime.embedded.sharing import Form, hidden_inputs, readers_of, shared_forms
from springline.runtime.embedded.state import read_definitions, read_relations
from springline.runtime.embedded.watermarks import with_event_times
from springline.sql.program import ViewProgram


def explained(
    view: str,
    definitions: Sequence[ViewDefinition],
    connection: apsw.Connection,
    event_times: Mapping[str, EventTime],
    compile_view: Compiler,
    explain: Callable[[ViewProgram], str],
) -> str:
    """Explains a view as these definitions make it over the tables of a state, and as the state has it where they are the same. Raises
    NotFound, or the SqlError that stops the view."""
    if view not in {one.name for one in definitions}:
        known = ", ".join(one.name for one in definitions) or "none"
        raise NotFound(f"There is no view {view!r}.", hint=f"Known: {known}.")
    relations = read_relations(connection)
    tables = {name: one.schema for name, one in relations.items() if one.kind == "table"}
    timed = with_event_times(tables, event_times)
    compiled = compile_all(definitions, timed, compile_view)
    if view in compiled.broken:
        raise compiled.broken[view]

    def is_current(program: ViewProgram) -> bool:
        known = relations.get(program.name)
        return known is not None and known.state == "live" and known.program == fingerprint(program)

    forms = shared_forms(
        definitions,
        compiled.programs,
        timed,
        compile_view,
        installed=read_definitions(connection),
        is_current=is_current,
    )
    return _text(view, forms, explain)


def _text(view: str, forms: Mapping[str, Form], explain: Callable[[ViewProgram], str]) -> str:
    inputs = {name: form.program.inputs for name, form in forms.items()}
    texts = [explain(forms[view].program)]
    for name in hidden_inputs(view, lambda one: inputs.get(one, ())):
        readers = readers_of(name, inputs)
        others = ", ".join(one for one in readers if one != view)
        told = f"shared with {others}" if others else "to be shared; no other view reads it now"
        texts.append(f"\n{told}: {forms[name].definition.text}\n{explain(forms[name].program)}")
    return "\n".join(texts)
