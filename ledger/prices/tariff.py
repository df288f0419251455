"""A tariff: what each kind of token costs, with nothing left open, and how a request's usage is billed by it.

Longer prompts and service tiers are whole tariffs of their own inside it, worked out beforehand: billing finds the
right one and multiplies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from contracts.money import ZERO
from contracts.usage import TokenUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """Dollars per million tokens of each kind, all of them known, and dollars per request.

    `dearer` are the tariffs of long prompts: (tokens that the prompt must exceed, tariff), longest first. As
    providers bill it, the longer tariff then holds for all tokens of the request. `tiers` are those of service
    tiers; one that is not there is billed as the usual one.
    """

    input: Decimal
    output: Decimal
    cached_input: Decimal
    cache_write: Decimal
    cache_write_1h: Decimal
    audio_input: Decimal
    audio_cached: Decimal
    audio_output: Decimal
    reasoning: Decimal
    per_request: Decimal = ZERO
    dearer: tuple[tuple[int, Tariff], ...] = ()
    tiers: Mapping[str, Tariff] = field(default_factory=dict)

    def dollars(self, usage: TokenUsage) -> Decimal:
        """Exact, not rounded.

        Providers report cached and audio tokens of a prompt separately. Where together they exceed the prompt,
        the excess must have been both, and is billed as cached audio.
        """
        if usage.tier and usage.tier in self.tiers:
            return self.tiers[usage.tier]._of_length(usage)
        return self._of_length(usage)

    def _of_length(self, usage: TokenUsage) -> Decimal:
        for more_than, tariff in self.dearer:
            if usage.prompt > more_than:
                return tariff._bill(usage)
        return self._bill(usage)

    def _bill(self, usage: TokenUsage) -> Decimal:
        long_write = _written_for_an_hour(usage) if self.cache_write_1h != self.cache_write else 0
        text = usage.prompt - usage.cached - usage.cache_write - usage.audio_prompt
        excess = max(0, -text)
        cached_audio = min(excess, usage.cached)
        reasoning = min(usage.reasoning, usage.completion - usage.audio_completion)
        written = usage.completion - usage.audio_completion - reasoning
        millionths = (
            max(0, text) * self.input
            + (usage.cached - cached_audio) * self.cached_input
            + cached_audio * self.audio_cached
            + (usage.cache_write - long_write) * self.cache_write
            + long_write * self.cache_write_1h
            + (usage.audio_prompt - excess) * self.audio_input
            + written * self.output
            + reasoning * self.reasoning
            + usage.audio_completion * self.audio_output
        )
        return millionths.scaleb(-6) + self.per_request


def _written_for_an_hour(usage: TokenUsage) -> int:
    """How many of `cache_write` are kept for an hour and not five minutes, as Anthropic and litellm report it."""
    raw = usage.raw or {}
    details = raw.get("prompt_tokens_details")
    split = raw.get("cache_creation") or (
        isinstance(details, Mapping) and details.get("cache_creation_token_details")
    )
    count = split.get("ephemeral_1h_input_tokens") if isinstance(split, Mapping) else 0
    return min(count, usage.cache_write) if type(count) is int and count > 0 else 0


FREE = Tariff(
    input=ZERO,
    output=ZERO,
    cached_input=ZERO,
    cache_write=ZERO,
    cache_write_1h=ZERO,
    audio_input=ZERO,
    audio_cached=ZERO,
    audio_output=ZERO,
    reasoning=ZERO,
)
