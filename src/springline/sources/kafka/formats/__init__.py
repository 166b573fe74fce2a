"""How the records of a topic are written: one file for each format, all of one shape (``base``)."""

from __future__ import annotations

import importlib

from springline.errors import ConfigurationError
from springline.sources.kafka.formats.base import Format, Target
from springline.sources.kafka.formats.schemas import SchemaById

_NEEDS_LIBRARIES = ("avro", "json-schema")


def make_format(name: str, targets: list[Target], schemas: SchemaById | None) -> Format:
    """The format of this name for a topic's tables. Raises ConfigurationError."""
    if name in _NEEDS_LIBRARIES and schemas is None:
        raise ConfigurationError(
            f"Format {name!r} reads its schemas from a registry, and none is named.",
            hint='app.kafka(…, schema_registry="http://localhost:8081")',
        )
    try:
        module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    except ImportError as error:
        raise ConfigurationError(
            f"Format {name!r} needs a library that is not installed: {error.name}.",
            hint='Install it with: pip install "springline[schema-registry]"',
        ) from error
    return module.make(targets, schemas)
