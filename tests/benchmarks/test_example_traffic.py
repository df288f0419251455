"""Replays judge an answer by what its own request asks for, and call a question new by its wording."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.example_traffic import Example, Request, wordings

FOLDER = Path(__file__).parents[2] / "examples/support"


@pytest.fixture(scope="module")
def example() -> Example:
    return Example(FOLDER)


@pytest.fixture(scope="module")
def week(example: Example) -> list[Request]:
    return example.weeks()[2]


def asked(requests: list[Request], text: str, intent: str) -> Request:
    return next(one for one in requests if one.messages[-1]["content"] == text and one.intent == intent)


def test_a_later_turn_is_right_by_its_own_answer_and_not_by_its_intents(week: list[Request]) -> None:
    known = asked(week, "And how long does that take?", "return_refund")
    assert (known.kind, known.judged) == ("later", True)
    assert known.right(f"{known.answer} {'This was written by a stand-in that knows nothing else. ' * 5}")
    assert known.right(known.answer.replace("days", "weekdays"))
    assert not known.right("Go to Account > Orders > Return an item within 30 days.")


def test_a_later_turn_that_opens_another_matter_is_right_by_that_ones_facts(week: list[Request]) -> None:
    opened = asked(week, "Ok, thanks. Another question: how do I descale my brewer?", "descale_brewer")
    assert opened.kind == "later"
    assert opened.facts
    assert opened.wording == "how do i descale my brewer"


def test_what_nobody_knows_is_billed_and_not_judged(week: list[Request]) -> None:
    unknown = [one for one in week if not one.judged]
    assert unknown
    assert {one.kind for one in unknown} == {"hard"}


def test_a_phrasing_with_a_greeting_around_it_is_not_new(week: list[Request]) -> None:
    greeted = asked(week, "Good morning, what do you charge for delivery?", "shipping_costs")
    assert "what do you charge for delivery" in wordings([greeted])


def test_weeks_are_the_routes_log_without_a_conversation_in_both(example: Example) -> None:
    early, first, second = example.weeks()
    assert len(early) > len(first)
    assert first[-1].at < second[0].at
    assert not {one.conversation for one in first} & {one.conversation for one in second}


def test_no_case_of_the_suite_is_worded_as_the_log_is(example: Example) -> None:
    _, first, second = example.weeks()
    cases = example.cases()
    assert {one.kind for one in cases} == {"first", "later", "hard"}
    assert not wordings(cases) & wordings([*first, *second])
