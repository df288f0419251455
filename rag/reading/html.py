"""HTML, as what a reader of the page sees, written as Markdown.

Scripts, styles, navigation and what is hidden are left out. The tree is walked without recursion: how deep it goes
is the document's choice.
"""

from __future__ import annotations

import re
from typing import Any

from lxml import etree

from rag.reading.rendering import Rendering
from rag.reading.text import EMPTY_NOTE, LATIN_NOTE, ReadFile, Unreadable, decoded, printable

_LEFT_OUT = re.compile(
    "script|style|noscript|template|nav|svg|math|iframe|object|embed|canvas|video|audio|button|select|input|textarea"
    "|datalist|dialog|head"
)
_BLOCKS = re.compile(
    "address|article|aside|blockquote|body|caption|center|d[dlt]|details|div|fieldset|figcaption|figure|footer|form"
    "|h[1-6r]|header|html|legend|li|main|[ou]l|p|pre|section|summary|table|t(body|[dhr]|foot|head)"
)
_HIDING = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)
_SPACES = re.compile(r"[^\S\n]+")
_HEADINGS = {f"h{level}": level for level in range(1, 7)}


def read_html(content: bytes) -> ReadFile:
    """Raises Unreadable."""
    text, notes = _decoded(content)
    # As bytes, since a text with a declaration of its encoding is refused; no network, no entities of its own.
    parser = etree.HTMLParser(
        encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True, huge_tree=True
    )
    try:
        root = etree.fromstring(printable(text).encode(), parser)
    except etree.LxmlError as error:
        if text.strip():
            raise Unreadable("invalid_file", f"It cannot be read as HTML: {error}.") from error
        root = None
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log):
        raise Unreadable("invalid_file", "It is nested too deep for any page: upload its text.")
    page = _Page()
    if root is not None:
        page.walk(root)
    rendered = page.rendering.text
    title = _title(root) or page.first_heading
    return ReadFile(
        text=rendered, kind="markdown", title=title[:200], notes=notes if rendered else (*notes, EMPTY_NOTE)
    )


def _decoded(content: bytes) -> tuple[str, tuple[str, ...]]:
    declared = _CHARSET.search(content[:2048])
    text, notes = decoded(content)
    if declared is None or not notes:  # UTF-8 it is, whatever it declares
        return text, notes
    try:
        return content.decode(declared[1].decode("ascii"), "replace"), ()
    except LookupError:
        return text, (LATIN_NOTE,)


def _title(root: Any) -> str:
    found = None if root is None else root.find(".//head/title")
    return "" if found is None else " ".join("".join(found.itertext()).split())


def _is_left_out(element: Any) -> bool:
    if _LEFT_OUT.fullmatch(element.tag):
        return True
    attributes = element.attrib
    return bool(attributes) and (
        "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or attributes.get("role") == "navigation"
        or bool(_HIDING.search(attributes.get("style", "")))
    )


class _Page:
    """What was seen so far: finished blocks, the words of the one that is open, and what that is part of."""

    def __init__(self) -> None:
        self.rendering = Rendering()
        self.first_heading = ""
        self._words: list[str] = []
        self._lists: list[tuple[str, int]] = []  # kind and number of the item
        self._marker = ""
        self._heading = 0
        self._pre = 0
        self._tables = 0
        self._rows: list[list[str]] = []

    def walk(self, root: Any) -> None:
        steps = etree.iterwalk(root, events=("start", "end"))
        for event, element in steps:
            tag = element.tag
            if event == "start":
                if _is_left_out(element):
                    steps.skip_subtree()
                else:
                    self._open(tag, element)
                    self._say(element.text)
            else:
                if not _is_left_out(element):
                    self._close(tag)
                if element is not root:
                    self._say(element.tail)
        self._flush()

    def _say(self, words: str | None) -> None:
        if words:
            self._words.append(words if self._pre else " ".join(("x" + words + "x").split())[1:-1])

    def _open(self, tag: str, element: Any) -> None:
        if tag == "br":
            self._words.append("\n")
        elif tag == "img":
            self._say(f" {element.get('alt', '')} ")
        if not _BLOCKS.fullmatch(tag):
            return
        if self._tables:
            self._open_in_table(tag)
            return
        self._flush()
        if tag == "table":
            self._tables, self._rows = 1, []
        elif tag in ("ul", "ol"):
            self._lists.append((tag, 0))
        elif tag == "li":
            kind, number = self._lists.pop() if self._lists else ("ul", 0)
            self._lists.append((kind, number + 1))
            self._marker = f"{number + 1}." if kind == "ol" else "-"
        elif tag == "pre":
            self._pre += 1
        else:
            self._heading = _HEADINGS.get(tag, 0)

    def _open_in_table(self, tag: str) -> None:
        """A table in a table is part of its cell."""
        if tag == "table":
            self._tables += 1
        elif self._tables == 1 and tag == "tr":
            self._rows.append([])
        self._words.append(" ")

    def _close(self, tag: str) -> None:
        if not _BLOCKS.fullmatch(tag):
            return
        if self._tables:
            self._close_in_table(tag)
            return
        self._flush()
        if tag in ("ul", "ol") and self._lists:
            self._lists.pop()
        elif tag == "pre":
            self._pre = max(0, self._pre - 1)
        self._heading = 0

    def _close_in_table(self, tag: str) -> None:
        self._words.append(" ")
        if tag == "table":
            self._tables -= 1
            if not self._tables:
                self._flush()
                self.rendering.table(self._rows)
        elif self._tables == 1 and tag in ("td", "th") and self._rows:
            self._rows[-1].append("".join(self._words))
            self._words = []
        elif self._tables == 1 and tag == "caption":
            self._flush()

    def _flush(self) -> None:
        words, self._words = "".join(self._words), []
        if self._pre:
            self.rendering.code(words)
            return
        words = "\n".join(_SPACES.sub(" ", line).strip() for line in words.split("\n")).strip()
        if not words:
            return
        if self._heading:
            self.rendering.heading(self._heading, words)
            self.first_heading = self.first_heading or " ".join(words.split())
        elif self._lists:
            self.rendering.item(len(self._lists), self._marker, words)
            self._marker = ""
        else:
            self.rendering.paragraph(words)
