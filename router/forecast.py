"""How many tokens a request will take, before a model is called: what a budget sets aside for it.

The non-obvious decision: it is learnt what nineteen in twenty answers stay below, not what they take on average. A
budget that is to hold must set aside rather too much; what is too much comes back a moment later.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

from contracts.ports import TokenCounter
from contracts.request import ModelRequest
from contracts.usage import MOST_TOKENS, TokenUsage

_REMEMBERED = 128
_FIRST_RATIO = 1.25
"""Of a prompt's tokens to those that were estimated, before a model has said how it counts them."""
_SHARE = 0.95
_DEAR_TIER = "priority"


class Recent:
    """The last values of something, and what 95 % of them do not exceed. None where there are none."""

    __slots__ = ("_high", "_values")

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=_REMEMBERED)
        self._high: float | None = None

    def add(self, value: float) -> None:
        self._values.append(value)
        self._high = None

    @property
    def high(self) -> float | None:
        """The nearest-rank percentile: the smallest value that so many do not exceed."""
        if self._high is None and self._values:
            self._high = sorted(self._values)[math.ceil(_SHARE * len(self._values)) - 1]
        return self._high


class Forecast:
    """Learns from answers. `first_guess`: tokens of an answer whose like has not been seen, without a limit."""

    def __init__(self, tokens: TokenCounter, *, first_guess: int = 1024) -> None:
        self._tokens = tokens
        self._first_guess = first_guess
        self._lengths: dict[tuple[str, str], Recent] = {}
        """Tokens of one choice, by route and model, where the request set no limit."""
        self._ratios: dict[str, Recent] = {}
        """Of the prompt's tokens as a model's upstream counts them to those that were estimated."""

    def prompt(self, body: Mapping[str, Any]) -> int:
        """Tokens of a rendered request, estimated for no model in particular."""
        return self._tokens.estimate(body, "").prompt

    def usage(
        self, route: str, model: str, request: ModelRequest, body: Mapping[str, Any], prompt: int
    ) -> TokenUsage:
        """What `model` will take for a request whose prompt was estimated to have so many tokens.

        All the output that the request allows; without a limit, what such answers take. Of service tiers only the
        dear one is believed before the answer says that it came by it.
        """
        seen = self._ratios.get(model)
        ratio = (seen.high if seen is not None else None) or _FIRST_RATIO
        completion = 0
        if request.endpoint != "embeddings":
            completion = samples_of(request, body) * self._length(route, model, body)
        return TokenUsage(
            prompt=min(math.ceil(prompt * ratio), MOST_TOKENS),
            completion=min(completion, MOST_TOKENS),
            source="estimated",
            tier=_DEAR_TIER if body.get("service_tier") == _DEAR_TIER else "",
        )

    def learn(
        self, route: str, model: str, request: ModelRequest, body: Mapping[str, Any], prompt: int, usage: TokenUsage
    ) -> None:
        """A whole answer came, with `usage`; `prompt` is what was estimated."""
        if usage.source != "reported":
            return
        if prompt > 0:
            self._ratios.setdefault(model, Recent()).add(usage.prompt / prompt)
        if request.endpoint != "embeddings" and limit_of(body) is None:
            length = usage.completion / samples_of(request, body)
            self._lengths.setdefault((route, model), Recent()).add(length)

    def _length(self, route: str, model: str, body: Mapping[str, Any]) -> int:
        limit = limit_of(body)
        if limit is not None:
            return limit
        seen = self._lengths.get((route, model))
        high = seen.high if seen is not None else None
        return self._first_guess if high is None else math.ceil(high)


def limit_of(body: Mapping[str, Any]) -> int | None:
    """The most tokens that one choice may have; None where the request does not say. Of two limits, the larger."""
    limits = [limit for name in ("max_completion_tokens", "max_tokens") if type(limit := body.get(name)) is int]
    return max(limits, default=None)


def samples_of(request: ModelRequest, body: Mapping[str, Any]) -> int:
    """How many answers are written and paid for: `n`, or `best_of` of which `n` are shown, for each prompt."""
    best_of = body.get("best_of")
    if request.endpoint != "completions" or type(best_of) is not int or best_of <= request.n:
        return request.choices
    return request.choices // request.n * best_of
