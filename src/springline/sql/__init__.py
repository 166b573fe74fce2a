"""A documented subset of Flink SQL: parse, check, plan, explain, and compile to SQLite."""

from springline.sql.catalog import Catalog
from springline.sql.compile import compile_view
from springline.sql.explanation import explain, explain_json
from springline.sql.functions import register_functions
from springline.sql.program import QueryProgram, ViewProgram
from springline.sql.query import compile_query
from springline.sql.user_functions import Functions

__all__ = [
    "Catalog",
    "Functions",
    "QueryProgram",
    "ViewProgram",
    "compile_query",
    "compile_view",
    "explain",
    "explain_json",
    "register_functions",
]
