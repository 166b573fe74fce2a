"""``python -m bench.publish``: puts the tables of the last run (``bench/results/latest.md``) into ``docs/performance.md``."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.settings import ROOT

PAGE = ROOT / "docs" / "performance.md"
LATEST = ROOT / "bench" / "results" / "latest.md"
BEGIN, END = "<!-- last run -->", "<!-- end of the last run -->"


def published(page: str, latest: str) -> str:
    """The page with the tables between its markers. Raises ValueError where it has no markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The page has no part between {BEGIN} and {END}.")
    # One level deeper, since the page has a title of its own.
    lines = ["##" + line if line.startswith("#") else line for line in latest.strip().splitlines()]
    return f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}"


def main(page: Path = PAGE, latest: Path = LATEST) -> int:
    page.write_text(published(page.read_text(), latest.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
