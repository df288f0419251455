"""What usage costs by a tariff, against figures worked out by hand from providers' price pages."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.money import QUANTUM, usd
from contracts.usage import TokenUsage, reported_usage
from ledger.prices import LongRates, Tariff, TokenRates


def d(text: str) -> Decimal:
    return Decimal(text)


GPT_4O = TokenRates(
    input=d("2.50"), output=d("10"), cached_input=d("1.25"), tiers={"batch": d("0.5"), "priority": d("1.7")}
)
GPT_AUDIO = TokenRates(input=d("2.50"), output=d("10"), audio_input=d("32"), audio_output=d("64"))
O3 = TokenRates(input=d("2"), output=d("8"), cached_input=d("0.5"), tiers={"flex": d("0.5")})
SONNET = TokenRates(
    input=d("3"),
    output=d("15"),
    cached_input=d("0.30"),
    cache_write=d("3.75"),
    cache_write_1h=d("6"),
    above={
        200_000: LongRates(
            input=d("6"), output=d("22.50"), cached_input=d("0.60"), cache_write=d("7.50"), cache_write_1h=d("12")
        )
    },
    tiers={"batch": d("0.5")},
)
HALF_AN_HOUR = {"cache_creation": {"ephemeral_5m_input_tokens": 20_000, "ephemeral_1h_input_tokens": 30_000}}


@pytest.mark.parametrize(
    ("rates", "usage", "dollars"),
    [
        # 600 * 2.5 + 400 * 1.25 + 100 * 10 = 1500 + 500 + 1000 millionths
        (GPT_4O, TokenUsage(prompt=1000, cached=400, completion=100), "0.003"),
        (GPT_4O, TokenUsage(prompt=1000, cached=400, completion=100, tier="batch"), "0.0015"),
        (GPT_4O, TokenUsage(prompt=1000, cached=400, completion=100, tier="priority"), "0.0051"),
        # 70 * 2.5 + 30 * 32 + 40 * 10 + 60 * 64 = 175 + 960 + 400 + 3840
        (GPT_AUDIO, TokenUsage(prompt=100, audio_prompt=30, completion=100, audio_completion=60), "0.005375"),
        # reasoning is a part of the completion, billed as such and once: 1000 * 2 + 500 * 8
        (O3, TokenUsage(prompt=1000, completion=500, reasoning=400), "0.006"),
        (O3, TokenUsage(prompt=1000, completion=500, reasoning=400, tier="flex"), "0.003"),
        # 50,000 written for five minutes, 100,000 read: 50k * 3 + 100k * 0.3 + 50k * 3.75 + 1k * 15
        (SONNET, TokenUsage(prompt=200_000, cached=100_000, cache_write=50_000, completion=1000), "0.3825"),
        # 20,000 for five minutes, 30,000 for an hour: 20k * 3.75 + 30k * 6
        (SONNET, TokenUsage(prompt=50_000, cache_write=50_000, raw=HALF_AN_HOUR), "0.255"),
        (SONNET, TokenUsage(prompt=50_000, cache_write=50_000, raw=HALF_AN_HOUR, tier="batch"), "0.1275"),
        # one token more, and every token is dearer: 50,001 * 6 + 100k * 0.6 + 50k * 7.5 + 1k * 22.5
        (SONNET, TokenUsage(prompt=200_001, cached=100_000, cache_write=50_000, completion=1000), "0.757506"),
        # 200,001 * 6 + 1k * 22.5, of which half
        (SONNET, TokenUsage(prompt=200_001, completion=1000, tier="batch"), "0.611253"),
    ],
)
def test_by_hand(rates: TokenRates, usage: TokenUsage, dollars: str) -> None:
    assert rates.tariff().dollars(usage) == d(dollars)


def test_what_openai_reports_is_billed_as_its_page_says() -> None:
    usage = reported_usage(
        {
            "prompt_tokens": 2006,
            "completion_tokens": 300,
            "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        }
    )
    assert usage is not None
    assert GPT_4O.tariff().dollars(usage) == d("0.005615")  # 86 * 2.5 + 1920 * 1.25 + 300 * 10


def test_a_tier_without_a_factor_costs_what_is_usual() -> None:
    usage = TokenUsage(prompt=1000, completion=100)
    tariff = GPT_4O.tariff()
    assert tariff.dollars(TokenUsage(prompt=1000, completion=100, tier="scale")) == tariff.dollars(usage)


AUDIO = Tariff(
    input=d("2"),
    output=d("8"),
    cached_input=d("1"),
    cache_write=d("2"),
    cache_write_1h=d("2"),
    audio_input=d("40"),
    audio_cached=d("20"),
    audio_output=d("80"),
    reasoning=d("8"),
)


def test_audio_by_hand() -> None:
    usage = TokenUsage(prompt=100, cached=10, audio_prompt=30, completion=50, audio_completion=20)
    # 60 * 2 + 10 * 1 + 30 * 40 + 30 * 8 + 20 * 80
    assert AUDIO.dollars(usage) == d("0.003170")


def test_tokens_that_are_cached_and_audio_are_billed_once() -> None:
    # 90 cached and 30 audio of 100 tokens: at least 20 are both; 70 * 1 + 20 * 20 + 10 * 40
    assert AUDIO.dollars(TokenUsage(prompt=100, cached=90, audio_prompt=30)) == d("0.000870")


def test_a_reported_split_that_makes_no_sense_is_not_believed() -> None:
    tariff = SONNET.tariff()
    for odd in (-5, "many", 10**9, True):
        raw = {"cache_creation": {"ephemeral_1h_input_tokens": odd}}
        found = tariff.dollars(TokenUsage(prompt=1000, cache_write=1000, raw=raw))
        assert found in (d("0.00375"), d("0.006"))


@st.composite
def usages(draw: st.DrawFn) -> TokenUsage:
    prompt, completion = draw(st.integers(0, 10**6)), draw(st.integers(0, 10**6))
    cached = draw(st.integers(0, prompt))
    return TokenUsage(
        prompt=prompt,
        completion=completion,
        cached=cached,
        cache_write=draw(st.integers(0, prompt - cached)),
        audio_prompt=draw(st.integers(0, prompt)),
        reasoning=draw(st.integers(0, completion)),
        audio_completion=draw(st.integers(0, completion)),
        tier=draw(st.sampled_from(["", "batch", "priority", "unheard-of"])),
    )


PRICES = st.decimals(0, 1000, places=6)


@given(usages())
def test_every_token_is_billed_exactly_once(usage: TokenUsage) -> None:
    """With one price for all, any split of the tokens costs what their number does."""
    one = TokenRates(input=d("1"), output=d("1"), above={200_000: LongRates()}, tiers={"batch": d("1")})
    assert one.tariff().dollars(usage) * 1_000_000 == usage.total


@given(usages(), PRICES, PRICES, PRICES, PRICES)
def test_an_events_cost_is_not_rounded_where_no_factor_is_stated(
    usage: TokenUsage, prompt: Decimal, answer: Decimal, cached: Decimal, longer: Decimal
) -> None:
    rates = TokenRates(input=prompt, output=answer, cached_input=cached, above={10_000: LongRates(input=longer)})
    exact = rates.tariff().dollars(usage)
    assert usd(exact) == exact
    assert exact % QUANTUM == 0


@given(st.lists(usages(), max_size=8), PRICES, PRICES, st.decimals(0, 10, places=4))
def test_events_add_up_to_the_same_total_in_any_order(
    events: list[TokenUsage], prompt: Decimal, answer: Decimal, factor: Decimal
) -> None:
    tariff = TokenRates(input=prompt, output=answer, tiers={"batch": factor}).tariff()
    costs = [usd(tariff.dollars(usage)) for usage in events]
    by_tier = {usage.tier: Decimal(0) for usage in events}
    for usage, cost in zip(events, costs, strict=True):
        by_tier[usage.tier] += cost
    assert sum(by_tier.values()) == sum(reversed(costs))
    exact = sum((tariff.dollars(usage) for usage in events), start=Decimal(0))
    assert abs(sum(costs) - exact) <= QUANTUM / 2 * len(costs)
