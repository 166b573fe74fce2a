"""The rarer functions of texts, bytes, numbers and times."""

from __future__ import annotations

from typing import Final

from springline.core.types import BIGINT, BOOLEAN, BYTES, DATE, DOUBLE, INT, STRING, TIMESTAMP, TIMESTAMP_LTZ
from tests.law.domains import PRICE
from tests.law.form import Form

_S, _I, _D, _T = STRING, INT, DOUBLE, TIMESTAMP
_DATED: Final = "DuckDB reads other texts as dates"
_NO: Final = "DuckDB has no such function"
_OTHER: Final = "DuckDB's means something else"
_UNIT: Final = "CASE WHEN abs({{0}}) > 1 THEN 'nan'::DOUBLE ELSE {0}({{0}}) END"

MORE_TEXTS: Final = [
    Form(_S, (_I,), "BIN(ABS({0}))", "bin(abs({0}))"),
    Form(_S, (_I,), "HEX(ABS({0}))", "CASE WHEN {0} = 0 THEN '0' ELSE hex(abs({0})) END"),
    Form(_S, (_S,), "HEX({0})"),
    Form(_S, (_S,), "TRANSLATE({0}, 'ab', 'xy')"),
    Form(_S, (_S,), "TRANSLATE3({0}, 'ab', 'xy')", "translate({0}, 'ab', 'xy')"),
    Form(_S, (_S, _S), "OVERLAY({0} PLACING {1} FROM 2)", None, _NO),
    Form(_S, (_S, _S), "OVERLAY({0} PLACING {1} FROM 2 FOR 1)", None, _NO),
    Form(_S, (("1", "2", "3"), _S, _S), "ELT({0}, {1}, {2})", "CASE {0} WHEN 1 THEN {1} WHEN 2 THEN {2} END"),
    Form(
        _S,
        (("1", "3"), _S, _S, _S),
        "ELT({0}, {1}, {2}, {3})",
        "CASE {0} WHEN 1 THEN {1} WHEN 3 THEN {3} END",
    ),
    Form(_I, (_S,), "INSTR({0}, 'a', 2)", None, _NO),
    Form(_I, (_S,), "INSTR({0}, 'a', -1)", None, _NO),
    Form(_I, (_S,), "INSTR({0}, 'a', 1, 2)", None, _NO),
    Form(_S, (_S,), "STR_TO_MAP({0})['a']", None, _NO),
    Form(_S, (_S,), "STR_TO_MAP({0}, ';', ':')['a']", None, _NO),
    Form(_I, (_S,), "REGEXP_COUNT({0}, '[0-9]+')", "CAST(len(regexp_extract_all({0}, '[0-9]+')) AS INTEGER)"),
    Form(_I, (_S,), "REGEXP_INSTR({0}, '[0-9]+')", None, _NO),
    Form(
        _S,
        (_S,),
        "REGEXP_SUBSTR({0}, '[0-9]+')",
        "CASE WHEN regexp_matches({0}, '[0-9]+') THEN regexp_extract({0}, '[0-9]+') END",
    ),
    *(Form(_S, (_S,), f"{name}({{0}})", None, _NO) for name in ("SHA224", "SHA384", "SHA512")),
    Form(_S, (_S,), "SHA2({0}, 256)", "sha256({0})"),
    Form(_S, (_S,), "TO_BASE64({0})", "to_base64(encode({0}))"),
    Form(_S, (_S,), "FROM_BASE64(TO_BASE64({0}))", "{0}"),
    Form(BYTES, (_S,), "UNHEX(HEX({0}))", "encode({0})"),
    Form(BYTES, (_S,), "ENCODE({0}, 'UTF-8')", "encode({0})"),
    Form(_S, (_S,), "DECODE(ENCODE({0}, 'UTF-8'), 'UTF-8')", "{0}"),
    Form(_S, (("x'6869'",),), "DECODE({0}, 'UTF-8')", "CASE WHEN {0} IS NOT NULL THEN 'hi' END"),
    Form(_S, (_S,), "URL_ENCODE({0})", None, _OTHER),
    Form(_S, (_S,), "URL_DECODE(URL_ENCODE({0}))", "{0}"),
    Form(_S, (_S,), "PARSE_URL({0}, 'HOST')", None, _NO),
    Form(_S, (_S,), "PARSE_URL({0}, 'QUERY', 'a')", None, _NO),
    Form(BIGINT, (("'127.0.0.1'", "'10.0.0.256'"),), "INET_ATON({0})", None, _NO),
    Form(_S, (_I,), "INET_NTOA(ABS({0}))", None, _NO),
    Form(_S, (_D,), "TYPEOF({0})", "CASE WHEN TRUE OR {0} IS NULL THEN 'DOUBLE' END"),
    Form(_D, (_I,), "LOG(ABS({0}) + 1)", "ln(abs({0}) + 1)"),
    Form(_D, (_I,), "LOG(2, ABS({0}) + 1)", "log2(abs({0}) + 1)"),
    Form(_D, (_I,), "COT(ABS({0}) + 1)", "cot(abs({0}) + 1)"),
    Form(_D, (_D,), "ASIN({0})", _UNIT.format("asin")),
    Form(_D, (_D,), "ACOS({0})", _UNIT.format("acos")),
    Form(_D, (_D,), "ATAN({0})"),
    Form(_D, (_I,), "SINH({0})"),
    Form(_D, (_I,), "COSH({0})"),
    Form(_D, (_I,), "TANH({0})"),
    Form(_D, (), "PI()"),
    Form(_D, (), "E()", "exp(1)"),
    Form(
        BOOLEAN,
        (_I, _I, _I),
        "({0} BETWEEN SYMMETRIC {1} AND {2})",
        "(({0} >= {1} AND {0} <= {2}) OR ({0} >= {2} AND {0} <= {1}))",
    ),
    Form(BOOLEAN, (_S,), "({0} SIMILAR TO '(a|b)%')", "regexp_full_match({0}, '(a|b).*')"),
    Form(PRICE, (PRICE,), "COALESCE(TRY_CAST(CAST({0} AS STRING) AS DECIMAL(8, 2)), {0})", "{0}"),
]

MORE_TIMES: Final = [
    Form(_T, (_T,), "({0} + INTERVAL '1 12:30:15' DAY TO SECOND)", "({0} + INTERVAL '1 day 12:30:15')"),
    Form(DATE, (DATE,), "({0} + INTERVAL '1-2' YEAR TO MONTH)", "CAST({0} + INTERVAL 14 MONTH AS DATE)"),
    Form(_T, (_T,), "({0} + 2 * INTERVAL '1' DAY)", "({0} + INTERVAL 2 DAY)"),
    Form(BIGINT, (_T,), "EXTRACT(EPOCH FROM {0})", "CAST(floor(epoch({0})) AS BIGINT)"),
    Form(BIGINT, (DATE,), "EXTRACT(ISODOW FROM {0})", "CAST(isodow({0}) AS BIGINT)"),
    Form(BIGINT, (DATE,), "EXTRACT(ISOYEAR FROM {0})", "CAST(isoyear({0}) AS BIGINT)"),
    Form(BIGINT, (DATE,), "EXTRACT(DECADE FROM {0})", "CAST(decade({0}) AS BIGINT)"),
    Form(BIGINT, (_T,), "EXTRACT(MICROSECOND FROM {0})", None, _OTHER),
    Form(_T, (_T,), "FLOOR({0} TO MILLISECOND)", "date_trunc('millisecond', {0})"),
    Form(_T, (DATE,), "TIMESTAMPADD(HOUR, 1, {0})", "({0} + INTERVAL 1 HOUR)"),
    Form(_S, (("'2013-02-08 17:30:00'",),), "DATE_FORMAT({0}, 'yyyy')", "'2013'"),
    Form(_T, (_S,), "TO_TIMESTAMP({0}, 'yyyy-MM-dd')", None, _DATED),
    Form(DATE, (_S,), "TO_DATE({0}, 'yyyy-MM-dd')", None, _DATED),
    Form(TIMESTAMP_LTZ, (_S,), "TO_TIMESTAMP_LTZ({0})", None, _DATED),
    Form(TIMESTAMP_LTZ, (_S,), "TO_TIMESTAMP_LTZ({0}, 'yyyy-MM-dd', 'Asia/Tokyo')", None, _NO),
    Form(
        _S,
        (_I,),
        "FROM_UNIXTIME({0})",
        "strftime(make_timestamp({0}::BIGINT * 1000000), '%Y-%m-%d %H:%M:%S')",
    ),
    Form(
        _S,
        (_I,),
        "FROM_UNIXTIME({0}, 'yyyy/MM/dd')",
        "strftime(make_timestamp({0}::BIGINT * 1000000), '%Y/%m/%d')",
    ),
    Form(BIGINT, (_S,), "UNIX_TIMESTAMP({0})", None, _NO, risky=True),
    Form(_S, (_S,), "CONVERT_TZ({0}, 'America/New_York', 'Asia/Tokyo')", None, _NO),
]
