"""Blocks as Markdown."""

from __future__ import annotations

from rag.reading.rendering import Rendering


def test_blocks_are_apart_and_items_of_a_list_together() -> None:
    page = Rendering()
    page.heading(9, " Deep \n heading ")
    page.item(1, "-", "one\ntwo")
    page.item(2, "1.", "inner")
    page.item(1, "", "goes on")
    page.paragraph("  ")
    page.paragraph("end")
    assert page.text == "###### Deep heading\n\n- one\n  two\n  1. inner\n  goes on\n\nend\n"


def test_code_that_holds_a_fence_gets_another() -> None:
    page = Rendering()
    page.code("```\nx\n```")
    assert page.text == "~~~~\n```\nx\n```\n~~~~\n"


def test_rows_of_a_table_have_all_columns() -> None:
    page = Rendering()
    page.table([["a", "b"], ["", " "], ["1"]])
    assert page.text == "| a | b |\n| --- | --- |\n| 1 |  |\n"


def test_a_table_of_one_column_is_paragraphs() -> None:
    page = Rendering()
    page.table([["a|b"], ["c"]])
    assert page.text == "a|b\n\nc\n"


def test_nothing_is_empty() -> None:
    assert Rendering().text == ""
