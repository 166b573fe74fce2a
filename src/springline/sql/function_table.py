"""The table of scalar functions that are one call: what they take, what they give, and their SQLite text.

Functions that begin with ``sl_`` are Python (``functions.py``); they are used where SQLite's own means something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from springline.core.types import BIGINT, BOOLEAN, BYTES, DOUBLE, INT, STRING, SqlType
from springline.sql.string_functions import LONGEST_TEXT


@dataclass(frozen=True, slots=True)
class Function:
    """``takes`` has one word for each argument: string, integer, double, bytes, or several with a ``/`` between; a ``?`` marks
    those that may be left out, ``*`` that the last may be repeated. ``text`` names them {0}, {1}, …; {all} is all of them."""

    takes: str
    gives: SqlType
    text: str
    nullable: bool = False
    """Whether it can be NULL although no argument is."""
    fallible: bool = False
    """Whether it fails for some arguments (and then gives NULL); it gives NULL for no other reason."""
    holds: str = ""
    """What must hold for it not to fail, where that is cheaper to know, or where it gives NULL for other reasons too."""


_REPLACED: Final = (
    f"(length({{0}}) + 1) * max(length({{2}}), 1) <= {LONGEST_TEXT} OR sl_succeeds('sl_%s', {{all}})"
)
_PADDED: Final = f"{{1}} <= {LONGEST_TEXT}"


FUNCTIONS: Final[dict[str, Function]] = {
    "UPPER": Function("string", STRING, "sl_upper({0})"),
    "LOWER": Function("string", STRING, "sl_lower({0})"),
    "INITCAP": Function("string", STRING, "sl_initcap({0})"),
    "CHAR_LENGTH": Function("string", INT, "length({0})"),
    "CHARACTER_LENGTH": Function("string", INT, "length({0})"),
    "OCTET_LENGTH": Function("string", INT, "octet_length({0})"),
    "CONCAT": Function("string*", STRING, "{all ||}"),
    "CONCAT_WS": Function("string string*", STRING, "concat_ws({all}, NULL)"),
    "REPLACE": Function("string string string", STRING, "sl_replace({all})", holds=_REPLACED % "replace"),
    "INSTR": Function("string string integer? integer?", INT, "sl_instr({all})", fallible=True),
    "LOCATE": Function("string string integer?", INT, "sl_locate({all})"),
    "LEFT": Function("string integer", STRING, "sl_substring({0}, 1, max({1}, 0))"),
    "RIGHT": Function("string integer", STRING, "sl_right({0}, {1})"),
    "SUBSTR": Function("string integer integer?", STRING, "sl_substring({all})", nullable=True),
    "LPAD": Function("string integer string", STRING, "sl_pad({all}, 1)", nullable=True, holds=_PADDED),
    "RPAD": Function("string integer string", STRING, "sl_pad({all}, 0)", nullable=True, holds=_PADDED),
    "LTRIM": Function("string string?", STRING, "ltrim({all})"),
    "RTRIM": Function("string string?", STRING, "rtrim({all})"),
    "BTRIM": Function("string string?", STRING, "trim({all})"),
    "REPEAT": Function(
        "string integer", STRING, "sl_repeat({all})", holds=f"length({{0}}) * {{1}} <= {LONGEST_TEXT}"
    ),
    "REVERSE": Function("string", STRING, "sl_reverse({0})"),
    "SPLIT_INDEX": Function("string string/integer integer", STRING, "sl_split_index({all})", nullable=True),
    "REGEXP": Function("string string", BOOLEAN, "sl_regexp({all})"),
    "REGEXP_EXTRACT": Function("string string integer?", STRING, "sl_regexp_extract({all})", nullable=True),
    "REGEXP_REPLACE": Function(
        "string string string",
        STRING,
        "sl_regexp_replace({all})",
        nullable=True,
        holds=_REPLACED % "regexp_replace",
    ),
    "STARTSWITH": Function("string string", BOOLEAN, "(substr({0}, 1, length({1})) = {1})"),
    "ENDSWITH": Function("string string", BOOLEAN, "sl_ends_with({all})"),
    "ASCII": Function("string", INT, "sl_ascii({0})"),
    "CHR": Function("integer", STRING, "sl_chr({0})"),
    "MD5": Function("string", STRING, "sl_digest({0}, 'md5')"),
    "SHA1": Function("string", STRING, "sl_digest({0}, 'sha1')"),
    "SHA256": Function("string", STRING, "sl_digest({0}, 'sha256')"),
    "POWER": Function("double double", DOUBLE, "sl_power({all})"),
    "SQRT": Function("double", DOUBLE, "sl_math('sqrt', {0})"),
    "EXP": Function("double", DOUBLE, "sl_math('exp', {0})"),
    "LN": Function("double", DOUBLE, "sl_math('log', {0})"),
    "LOG10": Function("double", DOUBLE, "sl_math('log10', {0})"),
    "LOG2": Function("double", DOUBLE, "sl_math('log2', {0})"),
    "SIN": Function("double", DOUBLE, "sl_math('sin', {0})"),
    "COS": Function("double", DOUBLE, "sl_math('cos', {0})"),
    "TAN": Function("double", DOUBLE, "sl_math('tan', {0})"),
    "ATAN2": Function("double double", DOUBLE, "sl_atan2({all})"),
    "RADIANS": Function("double", DOUBLE, "sl_math('radians', {0})"),
    "DEGREES": Function("double", DOUBLE, "sl_math('degrees', {0})"),
    "REGEXP_COUNT": Function("string string", INT, "sl_regexp_count({all})", nullable=True),
    "REGEXP_INSTR": Function("string string", INT, "sl_regexp_instr({all})", nullable=True),
    "REGEXP_SUBSTR": Function("string string", STRING, "sl_regexp_extract({all})", nullable=True),
    "TRANSLATE": Function("string string string", STRING, "sl_translate({all})"),
    "TRANSLATE3": Function("string string string", STRING, "sl_translate({all})"),
    "OVERLAY": Function("string string integer integer?", STRING, "sl_overlay({all})"),
    "ELT": Function("integer string string*", STRING, "sl_elt({all})", nullable=True),
    "SHA224": Function("string", STRING, "sl_digest({0}, 'sha224')"),
    "SHA384": Function("string", STRING, "sl_digest({0}, 'sha384')"),
    "SHA512": Function("string", STRING, "sl_digest({0}, 'sha512')"),
    "SHA2": Function("string integer", STRING, "sl_sha2({all})", fallible=True),
    "TO_BASE64": Function("string/bytes", STRING, "sl_to_base64({0})"),
    "FROM_BASE64": Function("string", STRING, "sl_from_base64({0})", fallible=True),
    "ENCODE": Function("string string", BYTES, "sl_encode({all})", fallible=True),
    "DECODE": Function("bytes string", STRING, "sl_decode({all})", fallible=True),
    "HEX": Function("integer/string", STRING, "sl_hex({0})"),
    "UNHEX": Function("string", BYTES, "sl_unhex({0})", nullable=True),
    "BIN": Function("integer", STRING, "sl_bin({0})"),
    "URL_ENCODE": Function("string", STRING, "sl_url_encode({0})"),
    "URL_DECODE": Function("string", STRING, "sl_url_decode({0})", nullable=True),
    "PARSE_URL": Function("string string string?", STRING, "sl_parse_url({all})", nullable=True),
    "INET_ATON": Function("string", BIGINT, "sl_inet_aton({0})", nullable=True),
    "INET_NTOA": Function("integer", STRING, "sl_inet_ntoa({0})", nullable=True),
    "FROM_UNIXTIME": Function("integer string?", STRING, "sl_from_unixtime({all})", nullable=True),
    "UNIX_TIMESTAMP": Function("string string?", BIGINT, "sl_unix_timestamp({all})"),
    "CONVERT_TZ": Function("string string string", STRING, "sl_convert_tz({all})", nullable=True),
    "JSON_QUOTE": Function("string", STRING, "sl_json_quote({0})"),
    "JSON_UNQUOTE": Function("string", STRING, "sl_json_unquote({0})"),
    "JSON_STRING": Function("any", STRING, "sl_json_string({0}, {type})"),
    "ASIN": Function("double", DOUBLE, "sl_math('asin', {0})"),
    "ACOS": Function("double", DOUBLE, "sl_math('acos', {0})"),
    "ATAN": Function("double", DOUBLE, "sl_math('atan', {0})"),
    "COT": Function("double", DOUBLE, "sl_math('cot', {0})"),
    "SINH": Function("double", DOUBLE, "sl_math('sinh', {0})"),
    "COSH": Function("double", DOUBLE, "sl_math('cosh', {0})"),
    "TANH": Function("double", DOUBLE, "sl_math('tanh', {0})"),
    "LOG": Function("double double?", DOUBLE, "sl_log({all})"),
    "PI": Function("", DOUBLE, "3.141592653589793"),
    "E": Function("", DOUBLE, "2.718281828459045"),
}
