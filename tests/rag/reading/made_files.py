"""PDF and DOCX files, made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from docx import Document
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas


def pdf(pages: Sequence[Sequence[str]], *, title: str = "", password: str | None = None) -> bytes:
    """Lines by page. `password` opens it; an empty one leaves it open to all, and still encrypted."""
    made = BytesIO()
    encrypt: Any = None if password is None else StandardEncryption(password, ownerPassword="owner")
    canvas = Canvas(made, encrypt=encrypt)
    if title:
        canvas.setTitle(title)
    for lines in pages:
        for number, line in enumerate(lines):
            canvas.drawString(72, 720 - 20 * number, line)
        canvas.showPage()
    canvas.save()
    return made.getvalue()


def docx(*blocks: tuple[str, str] | list[list[str]], title: str = "") -> bytes:
    """Paragraphs as style and text, and tables as rows."""
    document = Document()
    document.core_properties.title = title
    for block in blocks:
        if isinstance(block, list):
            table = document.add_table(len(block), len(block[0]))
            for row, cells in zip(table.rows, block, strict=True):
                for cell, text in zip(row.cells, cells, strict=True):
                    cell.text = text
        else:
            document.add_paragraph(block[1], style=block[0])
    made = BytesIO()
    document.save(made)
    return made.getvalue()
