"""Predictions become options to weigh, and choices become candidates in the order in which they are tried."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.records import Candidate, UsageEvent
from contracts.usage import TokenUsage
from heads.quality import Expected, Forecast
from ledger.prices import PriceList, PriceRule, TokenRates
from router.choice.goals import Option
from router.choice.memory import RouteMemory
from router.choice.options import candidates_of, options_in, options_of, reference_of
from router.choice.reading import Reading

READING = Reading(
    endpoint="chat/completions",
    text="Hi",
    tokens=1000,
    settled_tokens=800,
    images=False,
    audio=False,
    tools=False,
    in_tool_loop=False,
    continues=True,
    session="s",
)
RATES = TokenRates(input=Decimal(1), output=Decimal(2), cached_input=Decimal("0.1"))
PRICES = PriceList(PriceRule(model=model, rates=RATES, listed_as=model) for model in ("small", "large"))


TOLD = Forecast((Expected("large", 0.9, 0.05), Expected("small", 0.5, 0.1)), (), 1.0)


def options(
    *models: str, memory: RouteMemory | None = None, kept: str | None = None, stay: float = 0.0
) -> list[Option]:
    return options_of(
        models,
        TOLD,
        READING,
        prices=PRICES,
        memory=memory or RouteMemory(),
        kept=kept,
        stay=stay,
    )


def test_an_option_has_what_is_predicted_and_what_it_would_cost() -> None:
    small, large = options("small", "large")
    assert (small.model, small.quality, small.deviation, small.latency_ms) == ("small", 0.5, 0.1, None)
    assert small.cost == large.cost == pytest.approx((1000 + 2 * 256) * 1e-6)


def test_it_costs_what_its_own_answers_are_long_and_is_as_slow() -> None:
    memory = RouteMemory()
    for number in range(20):
        memory.settled(
            UsageEvent(
                request_id=f"r{number}",
                at=datetime(2026, 11, 5, tzinfo=UTC),
                tenant="acme",
                key_id="key_1",
                route="support",
                endpoint="chat/completions",
                requested_model="support",
                model="small",
                usage=TokenUsage(prompt=10, completion=5),
                latency_ms=float(number),
            )
        )
    small, large = options("small", "large", memory=memory)
    assert small.cost == pytest.approx((1000 + 2 * 5) * 1e-6)
    assert (small.latency_ms, large.latency_ms) == (18.0, None)


def test_the_model_that_has_the_conversation_is_worth_more_and_has_its_beginning_cached() -> None:
    small, large = options("small", "large", kept="small", stay=0.2)
    assert [small.quality, large.quality] == pytest.approx([0.5, 0.9])  # what was predicted stays what it is
    assert [small.worth, large.worth] == pytest.approx([0.7, 0.9])
    assert small.cost == pytest.approx((200 + 0.1 * 800 + 2 * 256) * 1e-6)


def test_a_model_of_which_nothing_is_predicted_is_no_option() -> None:
    assert [option.model for option in options("new", "large")] == ["large"]
    assert options("new") == []


def test_the_reference_is_the_one_wanted_or_else_the_best() -> None:
    small, large = options("small", "large")
    assert reference_of([small, large], "small") is small
    assert reference_of([small, large], "gone") is large


def test_candidates_stand_in_the_order_in_which_they_are_tried() -> None:
    found = candidates_of(("a", "b", "c", "d", "e"), {"a": "no images", "b": "", "d": "rests"}, first="e", then="c")
    assert [candidate.model for candidate in found] == ["e", "c", "b", "a", "d"]
    assert [candidate.eligible for candidate in found] == [True, True, True, False, False]
    assert [candidate.reason for candidate in found] == ["chosen", "stands by", "stands by", "no images", "rests"]
    assert {(candidate.quality, candidate.propensity) for candidate in found} == {(None, None)}


def test_they_say_what_was_predicted_and_why_they_were_passed_over() -> None:
    weighed = [
        Option(model="small", quality=0.123456, deviation=0.1, cost=1.5e-6, latency_ms=20.5),
        Option(model="large", quality=0.9, deviation=0.05, cost=0.25),
    ]
    small, large, new = candidates_of(
        ("new", "small", "large"),
        {},
        weighed,
        first="small",
        then="large",
        notes={"large": "too dear"},
        propensities={"small": 0.975, "large": 0.025},
    )
    assert small == Candidate(
        model="small",
        reason="chosen",
        quality=0.1235,
        deviation=0.1,
        cost=Decimal("0.000001500"),
        latency_ms=20.5,
        propensity=0.975,
    )
    assert (large.propensity, new.propensity) == (0.025, 0.0)
    assert (large.reason, large.cost) == ("too dear", Decimal("0.25"))
    assert (new.eligible, new.reason, new.cost) == (True, "nothing is known of its answers yet", None)


def test_a_decisions_options_are_those_that_were_weighed_and_could_answer() -> None:
    weighed = options("small", "large")
    candidates = candidates_of(("small", "large", "new"), {}, weighed, first="large", then="small")
    assert [option.model for option in options_in(candidates)] == ["large", "small"]
    assert options_in(candidates)[1].cost == pytest.approx(weighed[0].cost, abs=1e-9)
    blocked = candidates_of(("small", "large"), {"small": "rests"}, weighed, first="large")
    assert [option.model for option in options_in(blocked)] == ["large"]


@given(
    st.lists(st.sampled_from("abcdef"), min_size=1, unique=True),
    st.frozensets(st.sampled_from("abcdef")),
    st.sampled_from("abcdef"),
    st.sampled_from(["", *"abcdef"]),
)
def test_every_model_is_a_candidate_once_and_those_that_cannot_answer_come_last(
    models: list[str], barred: frozenset[str], first: str, then: str
) -> None:
    found = candidates_of(models, dict.fromkeys(barred, "barred"), first=first, then=then)
    assert sorted(candidate.model for candidate in found) == sorted(models)
    able = [candidate.eligible for candidate in found]
    assert able == sorted(able, reverse=True)
    order = [candidate.model for candidate in found if candidate.eligible]
    assert first not in order or order[0] == first
    assert then not in order or order.index(then) <= 1
