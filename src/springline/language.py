"""The SQL compiler as the embedded runtime takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from springline.core.schema import TableSchema
from springline.runtime.embedded.catalog import ViewDefinition
from springline.runtime.embedded.runtime import Language
from springline.sql import compile_query, compile_view, explain, register_functions
from springline.sql.program import QueryProgram, ViewProgram


def _compile_view(definition: ViewDefinition, schemas: Mapping[str, TableSchema]) -> ViewProgram:
    return compile_view(definition.name, definition.text, schemas, key=definition.key, windows=definition.windows)


def _compile_query(
    text: str, schemas: Mapping[str, TableSchema], parameters: Mapping[str, object]
) -> QueryProgram:
    return compile_query(text, schemas, parameters=parameters)


LANGUAGE = Language(
    compile_view=_compile_view,
    compile_query=_compile_query,
    register=register_functions,
    explain=lambda program: explain(cast("ViewProgram", program)),
)
