"""Prices as they are stated, and the tariffs that they become."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from contracts.money import QUANTUM, usd
from contracts.usage import TokenUsage
from ledger.prices import GpuRate, LongRates, TokenRates


def test_parts_that_are_left_out_cost_what_the_whole_does() -> None:
    tariff = TokenRates(input=Decimal(3), output=Decimal(5)).tariff()
    usage = TokenUsage(prompt=10, cached=4, cache_write=3, completion=10, audio_prompt=2, audio_completion=1)
    assert tariff.dollars(usage) == Decimal("0.00008")
    assert (tariff.cache_write_1h, tariff.audio_cached, tariff.reasoning) == (3, 3, 5)


def test_a_part_of_two_wholes_costs_what_the_nearer_does() -> None:
    written = TokenRates(input=Decimal(3), output=Decimal(5), cache_write=Decimal(4)).tariff()
    assert (written.cache_write, written.cache_write_1h) == (4, 4)
    audio = TokenRates(input=Decimal(3), output=Decimal(5), audio_input=Decimal(40)).tariff()
    assert (audio.cached_input, audio.audio_cached) == (3, 40), "audio that is cached is no cheaper unless told"
    both = TokenRates(input=Decimal(3), output=Decimal(5), audio_input=Decimal(40), cached_input=Decimal(1))
    assert both.tariff().audio_cached == 1


def test_longer_prompts_change_what_they_state_and_keep_the_rest() -> None:
    rates = TokenRates(
        input=Decimal(1),
        output=Decimal(10),
        cached_input=Decimal("0.1"),
        above={400: LongRates(output=Decimal(30)), 200: LongRates(input=Decimal(2))},
    )
    longest, longer = rates.tariff().dearer
    assert (longer[0], longer[1].input, longer[1].output, longer[1].cached_input) == (200, 2, 10, Decimal("0.1"))
    assert (longest[0], longest[1].input, longest[1].output, longest[1].cached_input) == (
        400,
        2,
        30,
        Decimal("0.1"),
    )
    assert longer[1].cache_write == 2, "what is stated nowhere follows its whole"


def test_a_tiers_factor_is_on_tokens_and_not_on_the_fee() -> None:
    rates = TokenRates(
        input=Decimal(2),
        output=Decimal(4),
        per_request=Decimal("0.01"),
        above={100: LongRates(input=Decimal(8))},
        tiers={"batch": Decimal("0.5")},
    )
    tariff = rates.tariff()
    assert tariff.dollars(TokenUsage(prompt=100)) == Decimal("0.0102")
    assert tariff.dollars(TokenUsage(prompt=100, tier="batch")) == Decimal("0.0101")
    assert tariff.dollars(TokenUsage(prompt=1000, completion=1, tier="batch")) == Decimal("0.014002")


def test_a_gpu_hour_by_hand() -> None:
    # two GPUs at 2.16 dollars: 0.0012 dollars a second; 20,000 prompt tokens or 1,000 completion tokens in it
    rate = GpuRate(
        gpu_hour=Decimal("2.16"),
        gpus=2,
        prompt_tokens_per_second=Decimal(20_000),
        completion_tokens_per_second=Decimal(1000),
    )
    tariff = rate.tariff()
    assert (rate.per_hour, tariff.input, tariff.output) == (Decimal("4.32"), Decimal("0.06"), Decimal("1.2"))
    assert tariff.dollars(TokenUsage(prompt=20_000, completion=1000)) == Decimal("0.0024")
    assert tariff.cached_input == tariff.input


@given(
    st.decimals("0.01", 100, places=2),
    st.integers(1, 64),
    st.decimals(1, 10**5, places=1),
    st.decimals(1, 10**5, places=1),
)
def test_a_busy_hour_costs_an_hour_of_all_gpus(
    gpu_hour: Decimal, gpus: int, prompt_speed: Decimal, completion_speed: Decimal
) -> None:
    rate = GpuRate(
        gpu_hour=gpu_hour,
        gpus=gpus,
        prompt_tokens_per_second=prompt_speed,
        completion_tokens_per_second=completion_speed,
    )
    hour = TokenUsage(prompt=int(prompt_speed * 1800), completion=int(completion_speed * 1800))
    cost = rate.tariff().dollars(hour)
    one_token_each = rate.per_hour / 3600 / min(prompt_speed, completion_speed) * 2
    rounding = hour.total * Decimal("0.5e-12")
    assert abs(cost - rate.per_hour) <= one_token_each + rounding
    assert usd(cost) % QUANTUM == 0
