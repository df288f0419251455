"""What policies would have earned and cost on recorded outcomes, and how far each is from what was possible.

Every figure is a ratio of two sums over queries, so one resampling of clusters serves them all. Only what was
recorded counts: a policy that asks models not recorded cannot be replayed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from evals.curves import apgr, share_for_quality
from evals.routing.policies import Choices, always, at_random, oracle
from evals.routing.recorded import Recorded
from evals.statistics.interval import Interval
from evals.statistics.ratios import ratio_of_sums

_SAME = 1e-9
"""Scores that differ by no more are equal."""
Row = NDArray[np.float64]


class Replayed(Struct, frozen=True, kw_only=True):
    """One policy. Quality is 0..1, cost dollars a query; None where costs, or what it takes, are not known.

    `below_single` is how much better the best model alone would have been, `below_oracle` who knows all scores
    beforehand. A query is worth escalating where the reference's score is above the cheapest model's: `precision`
    is the share of such queries among those that the policy sent to the reference, `recall` the share of such
    queries that it sent there.
    """

    policy: str
    quality: Interval
    cost: Interval | None
    reference_share: float
    below_single: Interval
    below_oracle: Interval
    precision: Interval | None
    recall: Interval | None
    apgr: float | None = None
    """Of a policy that says what it expects: 0.5 at random (see `evals.curves`)."""
    share_for_95: float | None = None
    """The least share of reference calls with 95 % of the reference's quality."""


class Replay(Struct, frozen=True, kw_only=True):
    """`curves` are points (dollars a query, or share of the reference where costs are not known; quality)."""

    queries: int
    clusters: int
    left_out: int
    reference: str
    cheapest: str
    best_single: str
    costs_known: bool
    policies: Sequence[Replayed]
    curves: Mapping[str, Sequence[tuple[float, float]]]


def replay(recorded: Recorded, tried: Sequence[Choices], *, reference: str = "", level: float = 0.95) -> Replay:
    """Each of `tried` beside each model alone, a policy that draws by lot at the same share, and the oracle.

    `reference` is by default the model of the best mean score. Raises Unreplayable for an unknown one.
    """
    means = recorded.scores.mean(axis=0)
    best = recorded.models[int(means.argmax())]
    reference = reference or best
    cheapest = recorded.cheapest_beside(reference)
    column = recorded.column(reference)
    everything = list(tried)
    for choices in tried:
        share = float(choices.probabilities[:, column].mean())
        everything.append(at_random(recorded, share, reference=reference))
    everything += [always(recorded, model) for model in recorded.models]
    everything.append(oracle(recorded))
    told = {choices.policy: choices for choices in reversed(everything)}
    policies = [
        _replayed(recorded, told[name], reference, cheapest, best, level)
        for name in dict.fromkeys(choices.policy for choices in everything)
    ]
    return Replay(
        queries=len(recorded.names),
        clusters=len(set(recorded.clusters)),
        left_out=recorded.left_out,
        reference=reference,
        cheapest=cheapest,
        best_single=best,
        costs_known=not np.isnan(recorded.costs).any(),
        policies=policies,
        curves=_curves(recorded, tried, reference, cheapest),
    )


def _replayed(
    recorded: Recorded, choices: Choices, reference: str, cheapest: str, best: str, level: float
) -> Replayed:
    probabilities, scores = choices.probabilities, recorded.scores
    quality = (probabilities * scores).sum(axis=1)
    cost = np.where(probabilities > 0, probabilities * recorded.costs, 0.0).sum(axis=1)
    strong, weak = recorded.column(reference), recorded.column(cheapest)
    escalated = probabilities[:, strong]
    worth = (scores[:, strong] > scores[:, weak] + _SAME).astype(float)
    every = np.ones(len(quality))

    def ratio(above: Row, below: Row) -> Interval | None:
        return ratio_of_sums(above, below, recorded.clusters, level=level)

    def mean(values: Row) -> Interval:
        found = ratio(values, every)
        assert found is not None  # noqa: S101 - there are queries, or nothing would be replayed
        return found

    told = choices.gains
    can_tell = told is not None and float((scores[:, strong] - scores[:, weak]).mean()) > 0
    return Replayed(
        policy=choices.policy,
        quality=mean(quality),
        cost=None if np.isnan(cost).any() else mean(cost),
        reference_share=float(escalated.mean()),
        below_single=mean(scores[:, recorded.column(best)] - quality),
        below_oracle=mean(scores.max(axis=1) - quality),
        precision=ratio(escalated * worth, escalated),
        recall=ratio(escalated * worth, worth),
        apgr=apgr(told, scores[:, weak], scores[:, strong]) if told is not None and can_tell else None,
        share_for_95=share_for_quality(told, scores[:, weak], scores[:, strong])
        if told is not None and can_tell
        else None,
    )


def _curves(
    recorded: Recorded, tried: Sequence[Choices], reference: str, cheapest: str
) -> Mapping[str, Sequence[tuple[float, float]]]:
    """From the cheapest model alone to the reference alone: policies that say what they expect, chance, oracle."""
    strong, weak = recorded.column(reference), recorded.column(cheapest)
    gain = recorded.scores[:, strong] - recorded.scores[:, weak]
    orders = {choices.policy: choices.gains for choices in tried if choices.gains is not None}
    curves = {name: _curve(recorded, gains, strong, weak) for name, gains in orders.items()}
    ends = _curve(recorded, np.zeros(len(gain)), strong, weak)
    curves["by lot"] = [ends[0], ends[-1]]
    curves["oracle"] = _curve(recorded, gain, strong, weak)
    return curves


def _curve(recorded: Recorded, gains: Row, strong: int, weak: int) -> list[tuple[float, float]]:
    """Mean cost and quality as ever more queries, those of the largest gains first, go to the reference."""
    order = np.argsort(-gains, kind="stable")
    count = len(order)
    costs = recorded.costs
    if np.isnan(costs[:, [strong, weak]]).any():
        costs = np.zeros_like(recorded.scores)
        costs[:, strong] = 1.0

    def path(values: Row) -> Row:
        grown = np.cumsum((values[:, strong] - values[:, weak])[order]) / count
        return float(values[:, weak].mean()) + np.concatenate([[0.0], grown])

    return list(zip(path(costs).tolist(), path(recorded.scores).tolist(), strict=True))
