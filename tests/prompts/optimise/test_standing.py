"""Which of the prompts that were tried leads, whoever tells of them and whenever the search ends."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import count

import pytest

from evals.cases import Case
from prompts.optimise.standing import Standing, Step
from prompts.prompt import BookedPrompt

BASE = BookedPrompt.plain("Answer.", "prepend")
LONG = BookedPrompt.plain("Answer briefly and in the customer's language, please.", "prepend")
SHORT = BookedPrompt.plain("Be brief.", "prepend")


def case(name: str) -> Case:
    return Case(id=name, messages=(), expected={}, segment="all", cluster=name, metadata={})


CASES = [case("a"), case("b")]


def tokens(prompt: BookedPrompt) -> int:
    return len(prompt.text.split())


def standing(*, margin: float | None = None, earlier: Sequence[Step] = ()) -> Standing:
    """Each look at what was spent finds a dollar more."""
    dollars = count(1)
    return Standing(
        BASE,
        CASES,
        tokens=tokens,
        spent=lambda: Decimal(next(dollars)),
        margin=margin,
        earlier=earlier,
    )


def tell(found: Standing, prompt: BookedPrompt, *values: float) -> None:
    for one, value in zip(CASES, values, strict=False):
        found(prompt, one, value)


def test_a_prompt_counts_once_it_answered_the_whole_validation_part() -> None:
    found = standing()
    tell(found, BASE, 0.5, 0.5)
    tell(found, LONG, 1.0)
    assert found.best is not None
    assert (found.best.prompt, found.tried) == (BASE, 2)
    found(LONG, CASES[1], 0.2)
    assert [one.prompt for one in found.better()] == [LONG]
    assert found.better()[0].value == pytest.approx(0.6)


def test_nothing_is_known_before_anything_was_scored() -> None:
    found = standing()
    assert (found.best, found.base, found.steps, found.better()) == (None, None, (), [])


def test_cases_of_the_other_parts_do_not_count() -> None:
    found = standing()
    tell(found, BASE, 0.5, 0.5)
    found(BASE, case("of the training part"), 1.0)
    assert found.base is not None
    assert found.base.value == 0.5


def test_a_case_that_is_asked_again_counts_by_its_mean() -> None:
    found = standing()
    tell(found, BASE, 1.0, 0.0)
    tell(found, BASE, 0.0)
    assert found.base is not None
    assert found.base.value == pytest.approx(0.25)


def test_of_equals_the_shorter_leads_and_then_the_one_to_begin_with() -> None:
    found = standing()
    tell(found, LONG, 1.0, 1.0)
    tell(found, BASE, 1.0, 1.0)
    assert found.better() == [], "no longer prompt for the same answers"
    same = BookedPrompt.plain("Reply.", "prepend")
    tell(found, same, 1.0, 1.0)
    assert found.better() == []


def test_with_a_margin_the_shortest_leads_that_loses_no_more() -> None:
    longer = Standing(LONG, CASES, tokens=tokens, spent=lambda: Decimal(0), margin=0.1)
    tell(longer, LONG, 1.0, 0.8)
    tell(longer, SHORT, 0.9, 0.8)
    tell(longer, BASE, 0.5, 0.5)
    assert [one.prompt for one in longer.better()] == [SHORT], "the shortest one lost too much"


def test_steps_say_what_had_been_spent_when_a_prompt_took_the_lead() -> None:
    found = standing()
    tell(found, BASE, 0.5, 0.5)
    tell(found, LONG, 1.0, 1.0)
    tell(found, SHORT, 0.1, 0.1)
    assert [(step.version, step.value) for step in found.steps] == [(BASE.version, 0.5), (LONG.version, 1.0)]
    assert found.steps[0].spent < found.steps[1].spent


def test_a_search_that_goes_on_knows_what_an_earlier_start_had_spent() -> None:
    earlier = (Step(Decimal("0.1"), BASE.version, 0.5), Step(Decimal("0.2"), LONG.version, 1.0))
    found = standing(earlier=earlier)
    tell(found, BASE, 0.5, 0.5)
    tell(found, LONG, 1.0, 1.0)
    assert found.steps == earlier


def test_any_number_of_threads_may_tell() -> None:
    cases = [case(str(number)) for number in range(50)]
    found = Standing(BASE, cases, tokens=tokens, spent=lambda: Decimal(1))
    with ThreadPoolExecutor(8) as pool:
        for prompt, value in ((BASE, 0.25), (LONG, 0.75)):
            for one in cases:
                pool.submit(found, prompt, one, value)
    assert [(one.prompt, one.value) for one in found.better()] == [(LONG, 0.75)]
