from __future__ import annotations

from decimal import Decimal

import pytest

from contracts.usage import TokenUsage
from evals.targets.prices import RoutePrice, listed_price, stated_price


def test_a_stated_price_is_dollars_per_million_tokens() -> None:
    price = stated_price("input=0.5, output=1.5")
    assert price.cost(1_000_000, 0) == Decimal("0.5")
    assert price.cost(2, 1) == Decimal("0.0000025")


def test_parts_that_are_not_stated_cost_what_the_whole_does() -> None:
    usage = TokenUsage(prompt=1_000_000, cached=1_000_000)
    assert stated_price("input=2,output=4").of(usage) == 2
    assert stated_price("input=2,output=4,cached_input=0.2").of(usage) == Decimal("0.2")


def test_a_listed_model_has_the_price_of_the_list_and_its_batches() -> None:
    price = stated_price("gpt-5.1")
    assert price.cost(1_000_000, 1_000_000) == Decimal("11.25")
    assert price.has_tier("batch")
    assert price.of(TokenUsage(prompt=1_000_000, tier="batch")) < price.cost(1_000_000, 0)


def test_a_name_that_is_not_listed_has_no_price() -> None:
    assert listed_price("support") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("support", "not in the price list"),
        ("input=1", "output must be stated"),
        ("input=1,output=2,input=3", "given twice"),
        ("input=1,output=2,above=3", "none of input"),
        ("input=one,output=2", "'one' is not an amount"),
        ("input=-1,output=2", "not an amount"),
        ("input=NaN,output=2", "not an amount"),
        ("input=1e9,output=2", "not an amount"),
        ("=,", "none of"),
    ],
)
def test_a_price_that_cannot_be_read_says_why(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        stated_price(text)


def test_a_route_costs_what_its_dearest_candidate_does_or_all_of_them() -> None:
    prices = [stated_price("input=1,output=1"), stated_price("input=0.1,output=3")]
    assert RoutePrice(prices).cost(1_000_000, 0) == 1
    assert RoutePrice(prices).cost(0, 1_000_000) == 3
    assert RoutePrice(prices, several=True).cost(1_000_000, 0) == Decimal("1.1")
