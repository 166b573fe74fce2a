"""Decides what an edited document means for its passages. Pure; the standard library and ``core`` only."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from springline.operators.splitting import Passage


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """A passage of the document's last good version, as the knowledge base holds it."""

    id: int
    ordinal: int
    hash: str
    heading_path: tuple[str, ...] = ()
    start: int = 0
    end: int = 0
    language: str = ""


@dataclass(frozen=True, slots=True)
class PassagePlan:
    """What the new version does: every new passage is in ``keep`` or in ``insert``, every old one in ``keep`` or in ``remove``.

    ``keep``: old id → the new passage that it stands for (same hash, so same text and vector). ``moved``: the part of
    ``keep`` whose ordinal, offsets or language differ and must be written.
    """

    keep: dict[int, Passage] = field(default_factory=dict[int, Passage])
    moved: dict[int, Passage] = field(default_factory=dict[int, Passage])
    insert: tuple[Passage, ...] = ()
    remove: tuple[int, ...] = ()

    @property
    def changes_nothing(self) -> bool:
        return not (self.moved or self.insert or self.remove)

    def missing(self, known_hashes: Iterable[str]) -> tuple[Passage, ...]:
        """The inserted passages without a known vector, one for each distinct hash: what must be embedded. A renamed document
        inserts all its passages and, its hashes being known, embeds none."""
        seen = set(known_hashes)
        wanted: list[Passage] = []
        for passage in self.insert:
            if passage.hash not in seen:
                seen.add(passage.hash)
                wanted.append(passage)
        return tuple(wanted)


def plan_update(old: Sequence[StoredPassage], new: Sequence[Passage]) -> PassagePlan:
    """Matches by hash; passages that share a hash are matched in document order. An empty ``new`` removes everything."""
    available: defaultdict[str, deque[StoredPassage]] = defaultdict(deque)
    for passage in sorted(old, key=lambda passage: passage.ordinal):
        available[passage.hash].append(passage)
    keep: dict[int, Passage] = {}
    moved: dict[int, Passage] = {}
    insert: list[Passage] = []
    for passage in new:
        if not (matches := available.get(passage.hash)):
            insert.append(passage)
            continue
        stored = matches.popleft()
        keep[stored.id] = passage
        if _place(stored) != _place(passage):
            moved[stored.id] = passage
    remove = sorted(stored.id for rest in available.values() for stored in rest)
    return PassagePlan(keep=keep, moved=moved, insert=tuple(insert), remove=tuple(remove))


def _place(passage: StoredPassage | Passage) -> tuple[int, int, int, str]:
    return passage.ordinal, passage.start, passage.end, passage.language
