"""DOCX: headings, paragraphs, lists and tables of the body, in order, written as Markdown.

Headers, footers, footnotes, comments and text that was deleted are left out. The archive is looked at before it is
opened, since a small one can hold gigabytes.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import Any
from zipfile import BadZipFile, ZipFile

from docx import Document
from docx.table import Table
from docx.text.paragraph import Paragraph

from rag.reading.rendering import Rendering
from rag.reading.text import EMPTY_NOTE, ReadFile, Unreadable, printable

_STYLE = re.compile(r"(.*?)(?: (\d))?$", re.DOTALL)
_MOST_UNPACKED = 512 * 1024 * 1024


def read_docx(content: bytes) -> ReadFile:
    """Raises Unreadable."""
    _check(content)
    try:
        document = Document(BytesIO(content))
        rendering = Rendering()
        for block in document.iter_inner_content():
            if isinstance(block, Table):
                rendering.table(_rows(block))
            else:
                _put(rendering, block)
        text, title = rendering.text, document.core_properties.title
    except MemoryError:
        raise
    except Exception as error:
        raise _damaged(error) from error
    title = " ".join(printable(title).split())[:200] or _first_heading(text)
    return ReadFile(text=text, kind="markdown", title=title, notes=() if text else (EMPTY_NOTE,))


def _damaged(error: Exception) -> Unreadable:
    return Unreadable("invalid_file", f"It cannot be read as DOCX ({error}): save it anew as DOCX.")


def _check(content: bytes) -> None:
    if content.startswith(b"\xd0\xcf\x11\xe0"):  # what Office wraps a document with a password in, or an old .doc
        raise Unreadable("invalid_file", "It is encrypted, or an old .doc: save a copy as DOCX without a password.")
    try:
        with ZipFile(BytesIO(content)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
            names = set(archive.namelist())
    except (BadZipFile, ValueError, OSError) as error:
        raise _damaged(error) from error
    if unpacked > _MOST_UNPACKED:
        raise Unreadable(
            "invalid_file", f"It unpacks to {unpacked:,} bytes; the most is {_MOST_UNPACKED:,}. Split it."
        )
    if "[Content_Types].xml" not in names:
        raise Unreadable("invalid_file", "It is an archive, and no DOCX: upload the files in it.")


def _put(rendering: Rendering, paragraph: Paragraph) -> None:
    level, depth, marker = _place(paragraph)
    if level:
        rendering.heading(level, paragraph.text)
    elif depth:
        rendering.item(depth, marker, paragraph.text)
    else:
        rendering.paragraph(paragraph.text)


def _place(paragraph: Paragraph) -> tuple[int, int, str]:
    """A heading's level, or an item's depth and marker; zeros for what is neither."""
    style = paragraph.style
    while style is not None:
        name, number = _STYLE.match(style.name or "").groups()  # type: ignore[union-attr]  # it matches anything
        if name in ("Heading", "Title"):
            return int(number or 1), 0, ""
        if name in ("List Bullet", "List Number"):
            return 0, int(number or 1), "-" if name == "List Bullet" else "1."
        style = style.base_style
    properties: Any = paragraph._p.pPr
    if properties is not None and properties.numPr is not None:
        level = properties.numPr.ilvl
        return 0, (level.val if level is not None else 0) + 1, "-"
    return 0, 0, ""


def _rows(table: Table) -> list[list[str]]:
    """A cell that spans several columns counts once."""
    rows = []
    for row in table.rows:
        cells = {id(cell._tc): cell for cell in row.cells}
        rows.append([cell.text for cell in cells.values()])
    return rows


def _first_heading(text: str) -> str:
    first = text.partition("\n")[0]
    return first.lstrip("#").strip() if first.startswith("#") else ""
