"""The prompt: a versioned file, filled with context as delimited data.

The template is filled in one pass, so nothing that stands in a question or a document is ever taken for a place of the template, and
angle brackets of data are written so that no text can close its delimiter.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from springline.assistant.base import time_text
from springline.assistant.phrases import phrase
from springline.context.language import NAMES
from springline.context.pieces import Context, ContextPiece
from springline.errors import ConfigurationError
from springline.inference.base import Message

PROMPTS: Final = Path(__file__).parent / "prompts"
PLACES: Final = frozenset({"organisation", "unknown", "language", "subject", "as_of", "context", "question"})

_PLACE = re.compile(r"\{\{([a-z_]+)\}\}")
_PARTS = re.compile(r"^## (system|user)[ \t]*$", re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt template. ``version`` is the file's name with the beginning of its hash, so that an edited file is another version."""

    version: str
    system: str
    user: str

    @staticmethod
    def read(path: Path) -> Prompt:
        """Raises ConfigurationError where the file is no template."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"The prompt {path} cannot be read: {error}.") from error
        _, *parts = _PARTS.split(text)
        sections = dict(zip(parts[::2], (part.strip() for part in parts[1::2]), strict=True))
        if set(sections) != {"system", "user"}:
            raise ConfigurationError(f"The prompt {path} needs one '## system' and one '## user' part.")
        named = set(_PLACE.findall(text))
        if unknown := sorted(named - PLACES):
            raise ConfigurationError(
                f"The prompt {path} names {{{{{unknown[0]}}}}}, which nothing fills.",
                hint=f"Known: {', '.join(sorted(PLACES))}.",
            )
        if not {"context", "question"} <= named:
            raise ConfigurationError(f"The prompt {path} must hold {{{{context}}}} and {{{{question}}}}.")
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        return Prompt(f"{path.name.removesuffix('.md')}+{digest}", sections["system"], sections["user"])

    def messages(self, context: Context, *, organisation: str = "this organisation") -> list[Message]:
        """Deterministic given the context: no age is in it, only as of when it is."""
        values = {
            "organisation": organisation,
            "unknown": phrase("unknown", context.language),
            "language": NAMES.get(context.language, f"the language {context.language!r}"),
            "subject": data("nobody in particular" if context.subject is None else str(context.subject)),
            "as_of": time_text(context.taken_at_us) or "",
            "context": "\n\n".join(map(render_piece, context.pieces)) or "(nothing was found)",
            "question": data(context.question),
        }
        return [Message("system", _filled(self.system, values)), Message("user", _filled(self.user, values))]


@cache
def default_prompt() -> Prompt:
    return Prompt.read(PROMPTS / "answer.v1.md")


def render_piece(piece: ContextPiece) -> str:
    """One piece between delimiters that its text cannot contain."""
    name = piece.relation if piece.kind == "row" else piece.document
    attributes = {
        "n": str(piece.number),
        "kind": piece.kind,
        "from": name or "",
        "title": " › ".join(dict.fromkeys((piece.title, *piece.section))),
        "changed_at": time_text(piece.changed_at_us) or "",
    }
    written = " ".join(f'{key}="{_attribute(value)}"' for key, value in attributes.items() if value)
    lines = [f"<piece {written}>", data(piece.text)]
    if piece.columns is not None:
        told = (f"{column}: {value}" for column, value in piece.columns.items() if value is not None)
        lines.append(data("; ".join(told)))
    lines.append("</piece>")
    return "\n".join(lines)


def data(text: str) -> str:
    """Text as data: no tag can be opened or closed in it, and it has no control characters."""
    return _CONTROL.sub(" ", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _attribute(text: str) -> str:
    return " ".join(data(text).replace('"', "&quot;").split())


def _filled(template: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda place: values[place[1]], template)
