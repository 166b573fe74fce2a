"""Functions of arrays and JSON."""

from __future__ import annotations

from typing import Final

from springline.core.types import BOOLEAN, INT, STRING, array
from tests.law.form import Form

_S, _I, _A, _SA = STRING, INT, array(INT), array(STRING)
_NO: Final = "DuckDB has no such function"
_OTHER: Final = "DuckDB's means something else"

ARRAYS: Final = [
    Form(_A, (_I, _I), "ARRAY[{0}, {1}]", "[{0}, {1}]"),
    Form(_SA, (_S,), "ARRAY[{0}]", "[{0}]"),
    Form(_I, (_A, ("1", "2", "3")), "{0}[{1}]"),
    Form(_I, (_A,), "CARDINALITY({0})", "CAST(len({0}) AS INTEGER)"),
    Form(_I, (_I,), "ELEMENT(ARRAY[{0}])", "{0}"),
    Form(BOOLEAN, (_A, _I), "ARRAY_CONTAINS({0}, {1})", None, _OTHER),
    Form(_I, (_A, _I), "ARRAY_POSITION({0}, {1})", None, _OTHER),
    Form(_A, (_A,), "ARRAY_DISTINCT({0})", None, _OTHER),
    Form(_A, (_A, _I), "ARRAY_REMOVE({0}, {1})", None, _NO),
    Form(_A, (_A,), "ARRAY_REVERSE({0})", "list_reverse({0})"),
    Form(_A, (_A,), "ARRAY_SORT({0})", "list_sort({0}, 'ASC', 'NULLS FIRST')"),
    Form(_A, (_A,), "ARRAY_SORT({0}, FALSE)", "list_sort({0}, 'DESC', 'NULLS LAST')"),
    Form(_A, (_A, _I), "ARRAY_APPEND({0}, {1})", None, _OTHER),
    Form(_A, (_A, _I), "ARRAY_PREPEND({0}, {1})", None, _OTHER),
    Form(_A, (_A, _A), "ARRAY_CONCAT({0}, {1})", None, _OTHER),
    Form(_A, (_A, _A), "ARRAY_UNION({0}, {1})", None, _OTHER),
    Form(_A, (_A, _A), "ARRAY_INTERSECT({0}, {1})", None, _OTHER),
    Form(_A, (_A, _A), "ARRAY_EXCEPT({0}, {1})", None, _NO),
    Form(_I, (_A,), "ARRAY_MAX({0})", "list_max({0})"),
    Form(_I, (_A,), "ARRAY_MIN({0})", "list_min({0})"),
    Form(_S, (_SA,), "ARRAY_JOIN({0}, '-')", None, _OTHER),
    Form(_S, (_SA,), "ARRAY_JOIN({0}, '-', '?')", None, _OTHER),
    Form(_A, (_A,), "ARRAY_SLICE({0}, 2, 3)", None, _OTHER),
    Form(_A, (_A,), "ARRAY_SLICE({0}, -2)", None, _OTHER),
    Form(_SA, (_S,), "SPLIT({0}, ',')", None, _OTHER),
    Form(
        _SA, (_S,), "REGEXP_EXTRACT_ALL({0}, '[a-z]([0-9]+)')", "regexp_extract_all({0}, '[a-z]([0-9]+)', 1)"
    ),
]

JSON: Final = [
    Form(_S, (_S,), "JSON_VALUE({0}, 'lax $.b' DEFAULT 'none' ON EMPTY)", None, _NO),
    Form(_S, (_S,), "JSON_VALUE({0}, '$.a' DEFAULT 'bad' ON ERROR)", None, _NO),
    Form(BOOLEAN, (_S,), "JSON_EXISTS({0}, '$.a' UNKNOWN ON ERROR)", None, _NO),
    Form(_S, (_S,), "JSON_QUERY({0}, '$.a' WITH WRAPPER)", None, _NO),
    Form(_S, (_S,), "JSON_QUERY({0}, 'lax $.b' EMPTY OBJECT ON EMPTY)", None, _NO),
    Form(_S, (_I, _S), "JSON_OBJECT('b' VALUE {0}, 'a': {1})", None, _OTHER),
    Form(_S, (_I,), "JSON_OBJECT(KEY 'a' VALUE {0} ABSENT ON NULL)", None, _OTHER),
    Form(_S, (_I, _S), "JSON_OBJECT('o' VALUE JSON_ARRAY({0}, {1}, TRUE))", None, _OTHER),
    Form(_S, (_I,), "JSON_OBJECT('o' VALUE JSON(JSON_OBJECT('x' VALUE {0})))", None, _OTHER),
    Form(_S, (_I, _I), "JSON_ARRAY({0}, {1})", None, _OTHER),
    Form(_S, (_I, _I), "JSON_ARRAY({0}, {1} NULL ON NULL)", None, _OTHER),
    Form(_S, (_S,), "JSON_STRING({0})", None, _OTHER),
    Form(_S, (_S,), "JSON_QUOTE({0})", None, _NO),
    Form(_S, (_S,), "JSON_UNQUOTE(JSON_QUOTE({0}))", "{0}"),
    Form(BOOLEAN, (_S,), "({0} IS JSON)", "coalesce(json_valid({0}), FALSE)"),
    Form(BOOLEAN, (_S,), "({0} IS JSON ARRAY)", None, _OTHER),
    Form(BOOLEAN, (_S,), "({0} IS NOT JSON)", "(NOT coalesce(json_valid({0}), FALSE))"),
]
