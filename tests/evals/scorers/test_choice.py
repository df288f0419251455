"""Which letter an answer picks, however it puts it, and when it picks none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.scorers.choice import chosen
from tests.evals.scorers.scoring import lacks, right, scored, unhurried

CITIES = ["Paris", "New York", "York", "Rome"]


@pytest.mark.parametrize(
    "text",
    [
        "B",
        "b",
        "(b)",
        "**B**.",
        "B) New York",
        "B.",
        "B - New York",
        "B\n\nBecause A) is wrong and C) too",
        "**B) New York**, since Paris is not in the US",
        "The answer is B",
        "the answer is (B).",
        "The answer is **B**",
        "The answer is B, A is wrong because",
        "The answer is B because it has",
        "The answer is\n\nB",
        "Answer: B",
        "La respuesta correcta es la B.",
        "I choose option (b).",
        r"so \boxed{B}",
        r"\boxed{\text{B}}",
        "#### B",
        "Option B is correct.",
        "A is wrong; B is right",
        "Neither A nor C: B",
        "B, because A and C react",
        "Option A is wrong, so the answer is B",
        "The answer is not A but B",
        "It isn't A, but B",
        "I think B",
        "It's B.",
        "Let me think. A is too small. D is too big. So B",
        "A great question! The answer is B.",
    ],
)
def test_the_letter_that_an_answer_picks(text: str) -> None:
    assert chosen(text) == {"B"}
    assert right("choice", {"choice": "B", "options": CITIES}, text)
    assert not right("choice", {"choice": "C", "options": CITIES}, text)


@pytest.mark.parametrize("text", ["New York", "It is New York, of course.", "new york!", "I'd go for “New York”"])
def test_the_text_of_an_option(text: str) -> None:
    assert chosen(text, CITIES) == {"B"}
    assert chosen(text) == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The answer is A or B", {"A", "B"}),
        ("Either A or B.", {"A", "B"}),
        ("Both A and B", {"A", "B"}),
        ("Neither A nor B.", set()),
        ("A) Paris\nB) New York\nC) York", {"A", "B", "C"}),
        ("(A) is wrong; (B)", {"A", "B"}),
        ("Paris or Rome", {"A", "D"}),
        ("The answer is A. No, the answer is D.", {"A", "D"}),
        ("", set()),
        ("None of these", set()),
        ("The answer is not A", set()),
        ("The answer is a city", set()),
        ("Answer: A good one", set()),
        ("I can't say.", set()),
        ("Z", set()),
    ],
)
def test_several_or_none(text: str, found: set[str]) -> None:
    assert chosen(text, CITIES) == found
    assert not right("choice", {"choice": "A", "options": CITIES}, text)


def test_the_reason_tells_what_it_took_the_answer_for() -> None:
    expected = {"choice": "A", "options": CITIES}
    assert scored("choice", expected, "B").why == "picks B, not A"
    assert scored("choice", expected, "A or B, (A) or (B)").why == "does not tell which: A, B"
    assert scored("choice", expected, "None of these").why == 'picks none: "None of these"'


def test_the_choice_may_be_named_by_its_text() -> None:
    assert right("choice", {"choice": "new york", "options": CITIES}, "B")
    labelled = ["A) Paris", "B) New York"]
    assert right("choice", {"choice": "New York", "options": labelled}, "New York")
    assert right("choice", {"choice": "b", "options": labelled}, "(B)")


@pytest.mark.parametrize(
    ("expected", "fault"),
    [
        ({"choice": "Berlin", "options": CITIES}, r"expected\.choice: 'Berlin' is not a letter up to D"),
        ({"choice": "E", "options": CITIES}, r"expected\.choice: 'E' is not"),
        ({"choice": "Paris"}, r"expected\.choice: 'Paris' is not"),
        ({"choice": 1}, r"expected\.choice: 1 is not"),
        ({"choice": "A", "options": ["B", "A"]}, r"expected\.choice: 'A' could be any of A, B"),
        ({"choice": "A", "options": ["one"]}, r"expected\.options: must be 2 to 26"),
        ({"choice": "A", "options": ["one", ""]}, r"expected\.options: must be a list"),
        ({"choice": "A", "options": "one"}, r"expected\.options: must be a list"),
    ],
)
def test_a_choice_that_is_none_is_refused(expected: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        lacks("choice", expected)


def test_a_case_without_a_choice_cannot_be_judged() -> None:
    assert lacks("choice", {"options": CITIES}) == "`expected.choice`"


@unhurried
@given(st.sampled_from("ABCD"), st.sampled_from("ABCD"), st.sampled_from(["{}", "({})", "Answer: {}", "**{}**"]))
def test_only_the_right_letter_scores(said: str, wanted: str, how: str) -> None:
    assert right("choice", {"choice": wanted, "options": CITIES}, how.format(said)) == (said == wanted)
