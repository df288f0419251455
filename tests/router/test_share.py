"""The share controller keeps the share, whatever the scores do, and goes on where it left off."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.share import HORIZON, Scores, ShareController

SCORES = st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=400)


@given(SCORES, st.floats(0, 1))
def test_the_debt_stays_within_the_horizon_for_any_scores(scores: list[float], wanted: float) -> None:
    controller = ShareController(wanted)
    strong = 0
    for seen, score in enumerate(scores, 1):
        strong += controller.decide(score)
        assert controller.owed == pytest.approx(wanted * seen - strong, abs=1e-6)
        assert abs(controller.owed) <= HORIZON + 2


@pytest.mark.parametrize("wanted", [0.2, 0.4, 0.6, 0.8])
@pytest.mark.parametrize("drift", ["none", "up", "down", "scale", "constant"])
def test_a_stream_of_two_hundred_ends_near_the_wanted_share(wanted: float, drift: str) -> None:
    draw = random.Random(7)
    expected = [draw.gauss(0, 1) for _ in range(1000)]
    shift = {"up": 3.0, "down": -3.0}.get(drift, 0.0)
    scale = {"scale": 1e-6, "constant": 0.0}.get(drift, 1.0)
    controller = ShareController(wanted, expected)
    strong = [controller.decide(draw.gauss(0, 1) * scale + shift) for _ in range(600)]
    assert abs(sum(strong) / len(strong) - wanted) <= 0.03
    if drift == "none":
        assert abs(sum(strong[:200]) / 200 - wanted) <= 0.03


def test_high_scores_go_to_the_strong_model() -> None:
    draw = random.Random(3)
    scores = [draw.random() for _ in range(2000)]
    controller = ShareController(0.3, [draw.random() for _ in range(500)])
    chosen = [score for score in scores if controller.decide(score)]
    best = sorted(scores)[-len(chosen) :]
    random_gain, best_gain = sum(scores) / len(scores), sum(best) / len(best)
    assert (sum(chosen) / len(chosen) - random_gain) / (best_gain - random_gain) > 0.9


def test_all_or_none_is_exact() -> None:
    none, every = ShareController(0.0), ShareController(1.0)
    scores = [math.nan, math.inf, -math.inf, 0.0, 1e308]
    assert not any(none.decide(score) for score in scores)
    assert all(every.decide(score) for score in scores)


def test_a_weight_makes_it_a_share_of_spend() -> None:
    draw = random.Random(5)
    controller = ShareController(0.4)
    spent = total = 0.0
    for _ in range(3000):
        weight = draw.choice([0.1, 1.0, 5.0])
        total += weight
        spent += weight * controller.decide(draw.random(), weight)
    assert spent / total == pytest.approx(0.4, abs=0.02)
    assert controller.decide(0.5, math.nan) in (True, False)
    assert math.isfinite(controller.owed)


def test_memory_is_bounded_and_the_oldest_scores_go() -> None:
    scores = Scores(64, map(float, range(64)))
    for place in range(100, 300):
        scores.add(float(place))
    assert (len(scores), len(scores.recent), min(scores.recent)) == (64, 64, 236.0)


def test_a_debt_is_let_go_beyond_the_horizon() -> None:
    """The strong model was down for a thousand requests; then it is not flooded with all that it missed."""
    draw, controller = random.Random(3), ShareController(0.3)
    for _ in range(1000):
        controller.count(False)
    assert controller.owed == HORIZON
    made_up = sum(controller.decide(draw.random()) for _ in range(200))
    assert 0.3 * 200 < made_up < 0.3 * 200 + HORIZON + 5


def test_equal_scores_take_turns() -> None:
    controller = ShareController(0.5)
    strong = [place for place in range(200) if controller.decide(1.0)]
    assert max(later - earlier for earlier, later in pairwise(strong)) <= 8


def test_what_makes_no_sense_is_refused() -> None:
    for wanted in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"0\.\.1"):
            ShareController(wanted)
    with pytest.raises(ValueError, match="at least 1"):
        ShareController(0.5, window=0)


def test_the_threshold_is_where_decisions_turn() -> None:
    draw = random.Random(7)
    controller = ShareController(0.3, [draw.random() for _ in range(200)])
    for _ in range(300):
        threshold, score = controller.threshold(), draw.random()
        clear = abs(score - threshold) > 0.02
        assert controller.decide(score) == (score > threshold) or not clear


@pytest.mark.parametrize(("wanted", "threshold"), [(0.0, math.inf), (1.0, -math.inf), (0.5, 0.0)])
def test_the_threshold_of_ends_and_beginnings(wanted: float, threshold: float) -> None:
    assert ShareController(wanted).threshold() == threshold


def test_what_is_expected_counts_only_before_the_first_decision() -> None:
    controller = ShareController(0.3)
    controller.expect(range(100))
    assert 60 < controller.threshold() < 75
    controller.decide(50)
    before = (controller.owed, controller.threshold())
    controller.expect([5000.0])
    assert (controller.owed, controller.threshold()) == before


def test_what_was_answered_otherwise_is_made_up_for() -> None:
    controller = ShareController(0.5)
    controller.count(True)
    assert controller.owed == -0.5
    controller.correct(False)
    assert controller.owed == 0.5
    controller.correct(True)
    assert controller.owed == -0.5
