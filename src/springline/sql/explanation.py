"""What ``springline explain`` shows of a view: how each operator is maintained, at what cost, and the SQL that does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from springline.sql.program import Step, ViewProgram


def explain_json(program: ViewProgram) -> dict[str, Any]:
    """The explanation as data that JSON can carry."""
    return {
        "view": program.name,
        "key": list(program.schema.key),
        "columns": [
            {"name": column.name, "type": str(column.type), "nullable": column.nullable}
            for column in program.schema.columns
        ],
        "inputs": list(program.inputs),
        "level": level(program),
        "operators": [
            {"operator": one.operator, "level": one.level, "cost": one.cost} for one in program.levels
        ],
        "warnings": list(program.warnings),
        "state": _steps(program.state),
        "on_input": {relation: _steps(steps) for relation, steps in program.on_input.items()},
        "finish": _steps(program.finish),
        "close": _steps(program.close),
        "batch": program.batch,
    }


def level(program: ViewProgram) -> str:
    """The costliest level of the view's operators."""
    order = ("delta", "group", "full")
    return max((one.level for one in program.levels), key=order.index, default="delta")


def _steps(steps: Sequence[Step]) -> list[dict[str, str]]:
    return [
        {"why": step.why, "sql": step.sql} | ({"only_if": step.only_if} if step.only_if else {})
        for step in steps
    ]


def explain(program: ViewProgram) -> str:
    """The explanation as text for a terminal."""
    data = explain_json(program)
    lines = [
        f"view {program.name}  key ({', '.join(program.schema.key)})  level {data['level']}",
        "  " + ", ".join(f"{column['name']} {column['type']}" for column in data["columns"]),
        "",
        "operators",
    ]
    width = max((len(one.operator) for one in program.levels), default=0)
    lines += [f"  {one.operator:<{width}}  {one.level:<5}  {one.cost}" for one in program.levels]
    lines += [f"  warning: {warning}" for warning in program.warnings]
    lines += _section("state", program.state)
    for relation, steps in program.on_input.items():
        lines += _section(f"when {relation} changes", steps)
    lines += _section("at the view's turn", program.finish)
    lines += _section("at the view's turn, at the end of a tick (windows close)", program.close)
    lines += ["", "as one query", "  " + program.batch]
    return "\n".join(lines)


def _section(title: str, steps: Sequence[Step]) -> list[str]:
    lines = ["", title] if steps else []
    for step in steps:
        lines += [
            f"  -- {step.why}",
            *([f"  -- only if {step.only_if}"] if step.only_if else []),
            f"  {step.sql}",
        ]
    return lines
