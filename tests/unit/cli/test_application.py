"""Finding the application in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from springline.cli.application import load_app, split_target
from springline.errors import ConfigurationError


@pytest.mark.parametrize(
    ("target", "found"),
    [("app.py", ("app.py", None)), ("app.py:two", ("app.py", "two")), ("a:b/app.py", ("a:b/app.py", None)), (":x", (":x", None))],
)  # fmt: skip
def test_targets(target: str, found: tuple[str, str | None]) -> None:
    assert split_target(target) == (Path(found[0]), found[1])


def write(text: str) -> None:
    Path("app.py").write_text(text)


def test_the_only_application_is_found_whatever_it_is_called() -> None:
    write('import springline as sl\nmine = sl.App("small")\nalso = mine\n')
    assert load_app("app.py").name == "small"
    assert load_app("app.py:mine").name == "small"


def test_a_file_can_import_its_neighbours() -> None:
    Path("neighbour_of_app.py").write_text('NAME = "small"\n')
    write("import springline as sl\nfrom neighbour_of_app import NAME\napp = sl.App(NAME)\n")
    assert load_app("app.py").name == "small"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "makes no application"),
        ("import springline as sl\na = sl.App('a')\nb = sl.App('b')\n", "makes 2 applications: a, b"),
        ("x = 1\nthis is not Python\n", ":2: "),
        ("def f():\n    raise KeyError('k')\nf()\n", ":2: KeyError: 'k'"),
        (
            "import springline as sl\na = sl.App('a')\na.postgres('a b', 'host=x', tables=['t'])\n",
            "cannot name a source",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_told(text: str, message: str) -> None:
    write(text)
    with pytest.raises(ConfigurationError) as caught:
        load_app("app.py")
    assert message in caught.value.message


def test_a_missing_file_and_a_missing_name_are_told() -> None:
    with pytest.raises(ConfigurationError, match=r"There is no file absent\.py"):
        load_app("absent.py")
    write("import springline as sl\na = sl.App('a')\n")
    with pytest.raises(ConfigurationError, match="has no application 'b'"):
        load_app("app.py:b")
