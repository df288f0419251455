"""Requests that were decided, with the chance each action had: what off-policy evaluation is made of.

The non-obvious decision: the propensities of all actions are asked for, not only that of the one taken. Without
them nobody can see that the old policy would never have taken what a new one wants.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_TOLERANCE = 1e-6
"""By how much probabilities may fail to add up to 1: they are stored as decimals."""


class Logged(Struct, frozen=True, kw_only=True, eq=False):
    """n decided requests with k actions each, such as cheap and strong.

    `actions` (n,) is the number of the action taken, and `propensities` (n, k) are the probabilities with which the
    old policy takes each: `two_actions` makes them of the one that was logged. `rewards` and `costs` (n,) are those
    of the action taken. `all_rewards` and `all_costs` (n, k) are known where shadow calls were made, NaN elsewhere.
    A request counts for `direct` where all k are known, and those are taken for a fair sample of all requests.

    `groups` (n,) are equal for requests that are not independent, such as those of one conversation. `reward_span`
    and `cost_span` are the least and the most that an outcome can be; they bound the error of clipped weights.
    Without a `cost_span` it is from 0 to the largest cost seen.
    """

    actions: NDArray[np.int64]
    propensities: Floats
    rewards: Floats
    costs: Floats
    all_rewards: Floats | None = None
    all_costs: Floats | None = None
    groups: NDArray[np.int64] | None = None
    reward_span: tuple[float, float] = (0.0, 1.0)
    cost_span: tuple[float, float] | None = None

    def known_cost_span(self) -> tuple[float, float]:
        if self.cost_span is not None:
            return self.cost_span
        seen = [array[np.isfinite(array)] for array in (self.costs, self.all_costs) if array is not None]
        return 0.0, float(max(array.max(initial=0.0) for array in seen))


class Predicted(Struct, frozen=True, kw_only=True, eq=False):
    """Outcomes of each action (n, k), predicted by a model that has not seen the request: of another fold."""

    rewards: Floats
    costs: Floats


def two_actions(actions: NDArray[np.int64], propensities: Floats) -> Floats:
    """The probabilities (n, 2) of both actions, of the one (n,) with which the action taken was."""
    taken = np.asarray(propensities, dtype=np.float64)[:, None]
    return np.where(np.arange(2) == np.asarray(actions)[:, None], taken, 1.0 - taken)


def missing_support(logged: Logged, policy: Floats) -> str:
    """What the policy wants that the old one never did, in words; empty where it wants no such thing."""
    wanted = np.where(logged.propensities > 0, 0.0, policy)
    if not (wanted > 0).any():
        return ""
    actions = ", ".join(str(action) for action in np.flatnonzero((wanted > 0).any(axis=0)))
    requests, share = float((wanted > 0).any(axis=1).mean()), float(wanted.sum()) / len(policy)
    return (
        f"The policy wants actions that the log cannot tell about: on {requests:.1%} of the requests, with "
        f"{share:.1%} of its probability, the old policy would never have taken them (actions {actions}). Let it "
        "explore, make shadow calls, or evaluate a policy that stays closer to it."
    )


def check(logged: Logged, policy: Floats, predicted: Predicted | None) -> None:
    """Raises ValueError for arrays that do not fit, and for numbers that cannot be."""
    if policy.ndim != 2 or not policy.size:
        raise ValueError("the policy must be probabilities (requests, actions), of one request at least")
    n, k = policy.shape
    _check_shapes(logged, predicted, n, k)
    for name, table in (("the policy", policy), ("the propensities", logged.propensities)):
        if (table < 0).any() or not (np.abs(table.sum(axis=1) - 1) <= _TOLERANCE).all():
            raise ValueError(f"{name} must be probabilities that add up to 1 for each request")
    if not ((logged.actions >= 0) & (logged.actions < k)).all():
        raise ValueError(f"actions must be from 0 to {k - 1}")
    if not (logged.propensities[np.arange(n), logged.actions] > 0).all():
        raise ValueError("the propensity of an action that was taken must be above 0: were they logged right?")
    _check_span("reward", logged.reward_span, logged.rewards, logged.all_rewards)
    _check_span("cost", logged.known_cost_span(), logged.costs, logged.all_costs)


def _check_shapes(logged: Logged, predicted: Predicted | None, n: int, k: int) -> None:
    arrays: list[tuple[str, NDArray[Any] | None, tuple[int, ...]]] = [
        ("actions", logged.actions, (n,)),
        ("propensities", logged.propensities, (n, k)),
        ("rewards", logged.rewards, (n,)),
        ("costs", logged.costs, (n,)),
        ("all_rewards", logged.all_rewards, (n, k)),
        ("all_costs", logged.all_costs, (n, k)),
        ("groups", logged.groups, (n,)),
        ("predicted rewards", None if predicted is None else predicted.rewards, (n, k)),
        ("predicted costs", None if predicted is None else predicted.costs, (n, k)),
    ]
    for name, array, shape in arrays:
        if array is not None and array.shape != shape:
            raise ValueError(f"{name} must have the shape {shape}, not {array.shape}")
        if array is not None and not name.startswith(("all_", "groups")) and not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite numbers")


def _check_span(name: str, span: tuple[float, float], *arrays: Floats | None) -> None:
    for array in arrays:
        known = np.empty(0) if array is None else array[np.isfinite(array)]
        if known.size and not (span[0] <= known.min() and known.max() <= span[1]):
            raise ValueError(f"a {name} lies outside its span, {span[0]:g} to {span[1]:g}")
