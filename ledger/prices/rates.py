"""Prices as people state them, in dollars per million tokens or per GPU hour, and the tariffs that follow.

A price per GPU hour becomes one per token, so that all that bills, predicts or compares costs knows tokens only.
What the GPUs cost while nobody asks is not in it: that is an overhead, for reports to allocate (`always_on`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal

from contracts.money import ZERO
from ledger.prices.tariff import Tariff

_MILLION = Decimal(10**6)
_SECONDS_AN_HOUR = 3600
_FINEST = Decimal("1e-6")  # of a price per million tokens: then one token is a whole number of money.QUANTUM


@dataclass(frozen=True, slots=True, kw_only=True)
class LongRates:
    """What changes for longer prompts. A part that is None costs what it does for shorter ones."""

    input: Decimal | None = None
    output: Decimal | None = None
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    audio_input: Decimal | None = None
    audio_cached: Decimal | None = None
    audio_output: Decimal | None = None
    reasoning: Decimal | None = None


PARTS = tuple(part.name for part in fields(LongRates))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRates:
    """Dollars per million tokens; `per_request` is dollars. A part that is None costs what the whole does.

    `above`: the rates of prompts with more tokens than that. `tiers`: by service tier, the factor for all tokens,
    not for `per_request`.
    """

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    audio_input: Decimal | None = None
    audio_cached: Decimal | None = None
    audio_output: Decimal | None = None
    reasoning: Decimal | None = None
    per_request: Decimal = ZERO
    above: Mapping[int, LongRates] = field(default_factory=dict)
    tiers: Mapping[str, Decimal] = field(default_factory=dict)

    def tariff(self) -> Tariff:
        """All parts filled in, for every length of prompt and every tier."""
        usual = self._times(Decimal(1))
        return replace(usual, tiers={tier: self._times(factor) for tier, factor in self.tiers.items()})

    def _times(self, factor: Decimal) -> Tariff:
        stated = _stated(self)
        shortest = _filled_in(stated, factor, self.per_request)
        longer = []
        for more_than, rates in sorted(self.above.items()):
            stated = stated | _stated(rates)
            longer.append((more_than, _filled_in(stated, factor, self.per_request)))
        return replace(shortest, dearer=tuple(reversed(longer)))


def _stated(rates: TokenRates | LongRates) -> dict[str, Decimal]:
    values = {part: getattr(rates, part) for part in PARTS}
    return {part: value for part, value in values.items() if value is not None}


def _filled_in(stated: Mapping[str, Decimal], factor: Decimal, per_request: Decimal) -> Tariff:
    """Audio from the provider's cache costs what cached text does, or where that has no price, what audio does."""
    rates = {part: value * factor for part, value in stated.items()}
    prompt, answer = rates["input"], rates["output"]
    cached = rates.get("cached_input", prompt)
    cache_write = rates.get("cache_write", prompt)
    audio = rates.get("audio_input", prompt)
    return Tariff(
        input=prompt,
        output=answer,
        cached_input=cached,
        cache_write=cache_write,
        cache_write_1h=rates.get("cache_write_1h", cache_write),
        audio_input=audio,
        audio_cached=rates.get("audio_cached", rates.get("cached_input", audio)),
        audio_output=rates.get("audio_output", answer),
        reasoning=rates.get("reasoning", answer),
        per_request=per_request,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuRate:
    """What GPUs of one's own cost: dollars per hour of one, how many there are, and what they get done.

    Tokens per second are those of all `gpus` together while they are busy, each kind as if it were the only one:
    a request of p prompt and c completion tokens keeps them busy for p / prompt_tokens_per_second +
    c / completion_tokens_per_second seconds. `ledger.prices.throughput` measures both so that over the events
    measured, these seconds add up to the seconds in which there was something to do.
    """

    gpu_hour: Decimal
    gpus: int = 1
    prompt_tokens_per_second: Decimal
    completion_tokens_per_second: Decimal
    always_on: bool = False
    """The hours in which nobody asks are paid for too: an overhead, beside what requests cost."""

    @property
    def per_hour(self) -> Decimal:
        """Dollars for an hour of all of them."""
        return self.gpu_hour * self.gpus

    def tariff(self) -> Tariff:
        """Dollars per million tokens = per_hour / 3600 / tokens per second * 1,000,000, with six decimals."""
        return TokenRates(
            input=self._per_million(self.prompt_tokens_per_second),
            output=self._per_million(self.completion_tokens_per_second),
        ).tariff()

    def _per_million(self, tokens_per_second: Decimal) -> Decimal:
        return (self.per_hour * _MILLION / (_SECONDS_AN_HOUR * tokens_per_second)).quantize(_FINEST)
