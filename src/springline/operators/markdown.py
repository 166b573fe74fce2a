"""Finds the structure of a Markdown or plain-text document: sections, and blocks that can be cut where structure allows.

A subset of CommonMark 0.31 and of GitHub's tables, enough to decide where a document may be cut; nothing is rendered. Offsets are
character offsets in the document. Pure; the standard library only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

SKIPPED: Final = "\uffff"
"""Stands for each character of an HTML comment, so that offsets stay true; no text contains it (it is a noncharacter)."""

BLOCK, ITEM, NESTED_ITEM, ROW, ATTACHED, SENTENCE, LINE, CLAUSE, WORD, PIECE = 9, 8, 7, 7, 6, 5, 4, 3, 2, 1
"""How natural a cut is: the strength of a boundary. ATTACHED: between a paragraph that ends with a colon and what it announces."""


@dataclass(slots=True)
class Block:
    """A paragraph, list, table, code block or quotation. ``cuts``: (offset, strength) inside it, in order.

    ``prefix`` is repeated when a part of the block stands without its beginning (a table's header, a code block's opening fence).
    ``prose``: whether the text between cuts may be cut further at sentences. ``quoted``: lines begin with ``>``.
    """

    start: int
    end: int
    strength: int = BLOCK
    cuts: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    prefix: str = ""
    prose: bool = True
    quoted: bool = False


@dataclass(slots=True)
class Section:
    """A heading (``heading_path`` ends with it; empty before the first) and the blocks up to the next heading."""

    heading_path: tuple[str, ...]
    level: int
    start: int
    end: int
    blocks: list[Block] = field(default_factory=list[Block])


_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})(.*)")
_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_RULE = re.compile(r" {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$")
_ITEM = re.compile(r"([ \t]*)(?:[-*+]|\d{1,9}[.)])(?=[ \t]|$)")
_BULLET_LINE = re.compile(
    r"[ \t\u3000]*(?:[•・●○◦▪‣–—]|[(（]?(?:\d{1,3}|[一二三四五六七八九十]{1,3})[.)、．）])"
)
_QUOTE = re.compile(r" {0,3}>")
_DELIMITER = re.compile(r" {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_INDENTED = re.compile(r" {4}|\t")
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(?:.*\r?\n)*?---[ \t]*(?:\r?\n|\Z)")
_INLINE_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_EMPHASIS = re.compile(r"(\*{1,3}|_{2,3}|`+)(\S(?:.*?\S)?)\1")
_LONGEST_HEADING = 200


def parse_markdown(text: str) -> tuple[str, list[Section]]:
    """The document with its HTML comments replaced by SKIPPED, and its sections in order."""
    masked = _mask_comments(text)
    parser = _Parser(masked)
    parser.run()
    return masked, parser.sections


def parse_text(text: str) -> tuple[str, list[Section]]:
    """Plain text: one section, a block for each paragraph between blank lines; its lines are cuts."""
    section = Section((), 0, 0, len(text))
    block: Block | None = None
    for start, end in _lines(text, 0):
        line = text[start:end]
        if not line.strip():
            block = None
        elif block is None:
            block = Block(start, end, strength=_strength_after(section, text))
            section.blocks.append(block)
        else:
            block.cuts.append((start, ITEM if _ITEM.match(line) or _BULLET_LINE.match(line) else LINE))
            block.end = end
    return text, [section]


def _lines(text: str, start: int) -> list[tuple[int, int]]:
    """Start and end (without the line break) of each line."""
    lines: list[tuple[int, int]] = []
    while start < len(text):
        stop = text.find("\n", start)
        stop = len(text) if stop < 0 else stop
        lines.append((start, stop - 1 if stop > start and text[stop - 1] == "\r" else stop))
        start = stop + 1
    return lines


def _strength_after(section: Section, text: str) -> int:
    if not section.blocks:
        return BLOCK
    last = section.blocks[-1]
    return (
        ATTACHED if text[last.start : last.end].rstrip(" \t\r\n" + SKIPPED).endswith((":", "：")) else BLOCK
    )


def _mask_comments(text: str) -> str:
    """Comments inside fenced code and inside code spans of one line are text, not comments."""
    if "<!--" not in text:
        return text
    pieces: list[str] = []
    fence = ""
    inside = False
    for line in text.splitlines(keepends=True):
        match = None if inside else _FENCE.match(line)
        if match and not fence:
            fence = match[1]
        elif match and _closes(match, fence):
            fence = ""
        elif not fence:
            line, inside = _mask_line(line, inside)
        pieces.append(line)
    return "".join(pieces)


def _mask_line(line: str, inside: bool) -> tuple[str, bool]:
    pieces: list[str] = []
    at = 0
    while at < len(line):
        if inside:
            stop = line.find("-->", at)
            upto = len(line) if stop < 0 else stop + 3
            pieces.append(
                "".join(character if character in "\r\n" else SKIPPED for character in line[at:upto])
            )
            inside = stop < 0
            at = upto
            continue
        begin = line.find("<!--", at)
        while begin >= 0 and line.count("`", 0, begin) % 2:
            begin = line.find("<!--", begin + 4)
        upto = len(line) if begin < 0 else begin
        pieces.append(line[at:upto])
        inside = begin >= 0
        at = upto
    return "".join(pieces), inside


def _closes(match: re.Match[str], fence: str) -> bool:
    return match[1][0] == fence[0] and len(match[1]) >= len(fence) and not match[2].strip()


def clean_heading(text: str) -> str:
    """A heading's words without the commonest inline markup, at most 200 characters."""
    text = _INLINE_LINK.sub(r"\1", text.replace(SKIPPED, ""))
    text = _EMPHASIS.sub(r"\2", text)
    return " ".join(text.split())[:_LONGEST_HEADING]


class _Parser:
    """One pass over the lines. Every ``_read_…`` consumes its block and leaves ``at`` behind it."""

    def __init__(self, text: str) -> None:
        self.text = text
        front_matter = _FRONT_MATTER.match(text)
        begin = front_matter.end() if front_matter else 0
        self.lines = _lines(text, begin)
        self.at = 0
        self.sections = [Section((), 0, begin, begin)]
        self.headings: list[tuple[int, str]] = []

    def line(self, index: int) -> str:
        if index >= len(self.lines):
            return ""
        start, end = self.lines[index]
        return self.text[start:end]

    def blank(self, index: int) -> bool:
        return not self.line(index).strip(" \t\r" + SKIPPED)

    def run(self) -> None:
        while self.at < len(self.lines):
            line = self.line(self.at)
            if self.blank(self.at):
                self.at += 1
            elif (heading := _HEADING.match(line)) is not None:
                start, end = self.lines[self.at]
                self.at += 1
                self._open_section(len(heading[1]), heading[2] or "", start, end)
            elif _fence_opens(line):
                self._read_code()
            elif _RULE.match(line):
                self.at += 1
            elif _ITEM.match(line) and not _INDENTED.match(line):
                self._read_list()
            elif _QUOTE.match(line):
                self._read_quotation()
            elif self._table_at(self.at):
                self._read_table()
            elif _INDENTED.match(line):
                self._read_indented_code()
            else:
                self._read_paragraph()

    def _open_section(self, level: int, heading: str, start: int, end: int) -> None:
        while self.headings and self.headings[-1][0] >= level:
            self.headings.pop()
        self.headings.append((level, clean_heading(heading)))
        path = tuple(title for _, title in self.headings if title)
        self.sections.append(Section(path, level, start, end))

    def _add(self, first: int, **options: object) -> Block:
        """Adds the block of the lines from ``first`` up to ``at``, without trailing blank lines."""
        last = self.at - 1
        while last > first and self.blank(last):
            last -= 1
        section = self.sections[-1]
        block = Block(self.lines[first][0], self.lines[last][1], strength=_strength_after(section, self.text))
        for name, value in options.items():
            setattr(block, name, value)
        section.blocks.append(block)
        section.end = block.end
        return block

    def _skip_fence(self) -> None:
        """``at`` is on an opening fence; moves behind the closing one, or to the end."""
        opening = _FENCE.match(self.line(self.at))
        assert opening is not None
        self.at += 1
        while self.at < len(self.lines):
            closing = _FENCE.match(self.line(self.at))
            self.at += 1
            if closing and _closes(closing, opening[1]):
                return

    def _read_code(self) -> None:
        first = self.at
        self._skip_fence()
        cuts = [
            (self.lines[index][0], ROW if self.blank(index - 1) else LINE)
            for index in range(first + 2, self.at)
        ]
        self._add(first, cuts=cuts, prose=False, prefix=self.line(first).strip())

    def _read_indented_code(self) -> None:
        first = self.at
        while self.at < len(self.lines) and (self.blank(self.at) or _INDENTED.match(self.line(self.at))):
            self.at += 1
        cuts = [
            (self.lines[index][0], ROW if self.blank(index - 1) else LINE)
            for index in range(first + 1, self.at)
        ]
        self._add(first, cuts=cuts, prose=False)

    def _read_list(self) -> None:
        first = self.at
        opening = _ITEM.match(self.line(first))
        assert opening is not None
        margin = len(opening[1])
        cuts: list[tuple[int, int]] = []
        while self.at < len(self.lines):
            line = self.line(self.at)
            item = _ITEM.match(line)
            if item and self.at > first and not _RULE.match(line):
                cuts.append((self.lines[self.at][0], ITEM if len(item[1]) <= margin + 1 else NESTED_ITEM))
                self.at += 1
            elif self.blank(self.at):
                if not self._list_continues_after(self.at):
                    break
                self.at += 1
            elif self.at > first and not line.startswith((" ", "\t")) and self._starts_block(self.at):
                break
            elif _FENCE.match(line):
                self._skip_fence()
            else:
                self.at += 1
        self._add(first, cuts=cuts)

    def _list_continues_after(self, index: int) -> bool:
        while index < len(self.lines) and self.blank(index):
            index += 1
        line = self.line(index)
        return line.startswith(("  ", "\t")) or (bool(_ITEM.match(line)) and not _RULE.match(line))

    def _read_quotation(self) -> None:
        first = self.at
        while self.at < len(self.lines) and not self.blank(self.at):
            if not _QUOTE.match(self.line(self.at)) and self._starts_block(self.at):
                break
            self.at += 1
        cuts = [
            (self.lines[index][0], ITEM)
            for index in range(first + 1, self.at)
            if not self.line(index - 1).strip(" >")
        ]
        self._add(first, cuts=cuts, quoted=True)

    def _table_at(self, index: int) -> bool:
        under = self.line(index + 1)
        return "|" in self.line(index) and "|" in under and bool(_DELIMITER.match(under))

    def _read_table(self) -> None:
        first = self.at
        self.at += 2
        while self.at < len(self.lines) and not self.blank(self.at):
            if "|" not in self.line(self.at) and self._starts_block(self.at):
                break
            self.at += 1
        header = self.text[self.lines[first][0] : self.lines[first + 1][1]]
        cuts = [(self.lines[index][0], ROW) for index in range(first + 3, self.at)]
        self._add(first, cuts=cuts, prefix=header)

    def _starts_block(self, index: int) -> bool:
        """Whether the line interrupts a paragraph."""
        line = self.line(index)
        if _HEADING.match(line) or _fence_opens(line) or _RULE.match(line) or _QUOTE.match(line):
            return True
        item = _ITEM.match(line)
        if item and not _INDENTED.match(line) and line[item.end() :].strip():
            return True
        return self._table_at(index)

    def _read_paragraph(self) -> None:
        first = self.at
        self.at += 1
        while self.at < len(self.lines) and not self.blank(self.at):
            line = self.line(self.at)
            if _UNDERLINE.match(line):
                start, end = self.lines[first][0], self.lines[self.at][1]
                heading = self.text[start : self.lines[self.at - 1][1]]
                self.at += 1
                self._open_section(1 if line.strip()[0] == "=" else 2, heading, start, end)
                return
            if self._starts_block(self.at):
                break
            self.at += 1
        cuts = [
            (self.lines[index][0], ITEM)
            for index in range(first + 1, self.at)
            if _BULLET_LINE.match(self.line(index))
        ]
        self._add(first, cuts=cuts)


def _fence_opens(line: str) -> bool:
    match = _FENCE.match(line)
    return bool(match) and not (match[1][0] == "`" and "`" in match[2]) and not _INDENTED.match(line)
