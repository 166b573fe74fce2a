"""The captured tables: their shapes, how their rows are read, and what a change of shape means.

PostgreSQL's stream describes a table by names alone. So when a description differs from what is known, or arrives anew, the
catalog is asked, and columns are followed by their numbers: a renamed column stays itself. The catalog may already be ahead
of the stream; then the shape is taken from the stream and the table is loaded again behind it, which is always right.
A table is loaded again, too, when PostgreSQL rewrote its rows without sending them: a new type, a volatile default, a new
key. :func:`decide` holds these rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from springline.core.schema import TableSchema
from springline.core.types import SqlType
from springline.sources.postgres.catalog import Capture, Shape, ShapeColumn, described
from springline.sources.postgres.pgoutput import Relation, RowDecoder
from springline.sources.postgres.values import Converter, PgType, sql_type

Phase: TypeAlias = Literal["new", "loading", "live"]


@dataclass(frozen=True, slots=True)
class Evolution:
    """What to do about a table's description. ``shape`` None: the table is gone."""

    shape: Shape | None
    reload: bool


def decide(known: Shape, relation: Relation | None, catalog: Shape | None) -> Evolution:
    """The shape from here on, and whether the table must be loaded again. ``relation``: what the stream says, None where only the
    catalog was looked at."""
    if catalog is None:
        if relation is None:
            return Evolution(None, False)
        # Dropped meanwhile; its last rows are still to come.
        return Evolution(_from_relation(known, known, relation), False)
    if relation is not None and described(relation) != catalog.published():
        if described(relation) == known.published():
            return Evolution(known, False)
        return Evolution(_from_relation(known, catalog, relation), True)
    return Evolution(catalog, _was_rewritten(known, catalog))


def _was_rewritten(known: Shape, now: Shape) -> bool:
    """VACUUM FULL and TRUNCATE change the files alone, a renamed column the attributes alone; an ALTER that rewrites, both."""
    if known.files != now.files and known.attributes != now.attributes:
        return True
    if _key_numbers(known) != _key_numbers(now):
        return True
    before = {column.number: column for column in known.columns}
    return any(
        column.number in before
        and not _means_the_same(sql_type(before[column.number].type), before[column.number].type, column.type)
        for column in now.columns
    )


def _means_the_same(before: SqlType, old: PgType, new: PgType) -> bool:
    """Whether values of the old type, as stored, are values of the new one: varchar(10) and text, numeric(8, 2) and
    numeric(12, 2)."""
    after = sql_type(new)
    if before == after:
        return old.name == new.name or "bpchar" not in (old.name, new.name)
    return before.is_scaled and after.is_scaled and before.scale == after.scale


def _key_numbers(shape: Shape) -> list[int | None]:
    numbers = {column.name: column.number for column in shape.columns}
    return [numbers[name] for name in shape.key]


def _from_relation(known: Shape, catalog: Shape, relation: Relation) -> Shape:
    """A shape for rows whose description the catalog no longer has."""
    candidates: dict[tuple[str, int], ShapeColumn] = {}
    for shape in (catalog, known):
        candidates.update({(column.name, column.type_oid): column for column in shape.columns})
    columns = tuple(
        replace(candidates[name, type_oid], typmod=typmod)
        if (name, type_oid) in candidates
        else ShapeColumn(name, None, type_oid, typmod, PgType("", typmod))
        for name, type_oid, typmod in described(relation)
    )
    is_key = {column.name for column in relation.columns if column.is_key}
    key = tuple(name for name in known.key if name in is_key) or tuple(
        column.name for column in columns if column.name in is_key
    )
    if relation.replica_identity == "f":
        key = known.key if set(known.key) <= {column.name for column in columns} else ()
    return replace(known, columns=columns, key=key)


class Table:
    """One captured table, as the stream has it now."""

    def __init__(self, capture: Capture, shape: Shape, mask_key: bytes) -> None:
        self.capture = capture
        self.phase: Phase = "new"
        self.last: tuple[str, ...] | None = None
        """Key of the last loaded row, as PostgreSQL's text."""
        self.rows_loaded = 0
        self.rows_estimated = shape.rows_estimated
        self.incomplete: list[Any] = []
        self.is_read = False
        """Every chunk is loaded; only incomplete rows may be missing."""
        self._mask_key = mask_key
        self.take_shape(shape)

    def take_shape(self, shape: Shape) -> None:
        self.shape = shape
        self.schema: TableSchema = self.capture.schema(shape)
        self.converters: Sequence[Converter | None] = self.capture.converters(shape, self._mask_key)
        kept = self.capture.kept(shape)
        whole = not shape.key
        self.decoder = RowDecoder(
            self.capture.relation, self.converters, [whole or column.name in shape.key for column in kept]
        )

    def describe_progress(self) -> dict[str, object]:
        """What ``save`` keeps of the table; :meth:`resume` reads it."""
        return {
            "shape": self.shape.to_json(),
            "phase": self.phase,
            "last": list(self.last) if self.last is not None else None,
            "rows": self.rows_loaded,
            "estimated": self.rows_estimated,
            "incomplete": self.incomplete,
            "is_read": self.is_read,
        }

    @staticmethod
    def resume(capture: Capture, saved: Mapping[str, Any], mask_key: bytes) -> Table:
        table = Table(capture, Shape.from_json(saved["shape"]), mask_key)
        table.phase = saved["phase"]
        table.last = tuple(saved["last"]) if saved["last"] is not None else None
        table.rows_loaded, table.rows_estimated = saved["rows"], saved["estimated"]
        table.incomplete = [tuple(key) if isinstance(key, list) else key for key in saved["incomplete"]]  # pyright: ignore[reportUnknownArgumentType]
        table.is_read = saved["is_read"]
        return table

    def begin_load(self) -> None:
        self.phase, self.last, self.rows_loaded, self.is_read = "loading", None, 0, False
        self.incomplete = []
        self.rows_estimated = self.shape.rows_estimated
