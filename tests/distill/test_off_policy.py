"""Off-policy estimates against policies whose value is known: unbiased, with intervals that hold, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from distill.logged import Floats
from distill.off_policy import Estimate, Logged, Predicted, Unsupported, compare, evaluate, two_actions

N = 400
METHODS = {"ips", "self_normalised", "doubly_robust"}


class World:
    """Requests of known difficulty; the strong action is good on all, the cheap one on easy ones."""

    def __init__(self, n: int, seed: int, least: float = 0.1) -> None:
        self.rng = np.random.default_rng(seed)
        self.hard = self.rng.random(n)
        self.chances = np.stack([1 - self.hard, np.full(n, 0.9)], axis=1)
        strong = np.clip(0.3 * self.hard + 0.2, least, 1 - least)
        self.propensities = np.stack([1 - strong, strong], axis=1)

    def logged(self, shadowed: float = 0.0, **more: Any) -> Logged:
        n = len(self.hard)
        outcomes = (self.rng.random((n, 2)) < self.chances).astype(np.float64)
        costs = np.stack([np.full(n, 1.0), 5 + self.rng.random(n)], axis=1)
        actions = (self.rng.random(n) < self.propensities[:, 1]).astype(np.int64)
        taken = np.arange(n), actions
        shadows = self.rng.random(n) < shadowed
        return Logged(
            actions=actions,
            propensities=self.propensities,
            rewards=outcomes[taken],
            costs=costs[taken],
            all_rewards=np.where(shadows[:, None], outcomes, np.nan) if shadowed else None,
            all_costs=np.where(shadows[:, None], costs, np.nan) if shadowed else None,
            cost_span=(0.0, 6.0),
            **more,
        )

    def policy(self) -> Floats:
        """Hard requests to the strong model: not what was done."""
        strong = np.where(self.hard > 0.5, 0.9, 0.1)
        return np.stack([1 - strong, strong], axis=1)

    def predicted(self, off_by: float = 0.1) -> Predicted:
        """Right but for a constant, as models are not."""
        n = len(self.hard)
        return Predicted(rewards=self.chances + off_by, costs=np.tile([1.0, 5.0], (n, 1)))


# By integration over the difficulty, uniform from 0 to 1: half of the requests are hard.
REWARD = 0.5 * (0.9 * 0.75 + 0.1 * 0.9) + 0.5 * (0.1 * 0.25 + 0.9 * 0.9)
COST = 0.5 * 1.0 + 0.5 * 5.5


def estimates(**options: Any) -> list[Estimate]:
    found = []
    for seed in range(200):
        world = World(N, seed)
        logged = world.logged(shadowed=0.25)
        found.append(evaluate(logged, world.policy(), predicted=world.predicted(), **options))
    return found


@pytest.fixture(scope="module")
def plain() -> list[Estimate]:
    return estimates()


def values(found: list[Estimate], method: str, outcome: str = "rewards") -> Floats:
    return np.array([getattr(estimate, outcome)[method].value for estimate in found])


def coverage(found: list[Estimate], method: str, outcome: str = "rewards") -> float:
    truth = REWARD if outcome == "rewards" else COST
    intervals = [getattr(estimate, outcome)[method] for estimate in found]
    return float(np.mean([one.low <= truth <= one.high for one in intervals]))


@pytest.mark.parametrize("method", [*sorted(METHODS), "direct"])
@pytest.mark.parametrize(("outcome", "truth"), [("rewards", REWARD), ("costs", COST)])
def test_the_mean_over_many_logs_is_the_truth(
    plain: list[Estimate], method: str, outcome: str, truth: float
) -> None:
    found = values(plain, method, outcome)
    assert abs(found.mean() - truth) < 4 * found.std() / np.sqrt(len(found))


@pytest.mark.parametrize("method", [*sorted(METHODS), "direct"])
@pytest.mark.parametrize("outcome", ["rewards", "costs"])
def test_normal_intervals_hold_what_they_promise(plain: list[Estimate], method: str, outcome: str) -> None:
    assert 0.91 <= coverage(plain, method, outcome) <= 0.99


def test_bootstrap_intervals_hold_what_they_promise() -> None:
    found = estimates(resamples=200)
    for method in METHODS:
        assert 0.9 <= coverage(found, method) <= 0.99


def test_a_smaller_confidence_covers_less() -> None:
    found = estimates(confidence=0.5)
    assert 0.4 <= coverage(found, "ips") <= 0.6


def test_predictions_and_normalising_make_it_surer(plain: list[Estimate]) -> None:
    by_method = {method: values(plain, method).std() for method in METHODS}
    assert by_method["doubly_robust"] < by_method["self_normalised"] < by_method["ips"]


def test_bad_predictions_do_no_harm_but_to_the_width() -> None:
    world = World(20_000, 1)
    bad = replace(world.predicted(), rewards=np.zeros((20_000, 2)))
    found = evaluate(world.logged(), world.policy(), predicted=bad).rewards["doubly_robust"]
    assert found.value == pytest.approx(REWARD, abs=0.02)


def test_where_all_was_observed_the_answer_is_exact() -> None:
    logged = Logged(
        actions=np.array([0, 1, 0]),
        propensities=np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]),
        rewards=np.array([1.0, 1.0, 0.0]),
        costs=np.array([1.0, 3.0, 1.0]),
        all_rewards=np.array([[1.0, 1.0], [0.0, 1.0], [np.nan, np.nan]]),
        all_costs=np.array([[1.0, 3.0], [1.0, 3.0], [1.0, np.nan]]),
    )
    found = evaluate(logged, np.tile([0.5, 0.5], (3, 1)))
    assert found.rewards.keys() == {"direct"}
    assert found.rewards["direct"].value == pytest.approx(0.75)
    assert found.costs["direct"].value == pytest.approx(2.0)
    assert found.rewards["direct"].requests == 2
    assert "never have taken" in found.unsupported


def test_the_old_policy_itself_is_worth_what_it_earned() -> None:
    world = World(N, 3)
    logged = world.logged()
    found = evaluate(logged, world.propensities)
    assert found.rewards["ips"].value == pytest.approx(logged.rewards.mean())
    assert (found.effective, found.mean_weight, found.largest_weight) == pytest.approx((N, 1, 1))


def test_what_the_log_never_took_is_refused() -> None:
    world = World(N, 4)
    world.propensities[:100] = [1.0, 0.0]
    logged = world.logged()
    with pytest.raises(Unsupported, match=r"on 25\.0% of the requests.*\(actions 1\)"):
        evaluate(logged, world.policy())
    stays = np.where(world.propensities > 0, world.policy(), 0)
    evaluate(logged, stays / stays.sum(axis=1, keepdims=True))


class TestClipped:
    def test_the_intervals_hold_although_it_is_biased(self) -> None:
        found = estimates(clip=2.0)
        assert all(estimate.clipped > 0.05 for estimate in found)
        assert all(estimate.largest_weight > 2.0 for estimate in found)
        assert values(found, "ips").mean() < REWARD - 0.02
        for method in METHODS:
            assert coverage(found, method) >= 0.95

    @pytest.mark.parametrize("method", sorted(METHODS))
    @pytest.mark.parametrize("outcome", ["rewards", "costs"])
    def test_no_method_is_off_by_more_than_its_bound(self, method: str, outcome: str) -> None:
        world = World(100_000, 5)
        found = evaluate(world.logged(), world.policy(), predicted=world.predicted(-0.4), clip=1.2)
        one = getattr(found, outcome)[method]
        off = abs(one.value - (REWARD if outcome == "rewards" else COST))
        assert 0.01 < off <= one.bias + 0.02

    def test_a_high_bound_changes_nothing(self) -> None:
        world = World(N, 6)
        logged = world.logged()
        assert evaluate(logged, world.policy(), clip=1000.0) == evaluate(logged, world.policy())

    @pytest.mark.parametrize("clip", [0.5, 0.0, float("nan")])
    def test_below_one_it_is_refused(self, clip: float) -> None:
        world = World(N, 7)
        with pytest.raises(ValueError, match="at 1 or above"):
            evaluate(world.logged(), world.policy(), clip=clip)

    def test_predictions_out_of_the_span_do_not_break_the_bound(self) -> None:
        world = World(20_000, 5)
        wild = replace(world.predicted(), rewards=world.chances + 50)
        found = evaluate(world.logged(), world.policy(), predicted=wild, clip=1.2).rewards["doubly_robust"]
        assert found.low <= REWARD <= found.high


class TestCompared:
    def test_the_difference_is_that_of_the_values_and_surer(self) -> None:
        world = World(2000, 8)
        logged, ours, theirs = world.logged(), world.policy(), 0.8 * world.policy() + 0.2 * world.propensities
        found = compare(logged, ours, theirs, predicted=world.predicted())
        one, other = (evaluate(logged, policy, predicted=world.predicted()) for policy in (ours, theirs))
        for method, difference in found.rewards.items():
            assert difference.value == pytest.approx(one.rewards[method].value - other.rewards[method].value)
            alone = one.rewards[method]
            assert difference.high - difference.low < 0.5 * (alone.high - alone.low)

    def test_clipping_may_be_off_on_both_sides(self) -> None:
        world = World(N, 8)
        logged, ours, theirs = world.logged(), world.policy(), world.policy()[::-1]
        found = compare(logged, ours, theirs, clip=1.2).rewards["ips"]
        one, other = (evaluate(logged, policy, clip=1.2).rewards["ips"] for policy in (ours, theirs))
        assert min(one.bias, other.bias) > 0
        assert found.bias == pytest.approx(one.bias + other.bias)

    def test_its_intervals_hold(self) -> None:
        held = dict.fromkeys(METHODS, 0)
        for seed in range(200):
            world = World(N, seed)
            logged = world.logged()
            truth = float(((world.policy() - world.propensities) * world.chances).sum(axis=1).mean())
            found = compare(logged, world.policy(), world.propensities, predicted=world.predicted())
            for method in METHODS:
                difference = found.rewards[method]  # type: ignore[index]
                held[method] += difference.low <= truth <= difference.high
        assert all(180 <= count <= 200 for count in held.values())

    def test_a_policy_is_no_better_than_itself(self) -> None:
        world = World(N, 9)
        found = compare(world.logged(), world.policy(), world.policy(), resamples=50).rewards["self_normalised"]
        assert (found.value, found.low, found.high) == pytest.approx((0, 0, 0))


def test_requests_in_groups_are_not_taken_for_independent() -> None:
    world = World(N, 10)
    logged = world.logged()
    once = evaluate(logged, world.policy())
    copies = {
        name: np.repeat(getattr(logged, name), 9, axis=0)
        for name in ("actions", "propensities", "rewards", "costs")
    }
    groups = np.repeat(np.arange(N), 9)
    for resamples in (0, 400):
        grouped = evaluate(
            replace(logged, **copies, groups=groups), np.repeat(world.policy(), 9, axis=0), resamples=resamples
        )
        for method, interval in grouped.rewards.items():
            width = once.rewards[method].high - once.rewards[method].low
            assert interval.value == pytest.approx(once.rewards[method].value)
            assert interval.high - interval.low == pytest.approx(width, rel=0.2 if resamples else 1e-6)


@pytest.mark.parametrize(("requests", "factor"), [(6, 2.5706), (26, 2.0595), (1001, 1.9623)])
def test_few_requests_make_it_wider(requests: int, factor: float) -> None:
    """By Student's t, as tabled for 5, 25 and 1,000 degrees of freedom."""
    rewards = np.linspace(0, 1, requests)
    zeros = np.zeros(requests, dtype=np.int64)
    certain = np.tile([1.0, 0.0], (requests, 1))
    logged = Logged(actions=zeros, propensities=certain, rewards=rewards, costs=rewards)
    found = evaluate(logged, certain).rewards["ips"]
    assert found.high - found.value == pytest.approx(factor * rewards.std(ddof=1) / np.sqrt(requests), rel=2e-3)


def test_a_bootstrap_is_repeatable_by_its_seed() -> None:
    world = World(N, 11)
    logged = world.logged()
    first, second, other = (evaluate(logged, world.policy(), resamples=50, seed=seed) for seed in (1, 1, 2))
    assert first == second
    assert first != other


def test_one_request_says_nothing_of_its_interval() -> None:
    logged = Logged(
        actions=np.array([0]),
        propensities=np.array([[0.5, 0.5]]),
        rewards=np.array([1.0]),
        costs=np.array([1.0]),
    )
    found = evaluate(logged, np.array([[1.0, 0.0]])).rewards["self_normalised"]
    assert (found.value, found.low, found.high) == (1.0, -np.inf, np.inf)


def test_a_policy_that_was_never_followed_has_no_mean_of_its_own() -> None:
    logged = Logged(
        actions=np.array([0, 0]),
        propensities=np.array([[0.5, 0.5]] * 2),
        rewards=np.array([1.0, 1.0]),
        costs=np.array([1.0, 1.0]),
    )
    found = evaluate(logged, np.array([[0.0, 1.0]] * 2))
    assert found.rewards.keys() == {"ips"}
    assert found.effective == 0


def test_bootstrap_samples_without_any_weight_are_left_out() -> None:
    logged = Logged(
        actions=np.array([0, 1]),
        propensities=np.array([[0.5, 0.5]] * 2),
        rewards=np.array([0.5, 1.0]),
        costs=np.array([1.0, 1.0]),
    )
    found = evaluate(logged, np.array([[1.0, 0.0]] * 2), resamples=50).rewards["self_normalised"]
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_the_other_action_has_the_rest_of_the_probability() -> None:
    both = two_actions(np.array([0, 1]), np.array([0.9, 0.2]))
    assert both.tolist() == [[0.9, pytest.approx(0.1)], [pytest.approx(0.8), 0.2]]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("actions", np.full(N, 2), "from 0 to 1"),
        ("actions", np.zeros(N - 1, dtype=np.int64), "shape"),
        ("propensities", np.full((N, 2), 0.6), "add up to 1"),
        ("propensities", np.full((N, 2), np.nan), "finite"),
        ("propensities", np.tile([1.5, -0.5], (N, 1)), "add up to 1"),
        ("propensities", np.tile([1.0, 0.0], (N, 1)), "above 0"),
        ("rewards", np.full(N, 1.5), "reward lies outside"),
        ("rewards", np.full(N, np.nan), "finite"),
        ("costs", np.full(N, 7.0), "cost lies outside"),
        ("all_rewards", np.full((N, 2), -1.0), "reward lies outside"),
        ("all_costs", np.full((N, 3), np.nan), "shape"),
        ("groups", np.zeros((N, 1), dtype=np.int64), "shape"),
    ],
)
def test_what_cannot_be_is_refused(field: str, value: Any, message: str) -> None:
    world = World(N, 12)
    with pytest.raises(ValueError, match=message):
        evaluate(replace(world.logged(), **{field: value}), world.policy())


@pytest.mark.parametrize("policy", [np.zeros((0, 2)), np.full(N, 0.5), np.full((N, 2), 0.4)])
def test_a_policy_is_probabilities(policy: Floats) -> None:
    with pytest.raises(ValueError, match="probabilities"):
        evaluate(World(N, 13).logged(), policy)
