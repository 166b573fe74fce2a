"""Springline keeps the context of generative-AI applications fresh.

The public names are imported on first use, so that ``import springline`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from springline.app import App, Running
    from springline.assistant.base import Answer, AskRequest
    from springline.context.definition import Passages, Rows
    from springline.errors import SpringlineError
    from springline.settings import Settings
    from springline.sources.json_rows import JsonTable
    from springline.sources.kafka.tables import KafkaTable

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "App",
    "AskRequest",
    "JsonTable",
    "KafkaTable",
    "Passages",
    "Rows",
    "Running",
    "Settings",
    "SpringlineError",
    "__version__",
]

_HOMES = {
    "Answer": "springline.assistant.base",
    "App": "springline.app",
    "AskRequest": "springline.assistant.base",
    "JsonTable": "springline.sources.json_rows",
    "KafkaTable": "springline.sources.kafka.tables",
    "Passages": "springline.context.definition",
    "Rows": "springline.context.definition",
    "Running": "springline.app",
    "Settings": "springline.settings",
    "SpringlineError": "springline.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'springline' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
