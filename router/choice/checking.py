"""Judges a cheap model's answer by all that is known of it: its own probabilities, its form, second opinions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from math import isfinite, nan

from msgspec import Struct
from msgspec.structs import replace

from contracts.ports import CheckTerms, Draft, Query
from heads.checks import CheckHead
from heads.signals import Signals
from router.choice.opinions import Opinions
from router.choice.reading import read

_TOLD = (
    *("mean_logp", "entropy", "margin", "lowest", "answer_tokens"),
    *("second_agrees", "second_characters", "vote_share", "self_check", "forecast_good"),
)
"""Signals that a decision shows, and that heads learn from."""


class Judged(Struct, frozen=True, kw_only=True):
    """`good`: the probability that the answer is good enough."""

    good: float
    reasons: tuple[str, ...]
    signals: Mapping[str, float]


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
        self,
        query: Query,
        draft: Draft,
        head: CheckHead | None,
        *,
        intent: str,
        forecast: float | None,
        usual: Sequence[str] = (),
    ) -> Judged:
        """Judge `draft`, of which `forecast` was expected, if anything. Without a `head` it is done by a guess.

        `usual` are answers to such questions that are known to be good.
        """
        text = read(query).text
        signals = Signals.of_tokens(
            draft.logprobs,
            # What a tool call says is in its arguments, which only the client's tool can judge.
            answer=None if draft.tool_calls else draft.text,
            question=text,
            finish=draft.finish or None,
            wants_json=draft.whole and _wants_json(query),
            forecast_good=forecast,
        )
        signals = await self._asked(query, text, draft, signals)
        signals = signals.with_usual(usual) if draft.whole else signals
        checked = (head or self._default).judge(signals, intent)
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
