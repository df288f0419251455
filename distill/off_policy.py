"""What a new policy would have earned and cost on the requests that an old one decided, and how sure that is.

The non-obvious decision: where the log cannot tell, because the old policy never took what the new one wants, there
is no number at all, unless shadow calls made it known.

With actions a, the old policy's propensities p(a|x), the new one's probabilities q(a|x), the weight w = q/p of the
action taken, its outcome r, and a prediction m(x, a):

    direct           mean of sum_a q(a|x) r(a), over the requests where shadow calls told the outcome of all actions
    ips              mean of w r                                (Horvitz & Thompson 1952)
    self_normalised  sum of w r / sum of w                      (Swaminathan & Joachims 2015, NIPS)
    doubly_robust    mean of sum_a q(a|x) m(x, a) + w (r - m)   (Dudik et al. 2014, arXiv 1503.02834)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from distill.logged import Floats, Logged, Predicted, check, missing_support, two_actions
from distill.ratios import Interval, Intervals, Ratio

__all__ = [
    "Difference",
    "Estimate",
    "Interval",
    "Logged",
    "Predicted",
    "Unsupported",
    "compare",
    "evaluate",
    "two_actions",
]

Method = Literal["direct", "ips", "self_normalised", "doubly_robust"]
CONFIDENCE = 0.95


class Unsupported(ValueError):
    """The log says nothing about what the policy wants. The message says how much, and what to do."""


class Estimate(Struct, frozen=True, kw_only=True):
    """A policy's value by each method that could be used, and what to think of its weights.

    `effective` is Kish's effective sample size, (sum w)^2 / sum w^2: below some dozens, a normal interval is too
    narrow. `mean_weight` is 1 but for chance where the propensities are right. `clipped` is the share of requests
    whose weight was cut. `unsupported` says why there is `direct` alone, or is empty.
    """

    requests: int
    rewards: Mapping[Method, Interval]
    costs: Mapping[Method, Interval]
    effective: float
    mean_weight: float
    largest_weight: float
    clipped: float
    unsupported: str


class Difference(Struct, frozen=True, kw_only=True):
    """How much more a policy earns and costs than another, by each method that can be used for both."""

    rewards: Mapping[Method, Interval]
    costs: Mapping[Method, Interval]
    unsupported: str


class _Outcome(Struct, frozen=True, eq=False):
    """Rewards or costs: of the actions taken (n,), of all where known, as predicted (n, k), and their span."""

    of_taken: Floats
    of_all: Floats | None
    predicted: Floats | None
    span: tuple[float, float]


class _Ratios(Struct, frozen=True, eq=False):
    rewards: dict[Method, Ratio]
    costs: dict[Method, Ratio]
    weights: Floats
    kept: Floats
    unsupported: str


def evaluate(
    logged: Logged,
    policy: Floats,
    *,
    predicted: Predicted | None = None,
    clip: float | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = 0,
    seed: int = 0,
) -> Estimate:
    """The value of a policy whose probabilities for each action are `policy` (n, k).

    `clip` cuts weights above it: less variance, and a bias of at most the share of the policy's probability that is
    lost, times the outcome's span. That is added to the interval. `resamples` takes percentiles of so many
    bootstrap samples for the interval; 0 takes the normal one. Without `predicted` nothing is doubly robust.

    Raises ValueError for arrays that do not fit or cannot be, and Unsupported where the policy wants what the log
    cannot tell and shadow calls do not.
    """
    ratios = _ratios(logged, policy, predicted, clip)
    intervals = Intervals(logged.groups, confidence=confidence, resamples=resamples, seed=seed)
    squares = float((ratios.kept**2).sum())
    return Estimate(
        requests=len(ratios.kept),
        rewards={method: intervals.of(ratio) for method, ratio in ratios.rewards.items()},
        costs={method: intervals.of(ratio) for method, ratio in ratios.costs.items()},
        effective=float(ratios.kept.sum()) ** 2 / squares if squares else 0.0,
        mean_weight=float(ratios.weights.mean()),
        largest_weight=float(ratios.weights.max()),
        clipped=float((ratios.weights > ratios.kept).mean()),
        unsupported=ratios.unsupported,
    )


def compare(
    logged: Logged,
    policy: Floats,
    other: Floats,
    *,
    predicted: Predicted | None = None,
    clip: float | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = 0,
    seed: int = 0,
) -> Difference:
    """How far `policy` is above `other`, on the same requests: surer than two estimates. As `evaluate` otherwise.

    For a comparison with the old policy itself, let `other` be `logged.propensities`.
    """
    ours, theirs = (_ratios(logged, one, predicted, clip) for one in (policy, other))
    intervals = Intervals(logged.groups, confidence=confidence, resamples=resamples, seed=seed)
    unsupported = ours.unsupported or theirs.unsupported
    found = [
        {method: intervals.of(ratio, old[method]) for method, ratio in new.items() if method in old}
        for new, old in ((ours.rewards, theirs.rewards), (ours.costs, theirs.costs))
    ]
    if not found[0]:
        raise Unsupported(unsupported)
    return Difference(rewards=found[0], costs=found[1], unsupported=unsupported)


def _ratios(logged: Logged, policy: Floats, predicted: Predicted | None, clip: float | None) -> _Ratios:
    policy = np.asarray(policy, dtype=np.float64)
    check(logged, policy, predicted)
    if clip is not None and not clip >= 1:
        raise ValueError("weights may be clipped at 1 or above: below, all of the policy is cut")
    taken = np.arange(len(policy)), logged.actions
    weights = policy[taken] / logged.propensities[taken]
    kept, lost = weights, 0.0
    if clip is not None:
        kept = np.minimum(weights, clip)
        lost = float(np.maximum(policy - clip * logged.propensities, 0.0).sum(axis=1).mean())
    unsupported = missing_support(logged, policy)
    reward = _Outcome(
        logged.rewards, logged.all_rewards, None if predicted is None else predicted.rewards, logged.reward_span
    )
    cost = _Outcome(
        logged.costs, logged.all_costs, None if predicted is None else predicted.costs, logged.known_cost_span()
    )
    rewards, costs = _direct(policy, reward), _direct(policy, cost)
    if not unsupported:
        rewards |= _weighted(policy, logged.actions, kept, lost, reward)
        costs |= _weighted(policy, logged.actions, kept, lost, cost)
    if not rewards:
        raise Unsupported(unsupported)
    return _Ratios(rewards, costs, weights, kept, unsupported)


def _direct(policy: Floats, outcome: _Outcome) -> dict[Method, Ratio]:
    if outcome.of_all is None:
        return {}
    known = np.isfinite(outcome.of_all).min(axis=1)
    if not known.any():
        return {}
    earned = (policy * np.where(known[:, None], outcome.of_all, 0.0)).sum(axis=1)
    return {"direct": Ratio(earned, known.astype(np.float64), 0.0)}


def _weighted(
    policy: Floats, actions: NDArray[np.int64], weights: Floats, lost: float, outcome: _Outcome
) -> dict[Method, Ratio]:
    """Of the clipped policy, `lost` of whose probability is missing.

    To `ips` what is missing has the outcome 0, to `self_normalised` the mean of the rest, and to `doubly_robust`
    what the model says, which is brought into the span. So they are off by at most `lost` times the outcome that is
    farthest from 0, and the other two by `lost` times the span.
    """
    ones = np.ones(len(weights))
    least, most = outcome.span
    weighted = weights * outcome.of_taken
    ratios: dict[Method, Ratio] = {"ips": Ratio(weighted, ones, lost * max(abs(least), abs(most)))}
    if weights.any():
        ratios["self_normalised"] = Ratio(weighted, weights, lost * (most - least))
    if outcome.predicted is not None:
        model = np.clip(outcome.predicted, least, most)
        residuals = outcome.of_taken - model[np.arange(len(weights)), actions]
        terms = (policy * model).sum(axis=1) + weights * residuals
        ratios["doubly_robust"] = Ratio(terms, ones, lost * (most - least))
    return ratios
