"""Says at the end what the law has tried."""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any, config: Any) -> None:
    from tests.law.coverage import COUNTS, QUERIES
    from tests.law.peer import COMPARED

    if not QUERIES["accepted"]:
        return
    compared = COMPARED["compared"]
    terminalreporter.write_line(
        f"the law: {QUERIES['accepted']:,} random queries ({QUERIES['refused']:,} more refused), {len(COUNTS)} constructs; "
        f"{compared:,} answers compared with DuckDB's, {COMPARED.total() - compared:,} not"
    )
    if config.option.capture == "no" or config.option.verbose > 0:
        for reason, count in COMPARED.most_common():
            terminalreporter.write_line(f"{count:8,}  {reason}")
        for name, count in sorted(COUNTS.items()):
            terminalreporter.write_line(f"{count:8,}  {name}")
