"""The relations that SQL can name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from springline.core.schema import TableSchema


class Catalog(Mapping[str, TableSchema]):
    """Relations by their full name (``source.table``, ``source.schema.table``, or a view's plain name).

    A shorter name is understood where only one relation ends with it: ``flights`` for ``airline.flights``.
    """

    def __init__(self, schemas: Mapping[str, TableSchema] | Iterable[TableSchema] = ()) -> None:
        every = cast("Iterable[TableSchema]", schemas.values() if isinstance(schemas, Mapping) else schemas)
        self._schemas = {schema.name: schema for schema in every}

    def __getitem__(self, name: str) -> TableSchema:
        return self._schemas[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._schemas)

    def __len__(self) -> int:
        return len(self._schemas)

    def candidates(self, name: str) -> list[str]:
        """Full names of the relations that ``name`` may mean; exactly one where it is clear."""
        if name in self._schemas:
            return [name]
        return sorted(full for full in self._schemas if full.endswith("." + name))

    def near(self, name: str) -> str:
        """A sentence with names like this one."""
        short = {full.rsplit(".", 1)[-1]: full for full in self._schemas}
        known = {**short, **{full: full for full in self._schemas}}
        return near_misses(name, known) or f"Known: {', '.join(sorted(self._schemas)) or 'nothing yet'}."


def near_misses(name: str, known: Iterable[str]) -> str:
    """'Did you mean …?' or an empty text. Names that differ only in case come first."""
    every = list(dict.fromkeys(known))
    same = [one for one in every if one.lower() == name.lower()]
    close = same or difflib.get_close_matches(name, every, n=3, cutoff=0.6)
    return f"Did you mean {' or '.join(repr(one) for one in close)}?" if close else ""
