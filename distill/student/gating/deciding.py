"""Which intents a student may answer, and how sure it must be: chosen on the tuning questions alone.

The non-obvious decision: what is maximised is the share of the traffic that can be expected to be delivered in the
end: what is delivered, times the probability that the test will find quality kept. So what is chosen depends
on how much the questions can prove: few of them leave room for hardly a wrong answer, many let more through. To the
wrong answers that were seen one is added (Laplace's rule of succession), for those that luck hid; and the rate of
each intent is drawn towards that of all, since among many some are lucky. The verdict comes from other questions.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray
from scipy.stats import norm

from distill.student.gating.settings import GateSettings
from distill.student.gating.trial import Mask, Trial
from distill.student.gating.weighing import mean, needed, worth
from evals.statistics.clusters import Row

_TRIED = 60
"""Confidences at most; among some hundred questions more would differ by a question or two."""
_PRIOR = 5.0
"""Questions that the rate of all counts for beside an intent's own: three right of three say little alone."""
_NEVER = 1.01
"""A confidence that no answer has."""


class Considered(Struct, frozen=True, kw_only=True):
    """One intent. `asked` are tuning questions that were taken for it, `delivered` those answered surely enough.

    `as_good` is the share of these whose answer was as good as the teacher's, `drawn` the same drawn towards all.
    """

    intent: str
    allowed: bool
    reason: str
    asked: int
    delivered: int
    as_good: float | None = None
    drawn: float | None = None


class Chosen(Struct, frozen=True, kw_only=True):
    """`share` is what the tuning questions say of it, `passes` the probability that the test finds quality kept.

    Without any intent `least_good` is beyond what an answer can have, and `why` says what stood against it.
    """

    intents: tuple[str, ...]
    least_good: float
    considered: tuple[Considered, ...]
    share: float
    passes: float
    why: str


class Design(Struct, frozen=True):
    """What may be known of the test before anything is answered: its intents, and how many groups it is worth."""

    intents: frozenset[str]
    worth: float

    @classmethod
    def of(cls, test: Trial) -> Design:
        return cls(frozenset(test.strata) & test.known, worth(test.weights, test.units))


def choose(tune: Trial, settings: GateSettings, design: Design) -> Chosen:
    """The intents and the confidence of which most can be expected; none where rules are broken by all."""
    best: Chosen | None = None
    for least_good in _confidences(tune, settings.least_sure):
        considered = _considered(tune, settings, design, least_good)
        intents = tuple(one.intent for one in considered if one.allowed)
        delivered = tune.delivered(intents, least_good)
        if not delivered.any() or _broken(tune, delivered, intents, settings):
            continue
        share = float(tune.weights[delivered].sum())
        passes = _passes(tune, delivered, settings, design)
        if best is None or share * passes > best.share * best.passes:
            why = f"{share:.1%} of the tuning traffic is delivered, and the test keeps it with p = {passes:.2f}"
            best = Chosen(
                intents=intents, least_good=least_good, considered=considered, share=share, passes=passes, why=why
            )
    if best is not None:
        return best
    shut = tuple(_shut(one) for one in _considered(tune, settings, design, 0.0))
    why = "under no confidence are enough of its answers as good as the teacher's"
    return Chosen(intents=(), least_good=_NEVER, considered=shut, share=0.0, passes=0.0, why=why)


def _confidences(tune: Trial, least: float) -> list[float]:
    """The strictest first: halfway from one that an answer has to the next lower one, some where there are many.

    What the head in force gives an answer is a little off what another one gave it that had not learned from it.
    None is below `least`: a student must not be let say nonsense where its teacher knows nothing either.
    """
    known = np.array([intent in tune.known for intent in tune.taken], bool)
    found = np.unique(tune.sure[known])[::-1]
    if len(found) > _TRIED:
        found = found[np.unique(np.linspace(0, len(found) - 1, _TRIED).round().astype(int))]
    lower = np.append(found[1:], 0.0)
    return [float(value) for value in np.maximum((found + lower) / 2, least)[found >= least]]


def _broken(tune: Trial, delivered: Mask, intents: tuple[str, ...], settings: GateSettings) -> bool:
    """Whether a rule on delivered answers, or on questions that are to be kept away, is broken by the estimate."""
    worse = mean(1 - tune.as_good[delivered], tune.weights[delivered])
    others = ~np.isin(np.array(tune.strata, dtype=object).astype(str), [*intents])
    leak = mean(delivered[others].astype(float), tune.weights[others])
    return worse > settings.most_wrong or leak > settings.most_leak


def _passes(tune: Trial, delivered: Mask, settings: GateSettings, design: Design) -> float:
    """The probability that the test, of as many groups as it is worth, finds no more lost than the margin.

    The mean has the error of weighted groups, with a change of +1 and one of -1 added, as `weighing.difference` has
    it. What the test must find is above the margin by as much as a student just so bad could be lucky. For a test
    that can prove no such margin it is chosen as for the least one that could.
    """
    changes, weights, units = np.where(delivered, tune.change, 0.0), tune.weights, tune.units
    groups = max(worth(weights, units), 2.0)
    one = float(weights.sum()) / groups
    total = float(weights.sum()) + 2 * one
    expected = (float(changes @ weights) - one) / total
    sums = np.bincount(units, weights * (changes - expected))
    error = sqrt(float(sums @ sums) + one**2 * ((1 - expected) ** 2 + (1 + expected) ** 2)) / total
    of = max(design.worth, float(needed(settings.margin, settings.level)))
    of_test = error * sqrt(groups / of)
    margin = settings.margin
    bound = float(norm.ppf((1 + settings.level) / 2)) * sqrt(margin * (1 - margin) / of)
    return float(norm.cdf((margin + expected - bound) / sqrt(error**2 + of_test**2)))


def _considered(tune: Trial, settings: GateSettings, design: Design, least_good: float) -> tuple[Considered, ...]:
    every = tune.delivered(tune.known, least_good)
    pooled = float(tune.as_good[every].mean()) if every.any() else 0.0
    return tuple(
        _weighed(intent, tune.as_good[places[every[places]]], len(places), pooled, settings, design)
        for intent, places in _rows(tune).items()
    )


def _rows(tune: Trial) -> Mapping[str, NDArray[np.intp]]:
    """Where the questions are that were taken for each known intent."""
    taken = np.array(tune.taken, dtype=object)
    return {intent: np.flatnonzero(taken == intent) for intent in sorted(tune.known)}


def _weighed(
    intent: str, as_good: Row, asked: int, pooled: float, settings: GateSettings, design: Design
) -> Considered:
    many, right = len(as_good), float(as_good.sum())
    drawn = (right + _PRIOR * pooled) / (many + _PRIOR)
    found = f"{right:g} of {many} as good as the teacher's, {drawn:.1%} drawn towards all"
    reason = ""
    if asked < settings.least_questions:
        reason = f"only {asked} tuning questions were taken for it, {settings.least_questions} are needed"
    elif intent not in design.intents:
        reason = "no test question has it, so nothing could be said of it"
    elif not many:
        reason = "none of its answers was sure enough"
    elif drawn < settings.least_intent:
        reason = f"{found}, under {settings.least_intent:.0%}"
    return Considered(
        intent=intent,
        allowed=not reason,
        reason=reason or found,
        asked=asked,
        delivered=many,
        as_good=right / many if many else None,
        drawn=drawn if many else None,
    )


def _shut(one: Considered) -> Considered:
    """The same, where no intent may be answered."""
    why = f"{one.reason}, but over all intents too many were worse"
    return replace(one, allowed=False, reason=why) if one.allowed else one
