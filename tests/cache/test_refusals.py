"""Questions that hold personal data, or ask for what changes from hour to hour."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.refusals import LONGEST_TEXT, refuse_text

LIVE = ("now", "right now", "my order", "weather")


def refusal(text: str, *, personal: bool = True) -> str:
    return refuse_text(text, personal=personal, live=LIVE)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Write to jo.smith+a@mail.example.org please", "e-mail"),
        ("Call me on +44 20 7946 0958", "long number"),
        ("My card is 4111-1111-1111-1111", "long number"),
        ("SSN 078-05-1120", "long number"),
        ("Pay DE89 3704 0044 0532 0130 00", "number"),
        ("Pay GB82WEST12345698765432", "number"),
        ("Hi, my name is Ada", "a name"),
        ("My last name is Lovelace", "a name"),
        ("date of birth 3 May", "date of birth"),
        ("What is the time NOW?", "'now'"),
        ("Where is my  order?", "'my order'"),
        ("weather in Oslo", "'weather'"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    assert reason in refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "How do I reset my password?",
        "What do you know?",
        "Is it snowing, or nowhere?",
        "How many of 1,000 beans weigh 12.50 g?",
        "Compare 2023 with 2024",
        "What does @ mean in Python?",
        "What is your name?",
        "my ordering system",
        "",
    ],
)
def test_let_in(text: str) -> None:
    assert refusal(text) == ""


def test_each_can_be_allowed() -> None:
    assert refuse_text("a@b.cd", personal=False, live=LIVE) == ""
    assert refuse_text("the weather", personal=True, live=()) == ""
    assert refuse_text("x" * (LONGEST_TEXT + 1), personal=False, live=()) == ""


def test_what_is_too_long_to_be_looked_through_is_refused() -> None:
    assert "too long" in refusal("x" * (LONGEST_TEXT + 1))
    assert refusal("x" * LONGEST_TEXT) == ""


@pytest.mark.parametrize(
    "unit", ["a", "1", "a.", "@", "a@", "1 ", "()", "AA11", "my ", "now", "é", "\U0001f600", " "]
)
def test_no_text_takes_long(unit: str) -> None:
    """Quadratic patterns would take hours here."""
    refusal(unit * (LONGEST_TEXT // len(unit)))


@given(st.text(max_size=200))
def test_no_text_is_too_odd(text: str) -> None:
    assert isinstance(refusal(text), str)
