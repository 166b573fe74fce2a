"""Who may import whom, and what importing costs."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import springline
from tests.house.project import ROOT, python_files


def test_imports_point_down() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[done.stdout.find("Contracts") :]


def imported_packages(path: Path) -> set[str]:
    """Top-level packages that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize(("stage", "vendors"), [("core", {"msgspec"}), ("operators", set[str]())])
def test_core_and_operators_need_the_standard_library_only(stage: str, vendors: set[str]) -> None:
    """Operators also run inside Flink's Python, whose packages are old and not ours to choose."""
    allowed = sys.stdlib_module_names | {"springline"} | vendors
    foreign = {
        str(path): sorted(unknown)
        for path in python_files("src")
        if path.is_relative_to(f"src/springline/{stage}") and (unknown := imported_packages(path) - allowed)
    }
    assert not foreign


HEAVY = """
    apsw click fastapi httpx markdown_it numpy onnx onnxruntime psutil psycopg2 pydantic rich sqlglot starlette tokenizers
    uvicorn watchfiles
""".split()


def test_importing_springline_loads_nothing_heavy() -> None:
    script = f"import springline, sys; print(*sorted(set(sys.modules) & {set(HEAVY)!r}))"
    loaded = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout
    assert loaded.split() == []


@pytest.mark.parametrize(
    "module", [found.name for found in pkgutil.walk_packages(springline.__path__, "springline.")]
)
def test_every_module_can_be_imported(module: str) -> None:
    if not module.endswith("__main__"):
        importlib.import_module(module)
