"""CAST and TRY_CAST. A value that cannot be cast is NULL; for CAST that is a failure (in Flink the job fails)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sqlglot import exp

from springline.core.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    FLOAT,
    INT,
    SMALLINT,
    STRING,
    TIME,
    TIMESTAMP,
    TIMESTAMP_LTZ,
    SqlType,
    decimal,
    store,
)
from springline.sql.dialect import Text, Tree
from springline.sql.operators import divided_half_up
from springline.sql.parsing import parse_value
from springline.sql.typed import (
    DAY_US,
    INTEGER_RANGES,
    NULL,
    Guard,
    Typed,
    as_double,
    as_wide,
    check_range,
    derived,
    describe,
    exact_operand,
    in_range,
    is_wide,
    literal_text,
    not_nan,
    null_of,
    rescaled,
)

_SIMPLE: Final = {
    "BOOLEAN": BOOLEAN,
    "SMALLINT": SMALLINT,
    "INT": INT,
    "BIGINT": BIGINT,
    "FLOAT": FLOAT,
    "DOUBLE": DOUBLE,
    "TEXT": STRING,
    "VARCHAR": STRING,
    "VARBINARY": BYTES,
    "DATE": DATE,
    "TIME": TIME,
    "TIMESTAMP": TIMESTAMP,
    "TIMESTAMPNTZ": TIMESTAMP,
    "TIMESTAMPLTZ": TIMESTAMP_LTZ,
}


def read_type(where: Text, node: Tree) -> tuple[SqlType, int | None]:
    """A type as written, and its length or precision where it limits values (VARCHAR(n), TIMESTAMP(n))."""
    name = node.this.name if isinstance(node.this, exp.DType) else str(node.this)
    parameters = [int(one.name) for one in node.expressions if one.name.isdigit()]
    if name == "DECIMAL":
        precision, scale = ([*parameters, 0] if parameters else [10, 0])[:2]
        if not 1 <= precision <= 38 or scale > precision:
            raise where.error(
                node, f"DECIMAL({precision}, {scale}) is out of range.", "Precision is 1 to 38."
            )
        return decimal(precision, scale), None
    if name not in _SIMPLE:
        hint = "Types: " + ", ".join(
            sorted({str(one) for one in _SIMPLE.values()} | {"DECIMAL(p, s)", "VARCHAR(n)"})
        )
        raise where.error(node.parent or node, f"The type {where.quote(node)} is not known here.", hint + ".")
    kind = _SIMPLE[name]
    limit = parameters[0] if parameters else None
    if kind.is_temporal and limit is not None and limit > 6:
        raise where.error(
            node, f"{kind}({limit}) is finer than a microsecond.", f"Use {kind}(6) or {kind}(3)."
        )
    return kind, limit


def cast(where: Text, node: Tree, operand: Typed, target_node: Tree, *, attempt: bool) -> Typed:
    target, limit = read_type(where, target_node)
    if operand.constant and isinstance(operand.value, str) and target.is_temporal:
        return _temporal_literal(where, node, operand, target, limit, attempt=attempt)
    reason = "" if attempt else f"{where.quote(node)} failed"
    made = _converted(operand, target, reason)
    if made is None:
        raise where.error(
            node,
            f"{describe(operand.type)} cannot be cast to {target}.",
            _HINTS.get((operand.type.name, target.name)),
        )
    if target == STRING and limit is not None:
        return derived(f"substr({made.sql}, 1, {limit})", STRING, [made])
    if target.is_temporal and limit is not None and limit < 6 and target.name != "DATE":
        finite = f"{made.sql} BETWEEN -{10**18} AND {10**18}"
        cut = f"CASE WHEN {finite} THEN {floor_to(made.sql, 10 ** (6 - limit))} ELSE {made.sql} END"
        return derived(cut, target, [made])
    return made


_HINTS = {
    ("BIGINT", "TIMESTAMP"): "Use TO_TIMESTAMP_LTZ(number, 0 or 3).",
    ("INT", "TIMESTAMP"): "Use TO_TIMESTAMP_LTZ(number, 0 or 3).",
    ("BIGINT", "TIMESTAMP_LTZ"): "Use TO_TIMESTAMP_LTZ(number, 0 or 3).",
    ("INT", "TIMESTAMP_LTZ"): "Use TO_TIMESTAMP_LTZ(number, 0 or 3).",
}


def floor_to(sql: str, unit: int) -> str:
    """A number of microseconds, down to a multiple of ``unit``, also before 1970."""
    return f"({sql} - ((({sql} % {unit}) + {unit}) % {unit}))"


def _temporal_literal(
    where: Text, node: Tree, operand: Typed, target: SqlType, limit: int | None, *, attempt: bool
) -> Typed:
    try:
        stored = parse_value(str(operand.value), target)
        if stored is None:
            stored = store(str(operand.value).strip(), target)
    except ValueError as error:
        if attempt:
            return null_of(target)
        raise where.error(
            node,
            f"{operand.value!r} is not a {target}.",
            "Write DATE '2026-01-31' or TIMESTAMP '2026-01-31 23:59:59'.",
        ) from error
    assert isinstance(stored, int)
    if limit is not None and target.name != "DATE":
        stored -= stored % 10 ** (6 - limit)
    return Typed(str(stored), target, False, constant=True)


def _converted(operand: Typed, target: SqlType, reason: str) -> Typed | None:
    source = operand.type
    if source == target:
        return operand
    if source == NULL:
        return _untyped(operand, target, reason)
    if target == STRING:
        return _to_string(operand)
    if source == STRING:
        return _parsed(operand, target, reason)
    if source.is_numeric and target.is_numeric:
        return _between_numbers(operand, target, reason)
    if source == BOOLEAN and target.is_numeric:
        return _between_numbers(derived(operand.sql, INT, [operand]), target, reason)
    if target == BOOLEAN and source.name in ("DOUBLE", "FLOAT"):
        return derived(f"({operand.sql} <> 0.0)", BOOLEAN, [operand])
    if target == BOOLEAN and (source.is_integer or source.is_scaled):
        return derived(f"({operand.sql} <> 0)", BOOLEAN, [operand])
    if source.is_temporal and target.is_temporal:
        return _between_temporals(operand, target)
    return None


def _untyped(operand: Typed, target: SqlType, reason: str) -> Typed:
    """A bare NULL, or a parameter of unknown type."""
    if not operand.parameter:
        return Typed("NULL", target, True, constant=True)
    if target == STRING:
        return derived(f"CAST({operand.sql} AS TEXT)", STRING, [operand])
    return derived(
        f"sl_parse({operand.sql}, {literal_text(str(target))}, {literal_text(reason)})", target, [operand]
    )


def _parsed(operand: Typed, target: SqlType, reason: str) -> Typed:
    """A text or double read as another type. ``reason`` is empty for TRY_CAST."""
    text = f"sl_parse({operand.sql}, {literal_text(str(target))}, {literal_text(reason)})"
    made = derived(text, target, [operand], nullable=True)
    if not reason:
        return made
    parses = f"sl_parses({operand.sql}, {literal_text(str(target))})"
    return replace(made, guards=(*made.guards, Guard(parses, literal_text(reason), made.refs)))


def _to_string(operand: Typed) -> Typed | None:
    source, sql = operand.type, operand.sql
    if source.is_integer:
        text = f"CAST({sql} AS TEXT)"
    elif source == BOOLEAN:
        text = f"CASE {sql} WHEN 1 THEN 'TRUE' WHEN 0 THEN 'FALSE' END"
    elif is_wide(source):
        text = sql
    elif source == BYTES:
        text = f"sl_decode({sql}, 'UTF-8')"
    elif source.element is not None:
        text = sql
    else:
        text = f"sl_text({sql}, {literal_text(str(source))})"
    return derived(text, STRING, [operand])


def _between_numbers(operand: Typed, target: SqlType, reason: str) -> Typed:
    source = operand.type
    if target.name in ("DOUBLE", "FLOAT"):
        return derived(as_double(operand), target, [operand])
    if source.name in ("DOUBLE", "FLOAT"):
        return _parsed(operand, target, reason)
    if is_wide(target) and target.precision is not None:
        return _parsed(derived(as_wide(operand), decimal(), [operand]), target, reason)
    if is_wide(target):
        return derived(as_wide(operand), target, [operand], nullable=operand.nullable)
    if is_wide(source):
        return _parsed(operand, target, reason)
    if target.is_integer:
        text = operand.sql
        if source.is_scaled:
            text = f"({exact_operand(operand)} / {10 ** (source.scale or 0)})"
        elif source.is_integer and INTEGER_RANGES[target.name] >= INTEGER_RANGES[source.name]:
            return derived(text, target, [operand])
        return _in_range(text, target, operand, reason)
    down = (source.scale or 0) - (target.scale or 0)
    text = (
        rescaled(operand, target.scale or 0)
        if down <= 0
        else divided_half_up(exact_operand(operand), 10**down)
    )
    return _in_range(text, target, operand, reason)


def _in_range(text: str, target: SqlType, operand: Typed, reason: str) -> Typed:
    if reason:
        made = derived(check_range(text, target, reason), target, [not_nan(operand)], nullable=True)
        fits = Guard(in_range(text, target), literal_text(reason), made.refs)
        return replace(made, guards=(*made.guards, fits))
    checked = check_range(text, target, reason).replace("sl_error('')", "NULL")
    return derived(checked, target, [operand], nullable=True)


def _between_temporals(operand: Typed, target: SqlType) -> Typed | None:
    source, sql = operand.type, operand.sql
    instants = ("TIMESTAMP", "TIMESTAMP_LTZ")
    if source.name in instants and target.name in instants:
        return derived(sql, target, [operand])
    finite = f"{sql} BETWEEN -{10**18} AND {10**18}"
    if source.name in instants and target.name == "DATE":
        days = f"CASE WHEN {finite} THEN {floor_to(sql, DAY_US)} / {DAY_US} ELSE {sql} END"
        return derived(days, target, [operand])
    if source.name == "TIME" and target.name in instants:
        return derived(sql, target, [operand])
    if source.name in instants and target.name == "TIME":
        text = f"CASE WHEN {finite} THEN (({sql} % {DAY_US}) + {DAY_US}) % {DAY_US} END"
        return derived(text, target, [operand], nullable=True)
    if source.name == "DATE" and target.name in instants:
        scaled = f"CASE WHEN {sql} BETWEEN -99999999 AND 99999999 THEN {sql}*{DAY_US} ELSE {sql} END"
        return derived(scaled, target, [operand])
    return None
