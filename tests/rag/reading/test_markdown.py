"""Markdown and text: every character stays where it is in the file; front matter is told and not searched."""

from __future__ import annotations

import codecs
from datetime import UTC, datetime
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.reading.markdown import read_markdown
from rag.reading.plain import read_plain
from rag.reading.text import LATIN_NOTE, Unreadable

FRONT = "---\r\ntitle: 'Returns: how'\r\nupdated: 2026-02-03\r\ntags: [a, b]\r\n---\r\n"


def test_front_matter_is_told_and_left_where_it_is() -> None:
    file = read_markdown(f"{FRONT}\r\n# Heading\r\nBody\r\n".encode())
    assert file.text == f"{FRONT}\r\n# Heading\r\nBody\r\n"
    assert file.text[file.body :] == "\r\n# Heading\r\nBody\r\n"
    assert (file.title, file.updated_at) == ("Returns: how", datetime(2026, 2, 3, tzinfo=UTC))
    assert file.notes == ()


@pytest.mark.parametrize(
    ("line", "moment"),
    [
        ("date: 2026-02-03T04:05:06+02:00", datetime(2026, 2, 3, 2, 5, 6, tzinfo=UTC)),
        ("lastmod: '2026-02-03'", datetime(2026, 2, 3, tzinfo=UTC)),
        ("date: 2025-01-01\nUpdated: 2026-02-03 00:00:00", datetime(2026, 2, 3, tzinfo=UTC)),
        ("date: yesterday", None),
        ("date: [2026]", None),
        ("title: none", None),
    ],
)
def test_dates_of_several_forms(line: str, moment: datetime | None) -> None:
    assert read_markdown(f"---\n{line}\n---\ntext".encode()).updated_at == moment


@pytest.mark.parametrize(
    "front",
    [
        "a: [unclosed",
        "- a list",
        "a: &x [1]\nb: [*x, *x, *x]",  # aliases multiply
        "a: 1" + " " * 20_000,
        "d: 2026-02-31",
    ],
)
def test_front_matter_that_is_none_is_left_out_and_noted(front: str) -> None:
    file = read_markdown(f"---\n{front}\n---\ntext".encode())
    assert file.text[file.body :] == "text"
    assert "front matter" in file.notes[0]


def test_a_rule_at_the_beginning_is_no_front_matter() -> None:
    assert read_markdown(b"---\n\ntext without an end").body == 0
    assert read_markdown(b"----\nnot: this\n---\n").body == 0


def test_the_first_heading_is_the_title_unless_it_is_code() -> None:
    assert read_markdown(b"intro\n\n# The *title* ##\ntext").title == "The *title*"
    assert read_markdown(b"```sh\n# a comment\n```\ntext").title == ""
    assert read_markdown(b"---\ntitle:\n---\n# Below").title == "Below"


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
    ],
)
def test_text_is_decoded_by_its_mark(mark: bytes, encoding: str) -> None:
    assert read_plain(mark + "Größe: 5 €\r\n".encode(encoding)).text == "Größe: 5 €\r\n"


def test_latin_1_is_read_with_a_note() -> None:
    file = read_plain("Größe".encode("latin-1"))
    assert (file.text, file.notes) == ("Größe", (LATIN_NOTE,))


def test_half_a_character_after_a_mark_is_refused() -> None:
    with pytest.raises(Unreadable, match="UTF-16"):
        read_plain(codecs.BOM_UTF16_LE + b"a\0b")


def test_nothing_is_read_with_a_note() -> None:
    assert read_plain(b" \n").notes == ("It holds no text.",)
    assert read_markdown(b"---\ntitle: t\n---\n").notes == ("It holds no text.",)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("\n\r\t#-`")))
def test_no_character_is_changed(text: str) -> None:
    for read in (read_markdown, read_plain):
        assert read(text.encode()).text == text.removeprefix("\ufeff")


@pytest.mark.parametrize(
    "front",
    [
        "title: !!bool neither",
        "title: !!timestamp never",
        'title: !!int ""',
        f"title: 0x{'f' * 9000}",
        "date: 0001-01-01T00:00:00+05:00",
        'date: "9999-12-31T23:59:59-05:00"',
    ],
)
def test_front_matter_that_brings_yaml_down_costs_itself_only(front: str) -> None:
    file = read_markdown(f"---\n{front}\n---\n# Fees\n".encode())
    assert (file.title, file.updated_at) == ("Fees", None)


def test_a_title_holds_nothing_that_a_database_does_not_take() -> None:
    assert read_markdown(b'---\ntitle: "a\\0b \\ud800c"\n---\ntext').title == "ab c"


def test_a_long_heading_is_no_long_work() -> None:
    began = process_time()
    assert read_markdown(b"# a" + b" #" * 100_000 + b" x\n").title.startswith("a #")
    assert process_time() - began < 5
