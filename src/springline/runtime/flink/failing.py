"""Expressions that can fail, in a form in which Flink's job cannot.

A failing expression restarts a Flink job for ever, at the same row. Here it leaves the row out. So each such expression is
changed to one that is NULL where it would fail, and its query gets a condition that holds where nothing of it fails. The
conditions are composed as Flink evaluates operands: what is not evaluated does not fail (``sql/guards.py``).

=============================  ============================================================================
expression                     becomes, and holds where
=============================  ============================================================================
CAST that can fail             TRY_CAST; its operand or its value is not NULL
a whole number cut from        the same; the number is in the type's range
another one
x / y, x % y                   x / NULLIF(y, 0); x is NULL or y is not zero
+ - * of integers              the same; the value in wider arithmetic is in the type's range
a call of a Python function    the same, where the function gives NULL when it raises; it did not raise
=============================  ============================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from sqlglot import exp
from sqlglot.expressions.core import Expr as Tree

from springline.runtime.flink.ddl import name
from springline.runtime.flink.gaps import refused
from springline.runtime.flink.positions import Edits, is_query, span
from springline.runtime.flink.reading import Expressions, Reading
from springline.sql.aggregate_calls import is_aggregate
from springline.sql.typed import INTEGER_RANGES, Guard, Typed, bounds

FAILS: Final = "_fails"
"""Ends the name of the function that says whether a Python function raises for the same arguments."""

_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul)
_QUOTIENTS = (exp.Div, exp.Mod)
_HARMLESS: Final = ("is longer than", "overflow in")
"""Failures that are limits of the embedded runtime, or that wrap at one value only (ABS of the smallest integer)."""

_CHARSETS: Final = ("US-ASCII", "ISO-8859-1", "UTF-8", "UTF-16BE", "UTF-16LE", "UTF-16")


class Failing:
    """The failing expressions of one view."""

    def __init__(self, reading: Reading, edits: Edits) -> None:
        self._reading = reading
        self._edits = edits
        self._keys: Sequence[Tree] = ()

    # -- edits -----------------------------------------------------------------------------------------------------

    def make_safe(self) -> None:
        """Edits every expression that can fail, wherever it stands. Raises SqlError for one that cannot be made safe."""
        for node in self._reading.tree.walk():
            if isinstance(node, exp.Cast) and not isinstance(node, exp.TryCast):
                self._safe_cast(node)
            elif isinstance(node, _QUOTIENTS) or _is_mod(node):
                self._safe_quotient(node)

    def _typed(self, node: Tree) -> tuple[Typed | None, tuple[Guard, ...] | None]:
        for expressions in (self._reading.rows, self._reading.groups):
            if (typed := expressions.get(node)) is not None:
                return typed, expressions.own_failures(node)
        return None, None

    def _safe_cast(self, node: exp.Cast) -> None:
        where = span(node)
        _, own = self._typed(node)
        is_call = where is not None and self._reading.text[slice(*where)].upper().startswith("CAST")
        if where is not None and is_call and own != () and not _fits(node):
            self._edits.replace((where[0], where[0] + 4), "TRY_CAST")

    def _safe_quotient(self, node: Tree) -> None:
        typed, own = self._typed(node)
        if typed is None:
            raise refused(self._reading.where, node, "quotients over groups below a window")
        if any("division by zero" in one.reason for one in own or ()):
            if typed.type.name == "DECIMAL" and typed.type.precision is None:
                raise refused(self._reading.where, node, "arithmetic of DECIMAL without precision")
            where = span(_operands(node)[1])
            assert where is not None
            self._edits.wrap(where, "NULLIF(", ", 0)", owner=id(node))

    # -- conditions ------------------------------------------------------------------------------------------------

    def over_groups(self, node: Tree, keys: Sequence[Tree]) -> list[str]:
        """What must hold for an expression over groups not to fail, whose keys do not."""
        self._keys = keys
        try:
            return self.conditions(node, self._reading.groups)
        finally:
            self._keys = ()

    def conditions(self, node: Tree, expressions: Expressions) -> list[str]:
        """What must hold for an expression not to fail, as SQL that is TRUE or FALSE."""
        if node in self._keys:
            return []
        if isinstance(node, exp.Query | exp.Subquery) or expressions.failures(node) == ():
            return []
        if isinstance(node, exp.Window):
            return [one for part in node.iter_expressions() for one in self.conditions(part, expressions)]
        if is_aggregate(node) or isinstance(node, exp.Filter | exp.WithinGroup):
            return []
        if isinstance(node, exp.And | exp.Or):
            return self._in_turn(
                list(node.flatten()), "TRUE" if isinstance(node, exp.Or) else "FALSE", expressions
            )
        if isinstance(node, exp.Case | exp.If):
            return self._of_case(node, expressions)
        if isinstance(node, exp.Anonymous) and node.name.upper() in ("COALESCE", "IFNULL"):
            return self._of_coalesce(node.expressions, expressions)
        if isinstance(node, exp.Anonymous) and node.name.upper() == "IF":
            return self._of_branches(
                [(node.expressions[0], node.expressions[1])], node.expressions[2], expressions
            )
        if isinstance(node, (*_ARITHMETIC, exp.Neg)):
            return self._of_arithmetic(node, expressions)
        parts = [one for part in _parts(node) for one in self.conditions(part, expressions)]
        return list(dict.fromkeys([*parts, *self._own(node, expressions)]))

    def of_aggregates(self, nodes: Iterable[Tree]) -> list[str]:
        """What must hold for a row to take part in its group: the arguments of the aggregates do not fail."""
        made: list[str] = []
        for node in nodes:
            for one in node.walk(prune=is_query):
                if is_aggregate(one):
                    made += self._of_aggregate(one)
        return list(dict.fromkeys(made))

    def _of_aggregate(self, call: Tree) -> list[str]:
        rows = self._reading.rows
        arguments = [
            found
            for one in call.expressions
            for found in self.conditions(one.this if isinstance(one, exp.Ordered) else one, rows)
        ]
        condition = call.parent.expression.this if isinstance(call.parent, exp.Filter) else None
        if condition is None:
            return arguments
        passed = self._text(condition)
        return [
            *self.conditions(condition, rows),
            *(f"(CASE WHEN {passed} THEN {one} ELSE TRUE END)" for one in arguments),
        ]

    def _text(self, node: Tree, *, without: int = 0) -> str:
        where = span(node)
        assert where is not None
        return self._edits.render(where, without=without)

    def _in_turn(self, operands: Sequence[Tree], stop: str, expressions: Expressions) -> list[str]:
        made: list[str] = []
        for index, operand in enumerate(operands):
            before = "".join(f"({self._text(one)}) IS {stop} OR " for one in operands[:index])
            made += [f"({before}{one})" if before else one for one in self.conditions(operand, expressions)]
        return made

    def _of_coalesce(self, operands: Sequence[Tree], expressions: Expressions) -> list[str]:
        made: list[str] = []
        for index, operand in enumerate(operands):
            before = "".join(f"({self._text(one)}) IS NOT NULL OR " for one in operands[:index])
            made += [f"({before}{one})" if before else one for one in self.conditions(operand, expressions)]
        return made

    def _of_case(self, node: exp.Case | exp.If, expressions: Expressions) -> list[str]:
        if isinstance(node, exp.If):
            return self._of_branches([(node.this, node.args["true"])], node.args.get("false"), expressions)
        branches = [(one.this, one.args["true"]) for one in node.args["ifs"]]
        subject = node.this
        if subject is None:
            return self._of_branches(branches, node.args.get("default"), expressions)
        # Every branch is guarded as if it were taken where the subject equals its value.
        made = self.conditions(subject, expressions)
        before = ""
        for value, result in branches:
            test = f"({self._text(subject)}) = ({self._text(value)})"
            made += [
                f"(CASE {before}ELSE {one} END)" if before else one
                for one in self.conditions(value, expressions)
            ]
            made += [
                f"(CASE {before}WHEN {test} THEN {one} ELSE TRUE END)"
                for one in self.conditions(result, expressions)
            ]
            before += f"WHEN {test} THEN TRUE "
        return [*made, *self._of_default(before, node.args.get("default"), expressions)]

    def _of_branches(
        self, branches: Sequence[tuple[Tree, Tree]], default: Tree | None, expressions: Expressions
    ) -> list[str]:
        made: list[str] = []
        before = ""
        for condition, result in branches:
            test = self._text(condition)
            made += [
                f"(CASE {before}ELSE {one} END)" if before else one
                for one in self.conditions(condition, expressions)
            ]
            made += [
                f"(CASE {before}WHEN {test} THEN {one} ELSE TRUE END)"
                for one in self.conditions(result, expressions)
            ]
            before += f"WHEN {test} THEN TRUE "
        return [*made, *self._of_default(before, default, expressions)]

    def _of_default(self, before: str, default: Tree | None, expressions: Expressions) -> list[str]:
        if default is None:
            return []
        return [f"(CASE {before}ELSE {one} END)" for one in self.conditions(default, expressions)]

    def _of_arithmetic(self, node: Tree, expressions: Expressions) -> list[str]:
        """A chain is checked once, at its end: what overflows on the way comes back."""
        typed = expressions.get(node)
        leaves = _leaves(node)
        made = [found for leaf in leaves for found in self.conditions(leaf, expressions)]
        if typed is None or typed.unchecked is None or not (typed.type.is_integer or typed.type.is_scaled):
            return made
        low, high = bounds(typed.type)
        if typed.type.is_scaled:
            limit = 10 ** ((typed.type.precision or 0) - (typed.type.scale or 0))
            text = self._text(node)
            made.append(f"(({text}) > -{limit} AND ({text}) < {limit}) IS NOT FALSE")
            return made
        products = sum(1 for one in node.walk() if isinstance(one, exp.Mul))
        wide = "BIGINT" if typed.type.name != "BIGINT" and products < 2 else "DECIMAL(38, 0)"
        value = self._widened(node, wide)
        made.append(f"({value} BETWEEN {low} AND {high}) IS NOT FALSE")
        return made

    def _widened(self, node: Tree, wide: str) -> str:
        if isinstance(node, exp.Paren):
            return f"({self._widened(node.this, wide)})"
        if isinstance(node, exp.Neg):
            return f"(- {self._widened(node.this, wide)})"
        if isinstance(node, _ARITHMETIC):
            sign = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*"}[type(node)]
            return f"({self._widened(node.left, wide)} {sign} {self._widened(node.right, wide)})"
        return f"CAST({self._text(node)} AS {wide})"

    def _own(self, node: Tree, expressions: Expressions) -> list[str]:
        own = expressions.own_failures(node)
        if isinstance(node, exp.Cast) and not isinstance(node, exp.TryCast):
            return self._of_cast(node, expressions) if own != () and not _fits(node) else []
        functions = self._reading.where.functions
        called = node.name.upper() if isinstance(node, exp.Anonymous) and functions is not None else ""
        if functions is not None and (called in functions.tables or (own and called in functions.scalars)):
            arguments = ", ".join(self._text(one) for one in node.expressions)
            return [f"(NOT {name(called.lower() + FAILS)}({arguments}))"]
        if not own:
            return []
        if isinstance(node, _QUOTIENTS) or _is_mod(node):
            left, right = _operands(node)
            is_zero = f"({self._text(right, without=id(node))}) = 0"
            if not isinstance(left, exp.Literal):
                is_zero += f" AND ({self._text(left)}) IS NOT NULL"
            return [f"({is_zero}) IS NOT TRUE"]
        if all(any(words in one.reason for words in _HARMLESS) for one in own) or _succeeds(node):
            return []
        raise refused(self._reading.where, node, "expressions that fail")

    def _of_cast(self, node: exp.Cast, expressions: Expressions) -> list[str]:
        operand = self._text(node.this)
        source, typed = expressions.get(node.this), expressions.get(node)
        if typed is not None and source is not None and typed.type.is_integer and source.type.is_numeric:
            limit = INTEGER_RANGES[typed.type.name]
            return [f"(({operand}) > -{limit + 1} AND ({operand}) < {limit}) IS NOT FALSE"]
        value = self._text(node)
        return [f"(({operand}) IS NULL OR {value} IS NOT NULL)"]


def _fits(node: exp.Cast) -> bool:
    """Whether a constant is cast to a type that holds it. Flink's planner folds constants, and not all that is put around them."""
    constant = node.this.unnest()
    if isinstance(constant, exp.Null):
        return True
    negative = isinstance(constant, exp.Neg)
    constant = constant.this.unnest() if negative else constant
    if not isinstance(constant, exp.Literal) or constant.is_string or "e" in constant.this.lower():
        return False
    value = -Decimal(constant.this) if negative else Decimal(constant.this)
    kind = node.args["to"]
    if kind.this == exp.DataType.Type.DECIMAL and len(kind.expressions) == 2:
        precision, scale = (int(one.this.this) for one in kind.expressions)
        return abs(value) < 10 ** (precision - scale) - 1
    limit = INTEGER_RANGES.get(str(kind.this.value))
    return limit is not None and abs(value) < limit - 1


def _succeeds(node: Tree) -> bool:
    """Whether a function that fails for some constants is given others."""
    if isinstance(node, exp.StrPosition):
        return True
    if not isinstance(node, exp.Anonymous):
        return False
    constant = node.expressions[-1]
    match node.name.upper(), len(node.expressions):
        case ("INSTR", 2 | 3):
            return True
        case ("INSTR", 4):
            return isinstance(constant, exp.Literal) and int(constant.this) > 0
        case ("SHA2", 2):
            return isinstance(constant, exp.Literal) and constant.this in ("224", "256", "384", "512")
        case ("ENCODE" | "DECODE", 2):
            return isinstance(constant, exp.Literal) and constant.this.upper() in _CHARSETS
        case _:
            return False


def _is_mod(node: Tree) -> bool:
    return isinstance(node, exp.Anonymous) and node.name.upper() == "MOD" and len(node.expressions) == 2


def _operands(node: Tree) -> tuple[Tree, Tree]:
    left, right = (node.left, node.right) if isinstance(node, exp.Binary) else node.expressions
    return left, right


def _parts(node: Tree) -> list[Tree]:
    return [one for one in node.iter_expressions() if not isinstance(one, exp.DataType | exp.Identifier)]


def _leaves(node: Tree) -> list[Tree]:
    if isinstance(node, exp.Paren | exp.Neg):
        return _leaves(node.this)
    if isinstance(node, _ARITHMETIC):
        return [*_leaves(node.left), *_leaves(node.right)]
    return [node]
