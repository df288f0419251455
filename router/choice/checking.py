"""Judges a cheap model's answer by all that is known of it: its own probabilities, its form, second opinions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from math import isfinite, nan
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from contracts.ports import CheckTerms, Draft, Query
from heads.checks import CheckHead
from heads.signals import Signals
from router.choice.opinions import Opinions
from router.choice.shelf import Learned

if TYPE_CHECKING:
    from contracts.ports import Vector

_TOLD = (
    *("mean_logp", "entropy", "margin", "lowest", "answer_tokens"),
    *("second_agrees", "second_characters", "vote_share", "self_check", "forecast_good"),
)
"""Signals that a decision shows, and that heads learn from."""


class Judged(Struct, frozen=True, kw_only=True):
    """`good`: the probability that the answer is good enough. `degraded` names what failed, or is empty."""

    good: float
    reasons: tuple[str, ...]
    signals: Mapping[str, float]
    degraded: str = ""


class Checking:
    """How a route's answers are judged. `second` is another cheap model, `votes` how many more samples are drawn,
    `itself` whether the model is asked about its own answer.
    """

    def __init__(
        self,
        terms: CheckTerms,
        opinions: Callable[[], Opinions | None],
        *,
        second: str | None,
        votes: int,
        itself: bool,
    ) -> None:
        self.terms = terms
        self._opinions = opinions
        self._second = second
        self._votes = votes
        self._itself = itself
        self._default = CheckHead.default()

    async def judge(
        self, query: Query, text: str, vector: Vector | None, intent: str, draft: Draft, learned: Learned | None
    ) -> Judged:
        """Judge `draft`. Without a head of its own the route judges by a cautious guess."""
        head = learned.check if learned is not None and learned.check is not None else self._default
        signals = Signals.of_tokens(
            draft.logprobs,
            answer=draft.text,
            question=text,
            finish=draft.finish or None,
            wants_json=draft.whole and _wants_json(query),
        )
        if draft.tool_calls:  # what it says is in its arguments, which only the client's tool can judge
            signals = replace(signals, answer=None)
        if learned is not None and learned.quality is not None and vector is not None:
            forecast = learned.quality.forecast(text, vector)
            expected = {each.model: each.quality for each in forecast.expected}
            signals = replace(signals, forecast_good=expected.get(draft.model))
        signals = await self._asked(query, text, draft, signals)
        checked = head.judge(signals, intent)
        return Judged(
            good=checked.good,
            reasons=checked.reasons,
            signals={name: round(value, 4) for name in _TOLD if isfinite(value := _number(signals, name))},
        )

    async def _asked(self, query: Query, text: str, draft: Draft, signals: Signals) -> Signals:
        """`signals` with the opinions of models; those that cannot be had are left out."""
        opinions = self._opinions()
        if opinions is None or draft.tool_calls or not draft.whole:
            return signals  # a beginning cannot be compared with a whole answer
        second, votes, itself = await asyncio.gather(
            opinions.another(query, self._second) if self._second else _none(),
            opinions.votes(query, draft.model, self._votes) if self._votes else _none(),
            opinions.of_itself(query, draft.model, text, draft.text) if self._itself else _none(),
        )
        signals = signals.with_opinions(second).with_votes(votes or ())
        return replace(signals, self_check=itself)


def _number(signals: Signals, name: str) -> float:
    value = getattr(signals, name)
    return float(value) if isinstance(value, int | float) else nan


async def _none() -> None:
    """No opinion."""


def _wants_json(query: Query) -> bool:
    wanted = query.request.raw.get("response_format")
    return isinstance(wanted, dict) and wanted.get("type") in ("json_object", "json_schema")
