"""Which names views can have: SQLite's tables do not tell capitals from small letters, and some names are ours."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from springline.errors import SqlError

_OWN_VIEWS: Final = re.compile(r"_|sqlite_|late\.|springline\.", re.IGNORECASE)
_UNUSABLE: Final = re.compile("[:\x00-\x1f\ud800-\udfff]")


def check_view_name(name: str, relations: Iterable[str], text: str) -> None:
    """Raises SqlError for a name that a view cannot have beside these relations."""
    if not name or _UNUSABLE.search(name) or _OWN_VIEWS.match(name):
        raise SqlError(
            f"{name!r} cannot be the name of a view.",
            hint="A word does; _…, sqlite_…, late.… and springline.… are taken, and colons are not allowed.",
            statement=text,
        )
    same = next((one for one in relations if one != name and one.lower() == name.lower()), None)
    if same is not None:
        raise SqlError(
            f"View {name!r} differs from {same!r} by capitals only.",
            hint="Choose another name.",
            statement=text,
        )
