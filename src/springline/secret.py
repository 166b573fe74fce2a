"""Secrets: given by reference (``env:NAME``, ``file:PATH``), read when they are needed, never shown."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import stat
import urllib.parse
from pathlib import Path
from typing import Any

from springline.errors import ConfigurationError

_logger = logging.getLogger("springline.settings")

# Every secret that was revealed, so that ``redact`` finds it in whatever a library writes into a message.
_revealed: set[str] = set()
_SHORTEST_REDACTED = 6


def redact(text: str) -> str:
    """``text`` without the secrets that this process has revealed; for log records and messages of libraries."""
    for secret in sorted(_revealed, key=len, reverse=True):
        text = text.replace(secret, "•••")
    return text


class Secret:
    """A value that is read when needed and never shown: ``str``, ``repr`` and dumps give its reference only."""

    __slots__ = ("_value", "reference")

    def __init__(self, reference: str, value: str | None = None) -> None:
        self.reference = reference
        self._value = value

    @classmethod
    def parse(cls, text: str, *, what: str, plain: bool = False) -> Secret:
        """A secret from ``env:NAME`` or ``file:PATH``; with ``plain``, any other text is the secret itself. Raises ConfigurationError
        that names ``what``, without repeating the text."""
        kind, separator, rest = text.partition(":")
        if separator and kind in ("env", "file"):
            if not rest.strip():
                raise ConfigurationError(
                    f"{what}: {kind!r} names nothing.",
                    hint="Write env:NAME of a variable or file:PATH of a file.",
                )
            return cls(f"{kind}:{rest.strip()}")
        if not plain:
            raise ConfigurationError(
                f"{what}: a secret is written here in plain text.",
                hint="Refer to it as env:NAME (an environment variable) or file:PATH (a file that only you can read).",
            )
        return cls("(given)", text)

    def reveal(self) -> str:
        """The secret. Raises ConfigurationError where the variable or the file is missing or empty."""
        if self._value is not None:
            value = self._value
        elif self.reference.startswith("env:"):
            value = _read_variable(self.reference.removeprefix("env:"))
        else:
            value = _read_secret_file(Path(self.reference.removeprefix("file:")).expanduser())
        _remember(value)
        return value

    def __repr__(self) -> str:
        return f"Secret({self.reference!r})"

    def __str__(self) -> str:
        return f"•••  ({self.reference})" if self._value is None else "•••"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self.reference, self._value) == (other.reference, other._value)

    def __hash__(self) -> int:
        return hash((self.reference, self._value))

    def __deepcopy__(self, _: dict[int, Any]) -> Secret:
        return self

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("A secret is not pickled.")


def _remember(value: str) -> None:
    if len(value) >= _SHORTEST_REDACTED:
        _revealed.add(value)
    # Of a connection string the password alone may turn up in a message.
    with contextlib.suppress(ValueError):
        password = urllib.parse.urlsplit(value).password if "://" in value else None
        found = re.search(r"\bpassword\s*=\s*(\S+)", value) if password is None else None
        password = found[1].strip("'") if found else password
        spellings = {password, urllib.parse.unquote(password)} if password else set[str]()
        _revealed.update(one for one in spellings if len(one) >= _SHORTEST_REDACTED)


def _read_variable(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise ConfigurationError(
            f"The environment variable {name} holds a secret that is needed, but it is not set.",
            hint=f"Set {name}, or refer to the secret as file:PATH.",
        )
    return value


def _read_secret_file(path: Path) -> str:
    try:
        with path.open() as opened:
            mode = os.fstat(opened.fileno()).st_mode
            value = opened.read(65_536).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(
            f"The file {path} holds a secret that is needed, but it cannot be read: {reason}.",
            hint="Check the path and its permissions.",
        ) from None
    if not value:
        raise ConfigurationError(
            f"The file {path}, which should hold a secret, is empty.", hint="Write the secret into it."
        )
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        _logger.warning("Others can read %s, which holds a secret. Run: chmod 600 %s", path, path)
    return value
