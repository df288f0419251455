"""Whether two answers say the same."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.comparison import same_answer, words_of


def same(one: str, other: str) -> bool | None:
    return same_answer(one, other, same_words=0.8)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Choose Settings, then Security.", "Choose  Settings,\nthen Security."),
        (
            "You can return it within 30 days of delivery, at no cost, in its box.",
            "You can return it within 30 days of delivery, at no cost, in the box.",
        ),
    ],
)
def test_the_same(one: str, other: str) -> None:
    assert same(one, other) is True


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("You have 30 days to return it.", "You have 14 days to return it."),
        ("Ask Maria about it.", "Ask Jonas about it."),
        ("You can return it.", "You can not return it."),
        ("You can't return it.", "You can return it."),
        ("It costs 1.50.", "It costs 1.05."),
    ],
)
def test_not_the_same(one: str, other: str) -> None:
    assert same(one, other) is False


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Open the menu and press save.", "There is a button for it on the first page."),
        ("yes", "sure"),
    ],
)
def test_words_do_not_tell(one: str, other: str) -> None:
    assert same(one, other) is None


def test_what_a_stored_answer_says() -> None:
    chat = {"choices": [{"message": {"content": "a"}}, {"message": {"content": None}}, {"text": "b"}, 5]}
    assert words_of(orjson.dumps(chat)) == "a\n\nb"
    assert words_of(b"[1]") == "[1]"
    assert words_of(b"\xff{") != ""


@given(st.text(), st.text())
def test_it_does_not_matter_which_is_first(one: str, other: str) -> None:
    assert same(one, other) is same(other, one)
    assert same(one, one) is True
