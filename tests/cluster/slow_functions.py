"""Functions for SQL that the cluster's tests have; Flink's Python imports this file, so it needs nothing else."""

from __future__ import annotations

import time


def slowly(text: str | None) -> str | None:
    """The text as it is; one that begins with ``slow`` takes its time."""
    if text is not None and text.startswith("slow"):
        time.sleep(2.0)
    return text
