"""A schema registry, as Confluent's clients speak to it (also Karapace, Apicurio's compatible API, Redpanda's)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from springline.errors import ConfigurationError, SourceError, SourceUnavailable
from springline.secret import redact
from springline.sources.kafka.connection import revealed
from springline.sources.kafka.formats.base import NotARow
from springline.sources.kafka.formats.schemas import RegisteredSchema

_SETTINGS: Final[Mapping[str, object]] = {"timeout": 5.0, "max.retries": 0}


class Registry:
    """Implements ``formats.schemas.SchemaById``. A schema never changes: each is fetched once."""

    def __init__(self, source: str, given: str | Mapping[str, Any]) -> None:
        options = {"url": given} if isinstance(given, str) else dict(given)
        self._source = source
        self._known: dict[int, RegisteredSchema] = {}
        try:
            settings = {name: revealed(source, name, value) for name, value in options.items()}
            self._client = SchemaRegistryClient({**_SETTINGS, **settings})
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"The schema registry of source {source!r} is not declared as its client understands: {redact(str(error))}.",
                hint='schema_registry="http://localhost:8081", or {"url": …, "basic.auth.user.info": "env:NAME"}',
            ) from None
        self._where = str(options.get("url", ""))

    def __call__(self, identifier: int) -> RegisteredSchema:
        if (known := self._known.get(identifier)) is None:
            known = self._known[identifier] = self._fetched(identifier)
        return known

    def _fetched(self, identifier: int) -> RegisteredSchema:
        try:
            schema = self._client.get_schema(identifier)
            references: dict[str, str] = {}
            self._collect(schema, references)
        except SchemaRegistryError as error:
            raise self._error(error, identifier) from error
        except (
            Exception
        ) as error:  # What the client's HTTP library raises is not of one kind, nor of one library.
            raise SourceUnavailable(
                f"The schema registry at {self._where} (source {self._source!r}) does not answer: {redact(str(error))}.",
                hint="It is tried again; check that the registry runs and can be reached.",
            ) from error
        return RegisteredSchema(str(schema.schema_type or "AVRO"), str(schema.schema_str), references)

    def _collect(self, schema: Schema, found: dict[str, str]) -> None:
        """The schemas that one refers to, each after those that it needs itself."""
        for reference in schema.references or ():
            name = str(reference.name)
            if name not in found:
                other = self._client.get_version(str(reference.subject), int(reference.version or -1)).schema
                self._collect(other, found)
                found[name] = str(other.schema_str)

    def _error(self, error: SchemaRegistryError, identifier: int) -> Exception:
        said = f"The schema registry at {self._where} (source {self._source!r}): {redact(error.error_message).rstrip('.')}."
        if error.http_status_code == 404:
            return NotARow(f"the schema registry knows no schema {identifier}")
        if error.http_status_code in (401, 403):
            return SourceError(said, hint="Check basic.auth.user.info in schema_registry={…}.")
        return SourceUnavailable(said, hint="It is tried again; check the registry's health.")
