"""A policy tried on the requests of last month: what it would have earned and cost, and how sure that is.

The non-obvious decision: costs of models that were not asked are the usual ones of that model on this route. What
an answer would have cost differs from question to question by far less than what the models differ by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from distill.logged import Logged
from distill.off_policy import Estimate, evaluate
from distill.traffic import Asked
from heads.quality import QualityHead
from router.choice.goals import Option, by_floor, by_price, rival
from router.config.policies import Goal

Floats = NDArray[np.float64]


class Trial(Struct, frozen=True, kw_only=True):
    """The estimates of policies by name: the learned one, each model alone, and a random one of the same share."""

    requests: int
    shadowed: int
    reference_share: float
    policies: Mapping[str, Estimate]


def tried(
    head: QualityHead,
    goal: Goal,
    models: Sequence[str],
    asked: Sequence[Asked],
    scores: Mapping[str, Mapping[str, float]],
    vectors: NDArray[np.float32],
) -> Trial:
    """Try `head` under `goal` on `asked` (n) and `vectors` (n, dimensions); the reference is the first model.

    Only requests count whose answer was that of one of `models`, and was scored. Raises ValueError where there are
    none, and `distill.off_policy.Unsupported` where the log says nothing of what the policy wants.
    """
    known = [place for place, one in enumerate(asked) if _counts(one, models, scores.get(one.request_id, {}))]
    if not known:
        raise ValueError("no request of this route has a score for the answer that was given: let it shadow some")
    requests, some = [asked[place] for place in known], vectors[known]
    costs = _usual_costs(asked, models)
    log = _logged(requests, models, scores, costs)
    choices = _choices(head, goal, models, requests, some, costs)
    share = float(choices[:, 0].mean())
    policies = {
        "learned": choices,
        f"random at the same share ({share:.2f})": _random(models, share, len(requests)),
    }
    for place, model in enumerate(models):
        policies[f"all {model}"] = np.tile(np.eye(len(models))[place], (len(requests), 1))
    shadowed = int(np.isfinite(log.all_rewards).all(axis=1).sum()) if log.all_rewards is not None else 0
    return Trial(
        requests=len(requests),
        shadowed=shadowed,
        reference_share=share,
        policies={name: evaluate(log, policy) for name, policy in policies.items()},
    )


def _counts(one: Asked, models: Sequence[str], scores: Mapping[str, float]) -> bool:
    return one.chosen in models and one.chosen in scores and one.propensities.get(one.chosen, 0.0) > 0


def _usual_costs(asked: Sequence[Asked], models: Sequence[str]) -> Floats:
    """The mean cost of each model's requests, in dollars; 0 for one that was never asked."""
    costs = [[one.cost for one in asked if one.model == model] for model in models]
    return np.array([float(np.mean(found)) if found else 0.0 for found in costs])


def _logged(
    requests: Sequence[Asked], models: Sequence[str], scores: Mapping[str, Mapping[str, float]], costs: Floats
) -> Logged:
    number = {model: place for place, model in enumerate(models)}
    actions = np.array([number[one.chosen] for one in requests], np.int64)
    propensities = np.array([[one.propensities.get(model, 0.0) for model in models] for one in requests])
    rewards = np.array([[scores[one.request_id].get(model, np.nan) for model in models] for one in requests])
    everything = np.where(np.isfinite(rewards).all(axis=1, keepdims=True), rewards, np.nan)
    taken = np.arange(len(requests))
    return Logged(
        actions=actions,
        propensities=propensities / propensities.sum(axis=1, keepdims=True),
        rewards=rewards[taken, actions],
        costs=costs[actions],
        all_rewards=everything,
        all_costs=np.where(np.isfinite(everything), costs, np.nan),
        cost_span=(0.0, float(costs.max())),
    )


def _choices(
    head: QualityHead,
    goal: Goal,
    models: Sequence[str],
    requests: Sequence[Asked],
    vectors: NDArray[np.float32],
    costs: Floats,
) -> Floats:
    """The probabilities (n, models) with which the policy chooses: one of them is 1."""
    tables = [_options(head, models, one.query, row, costs) for one, row in zip(requests, vectors, strict=True)]
    price = _price(goal, tables, models, costs)
    chosen = np.zeros((len(requests), len(models)))
    for row, options in enumerate(tables):
        reference = next(option for option in options if option.model == models[0])
        if goal.quality_floor is not None:
            pick = by_floor(options, reference, goal.quality_floor, 0.0, False)
        else:
            pick = by_price(options, reference, price, 0.0, False, "this goal")
        chosen[row, list(models).index(pick.option.model)] = 1
    return chosen


def _options(
    head: QualityHead, models: Sequence[str], query: str, vector: NDArray[np.float32], costs: Floats
) -> list[Option]:
    expected = {one.model: one for one in head.forecast(query, vector).expected}
    return [
        Option(
            model=model,
            quality=expected[model].quality,
            deviation=expected[model].deviation,
            cost=float(cost),
        )
        for model, cost in zip(models, costs, strict=True)
        if model in expected
    ]


def _price(goal: Goal, tables: Sequence[Sequence[Option]], models: Sequence[str], costs: Floats) -> float:
    """The exchange rate that the goal amounts to on these requests (see `router.choice.goals`)."""
    if goal.knob is not None:
        return 1 - goal.knob
    share = goal.share
    if share is None:
        span = float(costs[0] - costs.min())
        share = min(1.0, max(0.0, (float(goal.spend or 0) - float(costs.min())) / span)) if span > 0 else 1.0
    rates = []
    for options in tables:
        found = rival(options, next(option for option in options if option.model == models[0]))
        rates.append(found[1] if found is not None else 0.0)
    return float(np.quantile(rates, 1 - share)) if rates else 0.0


def _random(models: Sequence[str], share: float, requests: int) -> Floats:
    others = (1 - share) / max(1, len(models) - 1)
    return np.tile([share, *([others] * (len(models) - 1))], (requests, 1))
