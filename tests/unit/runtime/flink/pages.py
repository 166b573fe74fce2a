"""The pages on Flink that are made of the code. ``python -m tests.unit.runtime.flink.pages`` writes them."""

from __future__ import annotations

from pathlib import Path

from springline.runtime.flink.configuration import CONFIGURATION
from springline.runtime.flink.gaps import page

DOCS = Path(__file__).parents[4] / "docs"
TABLE = "| setting | value | why |\n|---|---|---|\n"


def pages() -> dict[str, str]:
    """Each page's text, by its name."""
    written = (DOCS / "flink.md").read_text()
    settings = "".join(f"| `{key}` | {value} | {why} |\n" for key, value, why in CONFIGURATION)
    return {"flink-gaps.md": page(), "flink.md": written.partition(TABLE)[0] + TABLE + settings}


if __name__ == "__main__":
    for name, text in pages().items():
        (DOCS / name).write_text(text)
