"""Prices of the list that genai-prices ships, by hand and against its own calculator."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import genai_prices
import pytest
from genai_prices.data import providers
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    StartDateConstraint,
    TimeOfDateConstraint,
)

from contracts.money import usd
from contracts.usage import TokenUsage
from ledger.prices.listed import listed_model, tariff_by_date

ROOT = Path(__file__).parents[3]
MATCH = ClauseEquals("x")


def cost(listed_as: str, usage: TokenUsage, provider: str | None = None) -> Decimal:
    return usd(listed_model(listed_as, provider).choose().dollars(usage))


def flat(price: int) -> ModelPrice:
    return ModelPrice(input_mtok=Decimal(price), output_mtok=Decimal(price))


def test_cached_tokens_of_a_listed_model_by_hand() -> None:
    usage = TokenUsage(prompt=1_000_000, completion=100_000, cached=400_000)
    # gpt-4o: $2.50 in, $1.25 cached, $10 out per million: 600k * 2.5 + 400k * 1.25 + 100k * 10
    assert cost("gpt-4o", usage) == Decimal("3.00")
    assert listed_model("gpt-4o", None).source == f"genai-prices {genai_prices.__version__}"


def test_cache_writes_and_the_dearer_tier_by_hand() -> None:
    # claude-sonnet-4-5: $3 in, $15 out, $0.30 cached, $3.75 written (5 minutes), $6 (an hour); twice that for
    # everything but the output (1.5 times) once the prompt exceeds 200,000 tokens
    small = TokenUsage(prompt=200_000, completion=1000, cached=100_000, cache_write=50_000)
    assert cost("claude-sonnet-4-5", small) == Decimal("0.3825")  # 50k * 3 + 100k * 0.3 + 50k * 3.75 + 1k * 15
    large = TokenUsage(prompt=200_001, completion=1000, cached=100_000, cache_write=50_000)
    assert cost("claude-sonnet-4-5", large) == Decimal("0.757506")  # 50,001 * 6 + 60,000 + 375,000 + 22,500


@pytest.mark.parametrize(
    "raw",
    [
        {"cache_creation": {"ephemeral_1h_input_tokens": 30_000, "ephemeral_5m_input_tokens": 20_000}},
        {"prompt_tokens_details": {"cache_creation_token_details": {"ephemeral_1h_input_tokens": 30_000}}},
    ],
)
def test_writes_that_are_kept_for_an_hour_have_their_own_price(raw: dict[str, object]) -> None:
    usage = TokenUsage(prompt=50_000, cache_write=50_000, raw=raw)
    assert cost("claude-sonnet-4-5", usage) == Decimal("0.255")  # 20k * 3.75 + 30k * 6


def test_a_fee_per_request_and_an_embedding_without_output() -> None:
    # perplexity sonar: $1 in, $1 out per million, and $12 per thousand requests at the latest listed price
    model = next(m for p in providers if p.id == "perplexity" for m in p.models if m.id == "sonar")
    assert isinstance(model.prices, ModelPrice)
    fee = model.prices.requests_kcount
    assert isinstance(fee, Decimal)
    assert fee > 0
    assert cost("sonar", TokenUsage(prompt=1000, completion=1000), "perplexity") == fee / 1000 + Decimal("0.002")
    # text-embedding-3-small: $0.02 per million
    assert cost("text-embedding-3-small", TokenUsage(prompt=1_000_000), "openai") == Decimal("0.02")


def test_service_tiers_have_their_listed_prices() -> None:
    # o3: $2 in, $8 out, $0.50 cached; flex halves all of it, batch what is not cached
    usage = {"prompt": 1_000_000, "cached": 500_000, "completion": 100_000}
    assert cost("o3", TokenUsage(**usage)) == Decimal("2.05")
    assert cost("o3", TokenUsage(**usage, tier="flex")) == Decimal("1.025")
    assert cost("o3", TokenUsage(**usage, tier="batch")) == Decimal("1.15")
    assert cost("o3", TokenUsage(**usage, tier="unheard-of")) == Decimal("2.05")


def test_a_tier_that_starts_later_is_not_billed_yet() -> None:
    tomorrow = StartDateConstraint(start_date=(datetime.now(UTC) + timedelta(days=1)).date())
    variants = [
        PriceVariant({"processing": "batch"}, flat(1), tomorrow),
        PriceVariant({"service_tier": "flex"}, flat(2), StartDateConstraint(start_date=date(2020, 1, 1))),
        PriceVariant({"route": "eu"}, flat(3)),
    ]
    tariff = tariff_by_date(ModelInfo("x", MATCH, prices=flat(4), price_variants=variants))()
    assert {tier: each.input for tier, each in tariff.tiers.items()} == {"batch": 4, "flex": 2}


def test_prices_of_the_hour_follow_the_clock() -> None:
    now = datetime.now(UTC)
    night = ConditionalPrice(
        TimeOfDateConstraint(start_time=now.time().replace(tzinfo=UTC), end_time=now.time().replace(tzinfo=UTC)),
        prices=flat(1),
    )
    day, always = ConditionalPrice(prices=flat(9)), ConditionalPrice(prices=flat(4))
    assert tariff_by_date(ModelInfo("x", MATCH, prices=[day, night]))().input == 9, "an empty interval never holds"
    assert tariff_by_date(ModelInfo("x", MATCH, prices=[day, night, always]))().input == 4, "the last that holds"
    assert tariff_by_date(ModelInfo("x", MATCH, prices=[day]))().input == 9


def test_a_price_that_begins_while_weir_runs_is_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    holds = [False]

    class Begins(StartDateConstraint):
        def active(self, request_timestamp: datetime) -> bool:
            return holds[0]

    later = ConditionalPrice(Begins(start_date=date(2030, 1, 1)), prices=flat(1))
    choose = tariff_by_date(ModelInfo("x", MATCH, prices=[ConditionalPrice(prices=flat(9)), later]))
    assert choose().input == 9
    holds[0] = True
    minutes = iter((60e9, 120e9))
    monkeypatch.setattr("ledger.prices.listed.time", lambda: next(minutes))
    assert [choose().input, choose().input] == [1, 1]


def comparable() -> list[tuple[str, ModelInfo]]:
    """Every listed model priced by kinds of tokens that a provider reports to Weir."""
    kinds = {"input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "requests_kcount"}
    return [
        (provider.id, model)
        for provider in providers
        for model in provider.models
        if isinstance(model.prices, ModelPrice)
        and model.prices.input_mtok is not None
        and {key for key in vars(model.prices) if not key.endswith("searches_kcount")} <= kinds
    ]


@pytest.mark.parametrize("prompt", [1000, 128_001, 200_001, 300_000])
def test_the_whole_list_costs_what_its_own_calculator_says(prompt: int) -> None:
    models = comparable()
    assert len(models) > 1000
    usage = TokenUsage(prompt=prompt, cached=prompt // 3, cache_write=prompt // 7, completion=500)
    theirs = genai_prices.Usage(
        input_tokens=usage.prompt,
        cache_read_tokens=usage.cached,
        cache_write_tokens=usage.cache_write,
        output_tokens=usage.completion,
    )
    for provider, model in models:
        assert isinstance(model.prices, ModelPrice)
        expected = model.prices.calc_price(theirs)["total_price"]
        assert usd(tariff_by_date(model)().dollars(usage)) == usd(expected), (provider, model.id)


@pytest.mark.parametrize("tier", ["batch", "flex", "priority"])
def test_so_do_all_service_tiers_of_the_list(tier: str) -> None:
    context = {"processing": "batch"} if tier == "batch" else {"service_tier": tier}
    models = [
        (name, model) for name, model in comparable() if any(v.when == context for v in model.price_variants or ())
    ]
    assert models
    usage = TokenUsage(prompt=300_000, cached=100_000, completion=500, tier=tier)
    theirs = genai_prices.Usage(input_tokens=300_000, cache_read_tokens=100_000, output_tokens=500)
    for provider, model in models:
        expected = model.get_prices(datetime.now(UTC), context).calc_price(theirs)["total_price"]
        assert usd(tariff_by_date(model)().dollars(usage)) == usd(expected), (provider, model.id)


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(LookupError, match="does not list 'gpt-4o' of 'no-such-provider'"):
        listed_model("gpt-4o", "no-such-provider")
    with pytest.raises(LookupError, match=r"no token price for 'gpt-4\.1' of 'github-copilot'"):
        listed_model("gpt-4.1", "github-copilot")


def test_the_list_is_not_loaded_where_every_price_is_stated() -> None:
    script = """
import sys
from decimal import Decimal
from ledger.prices import PriceList, PriceRule, TokenRates
PriceList([PriceRule(model="m", listed_as="m", rates=TokenRates(input=Decimal(1), output=Decimal(1)))])
assert "genai_prices" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
