"""Text into blocks: headings, paragraphs, list items, rows of tables, lines of code.

The non-obvious decision: this is no Markdown parser. A block that is taken for another kind makes a chunk end at a
worse place, never a wrong offset, so that lines are told apart by their beginnings, in one pass and linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Kind = Literal["heading", "paragraph", "item", "row", "code"]

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_NUMBER_SIGNS = re.compile(r" {0,3}(#{1,6})[ \t]+(\S.*)")
_EQUALS_SIGNS = re.compile(r"[ \t]*(={1,6}|=(?: =){1,5})[ \t]+([^=\s][^=]*)[ \t]+\1[ \t]*\Z")
_UNDERLINE = re.compile(r" {0,3}(?:={2,}|-{2,})[ \t]*\Z")
_ITEM = re.compile(r"[ \t]*(?:[-*+•]|\d{1,3}[.)]|[A-Za-z][.)])[ \t]+\S")
_LONGEST_HEADING = 300
"""Characters. A longer line is a paragraph, whatever it begins with."""


class Block(NamedTuple):
    """Characters `start` to `end`. Of a heading, `level` counts from 1 and `title` is its text. `tight` says that
    it follows its like without a blank line."""

    kind: Kind
    start: int
    end: int
    level: int = 0
    title: str = ""
    tight: bool = False


def blocks_of(text: str, *, markdown: bool) -> list[Block]:
    """In order, without blank lines. `markdown` reads `#`, underlined headings and fences of code, which in other
    texts are comments and rules; headings between equals signs (MediaWiki, AsciiDoc) are read in both."""
    reading = _Reading(text)
    lines = [(match.start(), match.end()) for match in _LINE.finditer(text)]
    place = 0
    while place < len(lines):
        start, end = lines[place]
        line = text[start:end].rstrip()
        if markdown and (fence := _FENCE.match(line)):
            last = _closing(text, lines, place, fence[1])
            reading.add(Block("code", start, lines[last][1]))
            place = last + 1
            continue
        following = text[slice(*lines[place + 1])].rstrip() if place + 1 < len(lines) else ""
        if markdown and not reading.in_paragraph and _UNDERLINE.match(following) and _can_be_heading(line):
            level = 1 if following.lstrip()[0] == "=" else 2
            reading.add(Block("heading", start, lines[place + 1][1], level, line.strip()))
            place += 2
            continue
        reading.take(line, start, end, markdown)
        place += 1
    reading.finish()
    return reading.blocks


@dataclass
class _Reading:
    """Line by line; a paragraph is open until something else begins."""

    text: str
    blocks: list[Block] = field(default_factory=list)
    open_from: int = -1
    open_to: int = -1

    @property
    def in_paragraph(self) -> bool:
        return self.open_from >= 0

    def take(self, line: str, start: int, end: int, markdown: bool) -> None:
        last = self.blocks[-1] if self.blocks and not self.in_paragraph else None
        if not line.strip():
            self.finish()
        elif heading := _heading(line, markdown):
            self.add(Block("heading", start, end, *heading))
        elif _is_row(line):
            self.add(Block("row", start, end))
        elif _ITEM.match(line):
            self.add(Block("item", start, end))
        elif last and last.kind == "item" and last.end == start and line[0] in " \t":
            self.blocks[-1] = last._replace(end=end)
        else:
            if not self.in_paragraph:
                self.open_from = start
            self.open_to = end

    def add(self, block: Block) -> None:
        self.finish()
        last = self.blocks[-1] if self.blocks else None
        follows = last is not None and last.kind == block.kind and last.end == block.start
        self.blocks.append(block._replace(tight=follows and block.kind in ("item", "row")))

    def finish(self) -> None:
        if self.in_paragraph:
            self.blocks.append(Block("paragraph", self.open_from, self.open_to))
            self.open_from = -1


def _heading(line: str, markdown: bool) -> tuple[int, str] | None:
    """Its level and its text."""
    if len(line) > _LONGEST_HEADING:
        return None
    if markdown and (found := _NUMBER_SIGNS.match(line)):
        return len(found[1]), found[2].rstrip("# \t") or found[2]
    if found := _EQUALS_SIGNS.match(line):
        return found[1].count("="), found[2].strip()
    return None


def _can_be_heading(line: str) -> bool:
    return bool(line.strip()) and len(line) <= _LONGEST_HEADING and not _is_row(line) and not _ITEM.match(line)


def _is_row(line: str) -> bool:
    return "|" in line and (line.lstrip().startswith("|") or " | " in line)


def _closing(text: str, lines: list[tuple[int, int]], opening: int, fence: str) -> int:
    """The line that closes a block of code; the last of all where none does."""
    for place in range(opening + 1, len(lines)):
        line = text[slice(*lines[place])].strip()
        if len(line) >= len(fence) and line == fence[0] * len(line):
            return place
    return len(lines) - 1


def code_lines(text: str, block: Block) -> Iterator[tuple[int, int]]:
    """Start and end of the lines that are not blank."""
    for match in _LINE.finditer(text, block.start, block.end):
        if match[0].strip():
            yield match.span()
