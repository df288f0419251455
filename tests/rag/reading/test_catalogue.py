"""Which reader reads what, and what is refused."""

from __future__ import annotations

import pytest

from rag.reading.catalogue import DOCUMENT_SUFFIXES, read, reader_of
from rag.reading.text import Unreadable
from tests.rag.reading.made_files import docx, pdf


@pytest.mark.parametrize(
    ("filename", "content", "reader"),
    [
        ("a.md", b"# A", "markdown"),
        ("A.Markdown", b"# A", "markdown"),
        ("deep/a.txt", b"a", "plain"),
        ("data.json", b"{}", "plain"),
        ("table.csv", b"a,b", "plain"),
        ("main.tsx", b"x", "plain"),
        ("conf.yml", b"x: 1", "plain"),
        ("a.htm", b"<p>", "html"),
        ("a.pdf", b"%PDF-1.7", "pdf"),
        ("a.txt", b"\n%PDF-1.7", "pdf"),
        ("pdf.py", b"MAGIC = b'%PDF-'", "plain"),
        ("a.docx", b"PK", "docx"),
        ("README", b"hello", "plain"),
        ("page", b"  <!DOCTYPE html><p>a", "html"),
        ("report", b"PK\x03\x04", "docx"),
    ],
)
def test_the_reader_goes_by_the_name_and_the_first_bytes(filename: str, content: bytes, reader: str) -> None:
    assert reader_of(content, filename) == reader


@pytest.mark.parametrize("filename", ["photo.png", "archive.zip", "old.doc", "sheet.xlsx", "a.md.exe"])
def test_what_cannot_be_read_is_refused_with_what_can(filename: str) -> None:
    with pytest.raises(Unreadable, match="Markdown, text, HTML, PDF, DOCX, JSON, CSV and source code") as refused:
        read(b"text all the same", filename)
    assert refused.value.code == "unsupported_file"


@pytest.mark.parametrize("filename", ["a.md", "a.txt", "a.json", "README"])
def test_bytes_that_are_no_text_are_refused(filename: str) -> None:
    with pytest.raises(Unreadable, match="not text") as refused:
        read(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", filename)
    assert refused.value.code == "invalid_file"


def test_every_kind_of_document_comes_out_as_text() -> None:
    files = {
        ".md": b"# Weir\n",
        ".txt": b"Weir",
        ".html": b"<h1>Weir</h1>",
        ".pdf": pdf([["Weir"]]),
        ".docx": docx(("Heading 1", "Weir")),
    }
    for suffix, content in files.items():
        assert suffix in DOCUMENT_SUFFIXES
        assert "Weir" in read(content, f"a{suffix}").text


def test_code_and_data_are_no_documents_of_a_folder() -> None:
    assert not DOCUMENT_SUFFIXES & {".py", ".json", ".csv", ".yaml", ".log"}
