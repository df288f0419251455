"""The price of every model: where it comes from, and what becomes of a model without one."""

from __future__ import annotations

import logging
from decimal import Decimal

import genai_prices
import pytest

from contracts.money import QUANTUM
from contracts.records import UNPRICED
from contracts.usage import TokenUsage
from ledger.prices import GpuRate, PriceList, PriceRule, PricesUnknown, TokenRates

LISTED = f"genai-prices {genai_prices.__version__}"
RATES = TokenRates(input=Decimal(3), output=Decimal(5))


def rule(
    model: str, listed_as: str = "", provider: str | None = None, rates: TokenRates | GpuRate | None = None
) -> PriceRule:
    return PriceRule(model=model, listed_as=listed_as or model, provider=provider, rates=rates)


def test_what_is_stated_comes_before_the_list() -> None:
    from_file = PriceRule(model="small", listed_as="gpt-4o", rates=RATES, source="prices.yaml")
    prices = PriceList([rule("gpt-4o"), rule("o1", "gpt-4o-mini"), rule("large", "gpt-4o", rates=RATES), from_file])
    models = ("gpt-4o", "o1", "large", "small")
    usage = TokenUsage(prompt=1_000_000)
    assert [prices.cost(model, usage) for model in models] == [Decimal("2.5"), Decimal("0.15"), 3, 3]
    assert [prices.priced_by(model) for model in models] == [LISTED, LISTED, "config", "prices.yaml"]
    assert prices.unpriced == ()


def test_one_token_at_the_finest_price_is_one_quantum() -> None:
    finest = TokenRates(input=Decimal("0.000001"), output=Decimal(0))
    assert PriceList([rule("m", rates=finest)]).cost("m", TokenUsage(prompt=1)) == QUANTUM


@pytest.mark.parametrize("source", ["cache", "none"])
def test_a_replay_costs_nothing(source: str) -> None:
    prices = PriceList([rule("m", rates=RATES)])
    assert prices.cost("m", TokenUsage(prompt=10, completion=10, source=source)) == 0  # type: ignore[arg-type]
    assert prices.cost("m", TokenUsage(prompt=10, source="estimated")) == Decimal("0.00003")


def test_models_without_a_price_are_all_named_with_what_to_do() -> None:
    with pytest.raises(PricesUnknown) as caught:
        PriceList(
            [
                rule("gpt-4o"),
                rule("our-own"),
                rule("x", "gpt-4o", "no-such-provider"),
                rule("y", "gpt-4.1", "github-copilot"),
            ]
        )
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "models.our-own",
        "models.x",
        "models.y",
    ]
    first, second, third = caught.value.problems
    assert "'our-own'" in first
    assert "models.our-own.price" in first
    assert "price.listed_as" in first
    assert "ledger.unpriced: mark" in first
    assert "'gpt-4o' of 'no-such-provider'" in second
    assert "no token price" in third, "listed, but without figures: that must not become zero"


def test_a_model_without_a_price_may_be_marked_instead() -> None:
    prices = PriceList([rule("our-own"), rule("m", rates=RATES)], unpriced="mark")
    usage = TokenUsage(prompt=1_000_000, tier="batch")
    assert (prices.cost("our-own", usage), prices.priced_by("our-own")) == (0, UNPRICED)
    assert (prices.cost("m", usage), prices.priced_by("m")) == (3, "config")
    assert prices.unpriced == ("our-own",)


def test_a_price_of_nothing_is_not_a_missing_one() -> None:
    free = TokenRates(input=Decimal(0), output=Decimal(0))
    prices = PriceList([rule("m", rates=free)], unpriced="mark")
    assert (prices.cost("m", TokenUsage(prompt=10)), prices.priced_by("m"), prices.unpriced) == (0, "config", ())


def test_a_service_tier_without_a_price_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    prices = PriceList([rule("m", rates=RATES), rule("gpt-4o")])
    with caplog.at_level(logging.WARNING, "weir.ledger"):
        for tier in ("", "flex", "flex", "scale"):
            assert prices.cost("m", TokenUsage(prompt=1_000_000, tier=tier)) == 3
        prices.cost("gpt-4o", TokenUsage(prompt=1, tier="priority"))
    assert [record.args for record in caplog.records] == [("m", "flex", "m"), ("m", "scale", "m")]
    assert "models.m.price.tiers" in caplog.text


def test_a_provider_cannot_fill_the_log_with_tiers(caplog: pytest.LogCaptureFixture) -> None:
    prices = PriceList([rule("m", rates=RATES)])
    for number in range(1000):
        prices.cost("m", TokenUsage(prompt=1, tier=f"t{number}"))
    assert len(caplog.records) == 100


def test_models_on_gpus_are_known_with_what_they_rest_on() -> None:
    rate = GpuRate(
        gpu_hour=Decimal("3.6"), prompt_tokens_per_second=Decimal(1000), completion_tokens_per_second=Decimal(100)
    )
    prices = PriceList([rule("m", rates=rate), rule("n", rates=RATES)])
    assert prices.gpu_models == {"m": rate}
    assert prices.cost("m", TokenUsage(prompt=1000, completion=100)) == Decimal("0.002")
    assert prices.tariff("m").output == 10
