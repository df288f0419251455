"""What a search and its test are said to take, before anything is asked."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from evals.runner.estimate import ANSWER_TOKENS
from evals.runner.plan import body_of
from prompts.optimise.estimate import (
    USUAL_TOKENS,
    WRITTEN_TOKENS,
    BudgetTooSmall,
    Forecast,
    forecast,
    prompt_tokens,
    usd_for_test,
)
from prompts.optimise.order import Order
from prompts.optimise.parts import part
from prompts.optimise.ports import Expected, Parts
from prompts.prompt import BookedPrompt, Demonstration
from tests.evals.runner.plain import PlainPrice
from tests.prompts.optimise.plain_order import order_in, with_budget

EXPECTED = Expected(task=100, reflection=10)


def parts_of(order: Order) -> Parts:
    return part(order.suite.cases, learn_share=lambda _: 0.3, test_share=order.test_share, seed=0)


def told(order: Order, *judges: Any, priced: bool = True) -> Forecast:
    price = PlainPrice()
    return forecast(order, parts_of(order), EXPECTED, judges, lambda _: price if priced else None)


class Rubric:
    """What an estimate asks of a scorer that a model stands behind."""

    kind = "judge"
    binary = True
    version = "1"
    model = "judging"

    def __init__(self, name: str) -> None:
        self.name = name

    def lacks(self, case: Any) -> str:
        return ""

    async def score(self, case: Any, answer: Any) -> Any:
        raise AssertionError("nothing is asked for an estimate")


def test_the_tokens_of_a_prompt_are_those_of_its_instructions_and_demonstrations() -> None:
    plain = BookedPrompt.plain("one two three four five six seven eight nine ten", "prepend")
    shown = plain.tuned({}, [Demonstration("eleven twelve", "thirteen fourteen fifteen")])
    assert 10 <= prompt_tokens(plain) < 25
    assert prompt_tokens(plain) + 5 <= prompt_tokens(shown) < prompt_tokens(plain) + 25


def test_calls_are_those_of_the_search_and_two_for_each_case_of_the_test(tmp_path: Path) -> None:
    order = order_in(tmp_path)
    found = told(order)
    tested = len(parts_of(order).test)
    assert (found.task, found.reflection, found.test, found.judged) == (100, 10, 2 * tested, 0)
    answers = (100 + 2 * tested) * USUAL_TOKENS
    assert found.tokens > answers


def test_dollars_are_those_of_prompts_and_everyday_answers(tmp_path: Path) -> None:
    order = order_in(tmp_path)
    found, test = told(order), parts_of(order).test
    read = sum(prompt_tokens(order.prompt) + len(str(body_of(case, {}))) // 4 for case in test)
    answers = Decimal(2 * len(test) * USUAL_TOKENS) / 1000
    assert found.tested is not None
    longer = len(test) * WRITTEN_TOKENS
    assert answers < found.tested < answers + Decimal(4 * read + longer) / 10**6
    assert found.likely == (found.search or 0) + found.tested


def test_judges_are_paid_in_the_search_for_quality_and_in_the_test_for_all(tmp_path: Path) -> None:
    order = order_in(tmp_path)
    quality, other = Rubric(order.suite.quality), Rubric("tone")
    test = 2 * len(parts_of(order).test)
    assert told(order, quality).judged == 100 + test
    assert told(order, other).judged == test
    assert (told(order, quality).search or 0) > (told(order).search or 0)
    assert told(order, other).search == told(order).search


def test_what_is_set_aside_is_for_a_prompt_as_long_as_one_may_be_expected(tmp_path: Path) -> None:
    order = order_in(tmp_path, most_tokens=50_000)
    long = replace(order, prompt=BookedPrompt.plain("Say it in a friendly way. " * 500, "prepend"))
    tested = len(parts_of(order).test)

    def grown(order: Order) -> Decimal:
        """Dollars, in tokens of a prompt that each case of the test is asked with, and the last one four times."""
        bare = replace(order, most_tokens=1, most_demonstrations=0)
        return ((told(order).aside or 0) - (told(bare).aside or 0)) * 10**6 / (tested + 4)

    few, many = grown(order), grown(replace(order, most_demonstrations=8))
    assert 4 * ANSWER_TOKENS < few < 4 * (ANSWER_TOKENS + 60)
    assert abs(many - 2 * few) < 2, "twice as many demonstrations"
    assert abs(grown(long) - prompt_tokens(long.prompt)) < 2, "instructions that become twice as long"
    held = replace(long, most_tokens=prompt_tokens(long.prompt) + 100)
    assert abs(grown(held) - 100) < 2, "none may be longer"
    assert told(order).tested == told(replace(order, most_tokens=1)).tested, "what is likely is another matter"


def test_what_the_test_of_a_longer_prompt_takes_can_be_asked(tmp_path: Path) -> None:
    order = order_in(tmp_path)
    long = BookedPrompt.plain("Say it in a friendly way. " * 5000, "prepend")
    parts, price = parts_of(order), PlainPrice()
    due = usd_for_test(order, parts, long, [], lambda _: price)
    assert due is not None
    assert due - (told(order).aside or 0) > Decimal(20_000 * len(parts.test)) / 10**6
    assert usd_for_test(order, parts, long, [], lambda _: None) is None


def test_a_budget_is_divided_and_bounds_what_is_likely(tmp_path: Path) -> None:
    order = order_in(tmp_path)
    free = told(order)
    assert (free.for_search, free.budget) == (None, None)
    budget = (free.aside or Decimal(0)) + Decimal("0.5")
    held = told(with_budget(order, str(budget)))
    assert held.for_search == Decimal("0.5")
    assert held.likely == min(budget, free.likely or budget)


def test_a_budget_that_cannot_pay_the_test_is_refused(tmp_path: Path) -> None:
    order = order_in(tmp_path)
    aside = told(order).aside
    assert aside is not None
    with pytest.raises(BudgetTooSmall, match="--test-share") as refused:
        told(with_budget(order, str(aside)))
    assert refused.value.least >= 2 * aside
    told(with_budget(order, str(refused.value.least)))


def test_without_a_price_dollars_are_not_known_and_a_budget_is_refused(tmp_path: Path) -> None:
    order = order_in(tmp_path)
    found = told(order, priced=False)
    assert (found.likely, found.search, found.aside) == (None, None, None)
    assert found.tokens > 0
    with pytest.raises(ValueError, match="nobody knows what the route support and attentive costs"):
        told(with_budget(order, "9"), priced=False)
