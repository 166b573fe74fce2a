"""Random expressions that fail on some rows, each with a Python function that computes it, or raises ``Failed``, by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from hypothesis import strategies as st

LIMIT = 2**31

Row: TypeAlias = Mapping[str, int | str | None]
Value: TypeAlias = int | None


class Failed(Exception):
    """Flink's job would fail here."""


@dataclass(frozen=True)
class Risky:
    """``raw`` computes the number that ``+ - *`` hand on without a check; ``value`` checks it."""

    sql: str
    raw: Callable[[Row], Value]
    checked: bool = False

    def value(self, row: Row) -> Value:
        found = self.raw(row)
        if self.checked and found is not None and not -LIMIT <= found < LIMIT:
            raise Failed
        return found


@dataclass(frozen=True)
class Condition:
    """``conjuncts``: the conditions that AND joins, if it is one."""

    sql: str
    holds: Callable[[Row], bool | None]
    conjuncts: tuple[Condition, ...] = ()

    def accepts(self, row: Row) -> bool:
        """Whether WHERE lets a row pass: it looks at the next condition only where those before hold."""
        return all(one.holds(row) for one in self.conjuncts or (self,))


def _column(name: str) -> Risky:
    def raw(row: Row) -> Value:
        found = row[name]
        assert not isinstance(found, str)
        return found

    return Risky(f"t.{name}", raw)


def _cast() -> Risky:
    def raw(row: Row) -> Value:
        text = row["s"]
        if text is None:
            return None
        try:
            return int(str(text).strip())
        except ValueError:
            raise Failed from None

    return Risky("CAST(t.s AS INT)", raw)


def _try_cast() -> Risky:
    def raw(row: Row) -> Value:
        try:
            return _cast().raw(row)
        except Failed:
            return None

    return Risky("TRY_CAST(t.s AS INT)", raw)


def _linear(operator: str, one: Risky, other: Risky) -> Risky:
    def raw(row: Row) -> Value:
        left, right = one.raw(row), other.raw(row)
        if left is None or right is None:
            return None
        return {"+": left + right, "-": left - right, "*": left * right}[operator]

    return Risky(f"({one.sql} {operator} {other.sql})", raw, checked=True)


def _divide(one: Risky, other: Risky) -> Risky:
    def raw(row: Row) -> Value:
        left, right = one.value(row), other.value(row)
        if left is None or right is None:
            return None
        if right == 0:
            raise Failed
        return abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)

    return Risky(f"({one.sql} / {other.sql})", raw, checked=True)


def _choice(test: Condition, one: Risky, other: Risky | None, form: str) -> Risky:
    def raw(row: Row) -> Value:
        if test.holds(row):
            return one.value(row)
        return None if other is None else other.value(row)

    end = "NULL" if other is None else other.sql
    sql = (
        f"IF({test.sql}, {one.sql}, {end})"
        if form == "IF"
        else f"CASE WHEN {test.sql} THEN {one.sql} ELSE {end} END"
    )
    return Risky(sql, raw)


def _coalesce(one: Risky, other: Risky) -> Risky:
    def raw(row: Row) -> Value:
        found = one.value(row)
        return other.value(row) if found is None else found

    return Risky(f"COALESCE({one.sql}, {other.sql})", raw)


def _null_if(one: Risky, other: Risky) -> Risky:
    def raw(row: Row) -> Value:
        left, right = one.value(row), other.value(row)
        return None if left is not None and left == right else left

    return Risky(f"NULLIF({one.sql}, {other.sql})", raw)


def _compare(operator: str, one: Risky, other: Risky) -> Condition:
    def holds(row: Row) -> bool | None:
        left, right = one.value(row), other.value(row)
        if left is None or right is None:
            return None
        return {"<": left < right, "=": left == right, "<>": left != right}[operator]

    return Condition(f"{one.sql} {operator} {other.sql}", holds)


def _is_null(one: Risky) -> Condition:
    return Condition(f"{one.sql} IS NULL", lambda row: one.value(row) is None)


def _both(one: Condition, other: Condition) -> Condition:
    def holds(row: Row) -> bool | None:
        left = one.holds(row)
        if left is False:
            return False
        right = other.holds(row)
        return False if right is False else None if left is None or right is None else True

    return Condition(f"({one.sql} AND {other.sql})", holds, (one, other))


def _either(one: Condition, other: Condition) -> Condition:
    def holds(row: Row) -> bool | None:
        left = one.holds(row)
        if left is True:
            return True
        right = other.holds(row)
        return True if right is True else None if left is None or right is None else False

    return Condition(f"({one.sql} OR {other.sql})", holds)


LEAVES = st.sampled_from(
    [
        _column("a"),
        _column("b"),
        _cast(),
        _try_cast(),
        Risky("0", lambda _: 0),
        Risky("7", lambda _: 7),
    ]
)


def conditions(values: st.SearchStrategy[Risky]) -> st.SearchStrategy[Condition]:
    """Conditions over these values."""
    simple = st.builds(_compare, st.sampled_from(["<", "=", "<>"]), values, values) | st.builds(
        _is_null, values
    )
    return simple | st.builds(_both, simple, simple) | st.builds(_either, simple, simple)


def _larger(values: st.SearchStrategy[Risky]) -> st.SearchStrategy[Risky]:
    found = conditions(values)
    return (
        st.builds(_linear, st.sampled_from("+-*"), values, values)
        | st.builds(_divide, values, values)
        | st.builds(_choice, found, values, values | st.none(), st.sampled_from(["CASE", "IF"]))
        | st.builds(_coalesce, values, values)
        | st.builds(_null_if, values, values)
    )


RISKY = st.recursive(LEAVES, _larger, max_leaves=5).filter(lambda one: "t." in one.sql)
