"""Sizes, docstrings, exports, and what must never be left in a file."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.project import PACKAGE, ROOT, SOURCE, python_files, texts, tracked

LONGEST_FUNCTION = 70
LONGEST_FILE = 500

# "path" or "path:function" -> the size it may have, and why it is clearer whole. An entry that is no longer needed fails.
EXCEPTIONS: dict[str, tuple[int, str]] = {}


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> int:
    """Lines of a function that are neither blank, nor comment, nor its docstring."""
    first = function.body[0].end_lineno if ast.get_docstring(function) is not None else function.lineno - 1
    assert first is not None
    signature = 1 if ast.get_docstring(function) is not None else 0
    body = lines[first : function.end_lineno]
    return signature + sum(1 for line in body if line.strip() and not line.strip().startswith("#"))


def sizes() -> Iterator[tuple[str, int, int]]:
    """Name, size and ordinary limit of every file and function."""
    for path in tracked():
        if path.suffix in (".py", ".js", ".css"):
            text = (ROOT / path).read_text()
            yield str(path), text.count("\n"), LONGEST_FILE
            if path.suffix == ".py":
                for node in ast.walk(ast.parse(text)):
                    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                        yield f"{path}:{node.name}", code_lines(node, text.splitlines()), LONGEST_FUNCTION


def test_functions_and_files_are_short() -> None:
    too_long = [
        f"{name}: {size} lines, {EXCEPTIONS.get(name, (limit, ''))[0]} allowed"
        for name, size, limit in sizes()
        if size > EXCEPTIONS.get(name, (limit, ""))[0]
    ]
    assert not too_long, "\n".join(too_long)


def test_size_exceptions_are_needed() -> None:
    found = {name: (size, limit) for name, size, limit in sizes()}
    idle = [name for name in EXCEPTIONS if name not in found or found[name][0] <= found[name][1]]
    assert not idle, f"Remove from EXCEPTIONS: {idle}"


def test_code_lines_counts_what_is_read_as_code() -> None:
    text = 'def f(\n    a,\n):\n    """One.\n\n    Two."""\n    # why\n\n    x = 1\n    return x\n'
    function = ast.parse(text).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert code_lines(function, text.splitlines()) == 3


# Spelled in parts, so that this file does not find itself.
LEFTOVER = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
MACHINE = re.compile(
    r"(?<![\w.])/(?:wor" r"k|roo" r"t|tm" r"p|opt/whe" r"els)/[\w.]"
    r"|(?<![\w.])/(?:hom" r"e|User" r"s)/(?!you\b)[a-z]"
    r"|pythonh" r"osted\.org|pypi\.o" r"rg(?!/project/)|registry\.npmj" r"s\.org"
    r"|--(?:extra-)?index-" r"url|--find-" r"links\b"
    r"|https?://[^/\s]*(?:artif" r"actory|nex" r"us|devp" r"i)\b"
)  # fmt: skip


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path}:{number}: {line.strip()[:160]}"
        for path, text in texts()
        if path.suffix not in (".lock",) or pattern is MACHINE
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def test_nothing_is_left_to_do() -> None:
    assert not lines_with(LEFTOVER)


def test_no_file_names_a_build_machine_or_a_package_registry() -> None:
    assert not lines_with(MACHINE)


def test_modules_say_what_they_are_for() -> None:
    silent = [
        str(path)
        for path in python_files("src", "tests", "tools", "bench", "examples")
        if (ROOT / path).read_text().strip()
        and ast.get_docstring(ast.parse((ROOT / path).read_text())) is None
    ]
    assert not silent


def packages() -> list[str]:
    return [".".join(path.parent.parts[1:]) for path in python_files("src") if path.name == "__init__.py"]


@pytest.mark.parametrize("package", packages())
def test_exports_are_sorted_and_there(package: str) -> None:
    module = importlib.import_module(package)
    exports = list(getattr(module, "__all__", []))
    assert exports == sorted(exports)
    assert len(exports) == len(set(exports))
    missing = [name for name in exports if not hasattr(module, name)]
    assert not missing


# A test that asserts how long something took fails on a busy machine. `make bench` measures.
TIMED = re.compile(
    r"^\s*assert\b[^#]*\b\w*(?:elapsed|took|duration|latency|waited|_ms|_us|_seconds|perf_counter|monotonic)\w*(?:\(\))?"
    r"[^#]*?<=?\s*[\d.]"
)


def test_no_test_asserts_how_long_something_took() -> None:
    timed = [
        f"{path}:{number}: {line.strip()}"
        for path in python_files("tests")
        for number, line in enumerate((ROOT / path).read_text().splitlines(), start=1)
        if TIMED.search(line)
    ]
    assert not timed


@pytest.mark.parametrize(
    ("line", "is_timed"),
    [
        ("assert elapsed < 0.5", True),
        ("    assert freshness.waited_ms <= 100", True),
        ("assert time.perf_counter() - start < 3", True),
        ("assert age_ms is not None", False),
        ("assert first.tick < 3", False),
        ("while time.monotonic() < deadline:", False),
    ],
)
def test_timed_assertions_are_recognised(line: str, is_timed: bool) -> None:
    assert bool(TIMED.search(line)) == is_timed


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
    assert SOURCE / "springline" == PACKAGE
    assert Path("src/springline/py.typed") in tracked()
