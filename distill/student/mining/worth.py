"""What each intent in traffic is worth to a student, and which it should learn: by a rule that is written down.

The non-obvious decision: intents are ranked by the money that a student would save times how far the teacher
agrees with itself. Where its answers differ from one question to the next there is less to learn, and what is
learned is wrong more often; spend alone would pick the hardest intents first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import combinations
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from contracts.money import ZERO, usd
from distill.student.mining.questions import Question
from distill.student.mining.traffic import Request
from evals.importing.lines import UNKNOWN
from evals.runner.estimate import ANSWER_TOKENS
from evals.targets.port import Price
from heads.answers import agreement
from router.estimates import TokenEstimator

if TYPE_CHECKING:
    from evals.scorers.port import Vectors

_COMPARED = 24
"""Answers and questions of an intent that are compared with each other, spread over all: 276 pairs."""
_EXAMPLES = 3


class Intent(Struct, frozen=True, kw_only=True):
    """Figures of the first turns of one intent; money in dollars, None where no price is known.

    `share` is that of all first turns, `repetitiveness` that of requests whose question came before. `agreement` is
    how far the teacher's answers say the same (see `agreement_of`), None where fewer than two are known, and
    `likeness` how much nearer its questions are to each other than any two of the traffic, 0..1. `why` says why it
    was picked, or was not.
    """

    intent: str
    picked: bool = False
    why: str = ""
    requests: int
    conversations: int
    distinct: int
    share: float
    spend_usd: Decimal | None
    saved_usd: Decimal | None
    repetitiveness: float
    agreement: float | None
    likeness: float
    langs: Mapping[str, int]
    terms: Sequence[str] = ()
    examples: Sequence[str] = ()


class Rule(Struct, frozen=True, kw_only=True):
    """From which figures on an intent is picked, and how many are; `share` is that of the spend that is enough."""

    least_requests: int
    least_distinct: int
    least_agreement: float
    least_likeness: float
    most_intents: int
    share: float


class Purse:
    """What requests cost: as it was paid, else by `teacher`'s price; and what they would by `student`'s.

    Tokens are estimated, an answer that nobody knows as an everyday one.
    """

    def __init__(self, teacher: Price | None, student: Price | None) -> None:
        self._teacher, self._student = teacher, student
        # Without its table the estimate is the same on every machine.
        self._counter = TokenEstimator(())

    def spend(self, requests: Sequence[Request]) -> Decimal | None:
        """None where of one of them neither its cost nor a price is known."""
        costs = [one.cost_usd if one.cost_usd is not None else self._by(self._teacher, one) for one in requests]
        known = [cost for cost in costs if cost is not None]
        return usd(sum(known, ZERO)) if len(known) == len(costs) else None

    def saved(self, requests: Sequence[Request]) -> Decimal | None:
        """What would be left of the spend; below zero where a student is the dearer one."""
        spend = self.spend(requests)
        costs = [self._by(self._student, one) or ZERO for one in requests]
        return None if spend is None else usd(spend - sum(costs, ZERO))

    def _by(self, price: Price | None, one: Request) -> Decimal | None:
        if price is None:
            return None
        usage = self._counter.estimate({"messages": list(one.messages)}, one.answer)
        return price.cost(usage.prompt, usage.completion if one.answer else ANSWER_TOKENS)


def figures(
    name: str,
    questions: Sequence[Question],
    vectors: Vectors,
    answered: Mapping[str, NDArray[np.float32]],
    purse: Purse,
    *,
    first_turns: int,
    usual: float,
) -> Intent:
    """Of one intent, whose questions have these `vectors`; `usual` is the likeness of any two of the traffic."""
    requests = [request for question in questions for request in question.requests]
    often = sorted(questions, key=lambda question: -question.times)
    return Intent(
        intent=name,
        requests=len(requests),
        conversations=len({(one.tenant, one.conversation) for one in requests}),
        distinct=len(questions),
        share=round(len(requests) / first_turns, 6),
        spend_usd=purse.spend(requests),
        saved_usd=purse.saved(requests),
        repetitiveness=round(1 - len(questions) / len(requests), 6),
        agreement=agreement_of(questions, answered),
        likeness=round(max(0.0, (likeness_of(vectors) - usual) / (1 - usual)), 6) if usual < 1 else 0.0,
        langs=dict(sorted(Counter(one.lang for one in requests).items())),
        examples=[question.text for question in often[:_EXAMPLES]],
    )


def agreement_of(questions: Sequence[Question], answered: Mapping[str, NDArray[np.float32]]) -> float | None:
    """The mean over pairs of different questions of one language: how far their answers say the same, 0..1.

    The greater of their agreement by words and the cosine of their vectors, since a teacher seldom says a thing
    twice in the same words; 0 where both come down to a number or choice that differs.
    """
    known = _spread([question for question in questions if question.answer])
    pairs = [
        _same(one.answer, other.answer, answered) for one, other in combinations(known, 2) if one.lang == other.lang
    ]
    return round(fmean(pairs), 6) if pairs else None


def likeness_of(vectors: Vectors) -> float:
    """The mean cosine of two different rows, each of length one; 1 where there are no two."""
    number = len(vectors)
    if number < 2:
        return 1.0
    total = np.asarray(vectors, np.float64).sum(axis=0)
    return float((total @ total - number) / (number * (number - 1)))


def picked(intents: Sequence[Intent], rule: Rule) -> list[Intent]:
    """`intents` with the verdict on each, the most worth first, and what fits no intent last."""
    order = sorted(intents, key=lambda one: (one.intent == UNKNOWN, *_rank(one), one.intent))
    spent = sum((_weight(one) for one in intents), 0.0) or 1.0
    told, taken, covered = [], 0, 0.0
    for one in order:
        obstacle = _obstacle(one, rule)
        if not obstacle and taken >= rule.most_intents:
            obstacle = f"`most_intents` ({rule.most_intents}) are worth more"
        if not obstacle and covered / spent >= rule.share:
            obstacle = f"those that are worth more have {rule.share:.0%} of the spend already"
        if obstacle:
            told.append(replace(one, why=obstacle))
            continue
        taken, covered = taken + 1, covered + _weight(one)
        worth = f"saves ${one.saved_usd:f}" if one.saved_usd is not None else f"{one.requests} requests"
        sure = f", answers agree to {one.agreement:.2f}" if one.agreement is not None else ""
        told.append(replace(one, picked=True, why=f"number {taken} by worth: {worth}{sure}"))
    return told


def _rank(one: Intent) -> tuple[Any, ...]:
    agreed = one.agreement if one.agreement is not None else 0.0
    return (
        -float(one.saved_usd) * agreed if one.saved_usd is not None else 0.0,
        -one.requests * agreed,
        -one.requests,
    )


def _weight(one: Intent) -> float:
    """Of its spend; where no price is known a request is as dear as another."""
    return float(one.spend_usd) if one.spend_usd is not None else float(one.requests)


def _obstacle(one: Intent, rule: Rule) -> str:
    if one.intent == UNKNOWN:
        return "fits no intent: the large model answers it"
    if one.requests < rule.least_requests:
        return f"{one.requests} requests are fewer than `least_requests` ({rule.least_requests})"
    if one.distinct < rule.least_distinct:
        return f"{one.distinct} different questions are fewer than `least_distinct` ({rule.least_distinct})"
    if one.likeness < rule.least_likeness:
        return (
            f"its questions have hardly more in common than any two (likeness {one.likeness:.2f} is below "
            f"`least_likeness`, {rule.least_likeness:g}): it is one answer to many things, and no intent"
        )
    if one.agreement is None and rule.least_agreement > 0:
        return (
            "fewer than two of the teacher's answers are known: name a `teacher`, or let Weir write answers down "
            "(`routes.NAME.learning.answers`)"
        )
    if one.agreement is not None and one.agreement < rule.least_agreement:
        below = f"below `least_agreement` ({rule.least_agreement:g})"
        return f"the teacher's answers agree to {one.agreement:.2f}, {below}"
    if one.saved_usd is not None and one.saved_usd <= 0:
        return "a student would save nothing"
    return ""


def _same(one: str, other: str, answered: Mapping[str, NDArray[np.float32]]) -> float:
    by_words = agreement(one, other)
    return by_words if by_words in (0.0, 1.0) else max(by_words, float(answered[one] @ answered[other]))


def _spread(questions: Sequence[Question]) -> Sequence[Question]:
    places = np.linspace(0, len(questions) - 1, min(len(questions), _COMPARED)).round().astype(int)
    return [questions[place] for place in places]
