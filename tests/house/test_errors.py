"""Every error has a stable code of its own and stands in docs/errors.md as it is."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import NamedTuple

import springline
from springline.errors import SpringlineError
from tests.house.project import ROOT


class Documented(NamedTuple):
    code: str
    error: str
    transient: str
    exit_status: str


def error_types(parent: type[SpringlineError] = SpringlineError) -> Iterator[type[SpringlineError]]:
    yield parent
    for child in parent.__subclasses__():
        if child.__module__.startswith("springline."):
            yield from error_types(child)


def all_error_types() -> list[type[SpringlineError]]:
    for found in pkgutil.walk_packages(springline.__path__, "springline."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    return list(dict.fromkeys(error_types()))


def documented() -> list[Documented]:
    text = (ROOT / "docs" / "errors.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (yes|no) \| (\d+) \|", text, flags=re.MULTILINE)
    return [Documented(*row) for row in rows]


def test_codes_are_unique() -> None:
    codes = [error.code for error in all_error_types()]
    assert sorted(codes) == sorted(set(codes))


def test_the_document_lists_every_error_as_it_is() -> None:
    actual = [
        Documented(error.code, error.__name__, "yes" if error.transient else "no", str(error.exit_status))
        for error in all_error_types()
    ]
    assert sorted(set(documented()) - set(actual)) == [], "documented, but not so in the code"
    assert sorted(set(actual) - set(documented())) == [], "not documented"
    assert len(documented()) == len(set(documented()))


def test_every_error_says_what_it_means() -> None:
    assert [error.__name__ for error in all_error_types() if not (error.__doc__ or "").strip()] == []


def test_the_tree_at_the_top_of_the_file_is_the_tree() -> None:
    import springline.errors

    drawn = re.findall(r"^[ │├└─]*(\w+)(?: {2,}|$)", springline.errors.__doc__ or "", flags=re.MULTILINE)
    inside = [error.__name__ for error in all_error_types() if error.__module__ == "springline.errors"]
    assert [name for name in drawn if name in inside] == inside
