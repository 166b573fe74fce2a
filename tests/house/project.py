"""The project's files, as the house rules see them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
PACKAGE = SOURCE / "springline"


def tracked() -> list[Path]:
    """Every file that belongs to the project, by path from its root: what git tracks, or all of an unpacked archive."""
    try:
        listing = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True
        ).stdout.decode()
        names = [name for name in listing.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if not _is_made(path)]
    return sorted(Path(name) for name in names if (ROOT / name).is_file())


def _is_made(path: Path) -> bool:
    return any(
        (part.startswith(".") and part != ".ci") or part == "__pycache__"
        for part in path.relative_to(ROOT).parts
    )


def python_files(*folders: str) -> list[Path]:
    """Tracked Python files, in ``folders`` or everywhere."""
    return [path for path in tracked() if path.suffix == ".py" and (not folders or path.parts[0] in folders)]


def texts() -> Iterator[tuple[Path, str]]:
    """Every tracked file that is text."""
    for path in tracked():
        data = (ROOT / path).read_bytes()
        if b"\0" not in data[:8192]:
            yield path, data.decode(errors="replace")
