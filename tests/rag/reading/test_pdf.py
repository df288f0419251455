"""PDF: its text, page by page, and what is said of one that holds none."""

from __future__ import annotations

import pytest

from rag.reading.pdf import read_pdf
from rag.reading.text import Unreadable
from tests.rag.reading.made_files import pdf


def test_pages_are_read_in_order_and_a_form_feed_is_between_them() -> None:
    file = read_pdf(pdf([["Hello weir.", "Line two."], ["Second page."]], title="Manual"))
    first, second = file.text.split("\f")
    assert first.split("\n")[:2] == ["Hello weir.", "Line two."]
    assert second == "Second page."
    assert (file.kind, file.title, file.notes) == ("plain", "Manual", ())


def test_a_word_that_was_parted_at_the_end_of_a_line_is_whole_again() -> None:
    text = read_pdf(pdf([["The informa-", "tion on part X-", "7 is here"]])).text
    assert "information" in text
    assert "X-\n7" in text


def test_titles_that_a_program_gave_are_none() -> None:
    assert read_pdf(pdf([["a"]], title="Microsoft Word - Draft.doc")).title == ""
    assert read_pdf(pdf([["a"]])).title == ""


def test_one_with_an_empty_password_is_read() -> None:
    assert read_pdf(pdf([["open to all"]], password="")).text == "open to all"


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (pdf([["locked"]], password="secret"), "without a password"),
        (pdf([[], []]), "run OCR"),
        (b"%PDF-1.7\nnot much of one", "save it anew"),
        (pdf([["cut short"]])[:300], "save it anew|run OCR"),
    ],
    ids=["encrypted", "pictures", "damaged", "cut short"],
)
def test_what_cannot_be_read_says_what_to_do(content: bytes, advice: str) -> None:
    with pytest.raises(Unreadable, match=advice) as refused:
        read_pdf(content)
    assert refused.value.code == "invalid_file"


def test_pages_without_text_are_noted() -> None:
    assert read_pdf(pdf([["text"], [], []])).notes == ("2 of its 3 pages hold no text.",)
