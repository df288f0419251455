from __future__ import annotations

import asyncio
import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.records import Answer
from evals.runner.allowance import FIRST_GUESS_TOKENS, Allowance, longest_answer
from evals.runner.ending import Ended, Ending
from tests.evals.runner.plain import PlainPrice, leaping


def price(_: str) -> PlainPrice:
    return PlainPrice()


def body(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "How much is it, in dollars?"}], **fields}


@settings(max_examples=60, deadline=None)
@given(
    cap=st.decimals("0.001", "2", places=4),
    bounds=st.lists(st.integers(1, 300), min_size=1, max_size=40),
    workers=st.integers(1, 12),
    seed=st.integers(0, 999),
)
def test_with_bounded_answers_the_cap_holds_to_the_cent(
    cap: Decimal, bounds: list[int], workers: int, seed: int
) -> None:
    draw = random.Random(seed)

    async def spend() -> tuple[Decimal, int, str]:
        ending = Ending()
        allowance = Allowance(price, ending, cap=cap)
        left = iter(bounds)
        under_way = 0

        async def worker() -> None:
            nonlocal under_way
            for bound in left:
                asked = body(max_tokens=bound)
                try:
                    reserved = await allowance.reserve(asked)
                except Ended:
                    return
                await asyncio.sleep(draw.random())
                if draw.random() < 0.9:  # else it failed
                    tokens = draw.randint(0, bound)
                    cost = PlainPrice().cost(20, tokens) if draw.random() < 0.5 else None
                    answer = Answer(prompt_tokens=20, completion_tokens=tokens, cost=cost)
                    allowance.settle(asked, answer)
                allowance.release(reserved)
                assert allowance.spent <= cap

        await asyncio.gather(*(worker() for _ in range(workers)))
        return allowance.spent, sum(1 for _ in left), ending.reason

    spent, left, reason = leaping(spend())
    assert spent <= cap
    assert bool(left) <= bool(reason), "it only stops where it says so"


def test_it_waits_for_what_may_come_back() -> None:
    async def spend() -> str:
        ending = Ending()
        allowance = Allowance(price, ending, cap=Decimal("0.16"))
        asked = body(max_tokens=100)  # $0.1 and a little
        first = await allowance.reserve(asked)
        second = asyncio.create_task(allowance.reserve(asked))
        await asyncio.sleep(1)
        assert not second.done()
        allowance.settle(asked, Answer(completion_tokens=10))
        allowance.release(first)
        await second
        return ending.reason

    assert leaping(spend()) == ""


def test_the_run_ends_where_the_next_call_could_pass_the_cap() -> None:
    async def spend() -> str:
        ending = Ending()
        allowance = Allowance(price, ending, cap=Decimal("0.05"), spent=Decimal("0.01"))
        with pytest.raises(Ended):
            await allowance.reserve(body(max_tokens=40))
        return ending.reason

    told = leaping(spend())
    assert "--max-usd 0.05" in told
    assert "$0.01 are spent" in told
    assert "$0.04" in told


def test_an_answer_dearer_than_thought_is_counted_and_ends_the_run() -> None:
    async def spend() -> tuple[Decimal, bool]:
        ending = Ending()
        allowance = Allowance(price, ending, cap=Decimal("1.5"))
        reserved = await allowance.reserve(body())
        allowance.settle(body(), Answer(completion_tokens=FIRST_GUESS_TOKENS * 2))
        allowance.release(reserved)
        return allowance.spent, ending.called

    assert leaping(spend()) == (Decimal(2), True)


def test_a_target_that_went_beyond_a_bound_is_expected_to_do_so_again() -> None:
    async def spend() -> Decimal:
        allowance = Allowance(price, Ending(), cap=Decimal(100))
        allowance.settle(body(max_tokens=100), Answer(completion_tokens=250))
        return await allowance.reserve(body(max_tokens=1000))

    assert Decimal("2.5") < leaping(spend()) < Decimal("2.6")


def test_the_cap_is_called_by_its_option() -> None:
    async def spend() -> str:
        ending = Ending()
        with pytest.raises(Ended):
            await Allowance(price, ending, cap=Decimal("0.01"), option="--budget-usd").reserve(body())
        return ending.reason

    assert leaping(spend()).startswith("--budget-usd 0.01 ends the run")


def test_without_a_bound_it_learns_how_long_answers_and_prompts_are() -> None:
    async def spend() -> Decimal:
        allowance = Allowance(price, Ending(), cap=Decimal(100))
        answer = Answer(completion_tokens=5000, prompt_tokens=70_000)
        allowance.settle(body(), answer)
        return await allowance.reserve(body()) - PlainPrice().cost(70_000, 5000)

    assert leaping(spend()) == 0


def test_it_learns_that_bills_are_above_the_price() -> None:
    async def spend() -> Decimal:
        allowance = Allowance(price, Ending(), cap=Decimal(100))
        asked = body(max_tokens=10)
        usual = allowance.most(asked)
        allowance.settle(asked, Answer(completion_tokens=10, cost=Decimal("0.03")))
        return await allowance.reserve(asked) / usual

    assert leaping(spend()) == 3


def test_without_a_cap_it_only_counts() -> None:
    async def spend() -> Decimal:
        allowance = Allowance(price, Ending())
        assert await allowance.reserve(body()) == 0
        allowance.settle(body(), Answer(cost=Decimal("0.5")))
        return allowance.spent

    assert leaping(spend()) == Decimal("0.5")


@pytest.mark.parametrize(
    ("fields", "bound"),
    [
        ({}, None),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7, "n": 3}, 21),
        ({"max_tokens": None}, None),
    ],
)
def test_the_longest_answer_is_what_the_request_says(fields: dict[str, Any], bound: int | None) -> None:
    assert longest_answer(fields) == bound
