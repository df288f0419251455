"""DOCX: its body in order, as Markdown; and archives that are none."""

from __future__ import annotations

from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from docx import Document

from rag.reading.docx import read_docx
from rag.reading.text import Unreadable
from tests.rag.reading.made_files import docx


def test_headings_lists_and_tables_come_in_order() -> None:
    file = read_docx(
        docx(
            ("Title", "Guide"),
            ("Heading 2", "Set up"),
            ("Normal", "Do this."),
            ("List Bullet", "one"),
            ("List Number 2", "two"),
            [["Size", "Price"], ["S", "1"]],
            ("Normal", ""),
            ("Normal", "End."),
        )
    )
    assert file.text == (
        "# Guide\n\n## Set up\n\nDo this.\n\n- one\n  1. two\n\n"
        "| Size | Price |\n| --- | --- |\n| S | 1 |\n\nEnd.\n"
    )
    assert (file.kind, file.title) == ("markdown", "Guide")


def test_its_own_title_goes_first() -> None:
    assert read_docx(docx(("Heading 1", "Below"), title="Above")).title == "Above"


def test_a_cell_that_spans_two_columns_is_read_once() -> None:
    document = Document()
    table = document.add_table(2, 2)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "both"
    table.cell(1, 0).text, table.cell(1, 1).text = "a", "b"
    made = BytesIO()
    document.save(made)
    assert read_docx(made.getvalue()).text.count("both") == 1


def test_a_document_without_text_is_noted() -> None:
    assert read_docx(docx()).notes == ("It holds no text.",)


def _archive(**members: bytes) -> bytes:
    made = BytesIO()
    with ZipFile(made, "w", ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


def test_an_archive_that_unpacks_to_gigabytes_is_not_unpacked() -> None:
    made = BytesIO()
    with ZipFile(made, "w", ZIP_DEFLATED) as archive:
        for number in range(65):
            entry = archive.open(f"word/{number}.xml", "w", force_zip64=False)
            with entry:
                entry.write(bytes(8))
    content = bytearray(made.getvalue())
    claim = (8 * 1024 * 1024).to_bytes(4, "little")
    at = 0
    while (at := content.find(b"PK\x01\x02", at)) != -1:  # the sizes in the directory are what an archive claims
        content[at + 24 : at + 28] = claim
        at += 4
    with pytest.raises(Unreadable, match="unpacks to 545,259,520 bytes"):
        read_docx(bytes(content))


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"PK\x03\x04 cut", "save it anew"),
        (_archive(a=b"1"), "upload the files in it"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "without a password"),
        (_archive(**{"[Content_Types].xml": b"<Types/>"}), "save it anew"),
        (docx(("Normal", "x"))[:-40], "save it anew"),
    ],
    ids=["damaged", "archive", "encrypted", "empty", "cut"],
)
def test_what_is_no_docx_says_what_to_do(content: bytes, advice: str) -> None:
    with pytest.raises(Unreadable, match=advice) as refused:
        read_docx(content)
    assert refused.value.code == "invalid_file"
