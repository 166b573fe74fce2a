"""The SQL compiler as the embedded runtime takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import apsw

from springline.core.schema import TableSchema
from springline.runtime.embedded.catalog import ViewDefinition
from springline.runtime.embedded.runtime import Language
from springline.sql import Functions, compile_query, compile_view, explain, register_functions
from springline.sql.program import QueryProgram, ViewProgram
from springline.sql.sharing import is_shared


def language(functions: Functions | None = None) -> Language:
    """The language with an application's own functions."""

    def view(definition: ViewDefinition, schemas: Mapping[str, TableSchema]) -> ViewProgram:
        return compile_view(
            definition.name,
            definition.text,
            {name: schema for name, schema in schemas.items() if not is_shared(name)},
            key=definition.key,
            windows=definition.windows,
            functions=functions,
            shared=[(text, schemas[name]) for text, name in definition.shared if name in schemas],
        )

    def query(
        text: str, schemas: Mapping[str, TableSchema], parameters: Mapping[str, object]
    ) -> QueryProgram:
        return compile_query(text, schemas, parameters=parameters, functions=functions)

    def register(connection: apsw.Connection) -> None:
        register_functions(connection, functions=functions)

    return Language(view, query, register, explain=lambda program: explain(cast("ViewProgram", program)))


LANGUAGE = language()
"""The language without functions of an application."""
