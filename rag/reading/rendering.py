"""Blocks of HTML and DOCX written as Markdown, so that one chunker sees headings, lists, tables and code in all.

It writes what is read and does not escape: a paragraph that begins like a list is taken for one, which costs
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from rag.reading.text import printable

_DEEPEST = 6


class Rendering:
    """Text that grows block by block. Blocks that are blank leave nothing."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._in_list = False

    @property
    def text(self) -> str:
        return printable("".join(self._parts)) + ("\n" if self._parts else "")

    def heading(self, level: int, words: str) -> None:
        if line := " ".join(words.split()):
            self._block(f"{'#' * min(max(level, 1), _DEEPEST)} {line}")

    def paragraph(self, words: str) -> None:
        if words.strip():
            self._block(words.strip())

    def item(self, depth: int, marker: str, words: str) -> None:
        """One of a list; `depth` is 1 for a list that is in no other. Without `marker` it goes on with the one
        before."""
        if not words.strip():
            return
        indent = "  " * (min(depth, _DEEPEST) - 1)
        lines = words.strip().split("\n")
        first = f"{indent}{marker} {lines[0]}" if marker else f"{indent}  {lines[0]}"
        rest = "".join(f"\n{indent}  {line}" for line in lines[1:])
        self._block(first + rest, in_list=True)

    def code(self, words: str) -> None:
        words = words.strip("\n")
        if words.strip():
            fence = "```" if "```" not in words else "~~~~"
            self._block(f"{fence}\n{words}\n{fence}")

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """The first row is its head. A table of one column is as good as paragraphs, and becomes them."""
        rows = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
        rows = [row for row in rows if any(row)]
        width = max(map(len, rows), default=0)
        if width < 2:
            for row in rows:
                self.paragraph(row[0].replace("\\|", "|"))
            return
        lines = [f"| {' | '.join([*row, *[''] * (width - len(row))])} |" for row in rows]
        self._block("\n".join([lines[0], f"|{' --- |' * width}", *lines[1:]]))

    def _block(self, words: str, *, in_list: bool = False) -> None:
        if self._parts:
            self._parts.append("\n" if in_list and self._in_list else "\n\n")
        self._parts.append(words)
        self._in_list = in_list
