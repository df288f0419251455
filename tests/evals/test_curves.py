"""Curves against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from evals.curves import (
    aiq,
    apgr,
    bootstrap,
    calibration_error,
    cpt,
    quality_curve,
    recovered,
    share_error,
    share_for_quality,
)

WEAK = np.array([0.0, 1.0, 0.0, 1.0])
STRONG = np.array([1.0, 1.0, 1.0, 0.0])
"""Gains 1, 0, 1, -1: a gap of 1/4."""


def test_the_curve_of_an_oracle_is_what_one_counts() -> None:
    shares, quality = quality_curve(STRONG - WEAK, WEAK, STRONG)
    assert shares.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert quality.tolist() == [0.5, 0.75, 1.0, 1.0, 0.75]
    assert recovered(STRONG - WEAK, WEAK, STRONG).tolist() == [0, 1, 2, 2, 1]
    assert apgr(STRONG - WEAK, WEAK, STRONG) == pytest.approx((0.5 + 1.5 + 2 + 1.5) / 4)


def test_the_least_share_is_read_off_the_line() -> None:
    scores = STRONG - WEAK
    assert cpt(scores, WEAK, STRONG, 0.8) == pytest.approx(0.2)
    assert cpt(scores, WEAK, STRONG, 0.5) == pytest.approx(0.125)
    assert cpt(scores, WEAK, STRONG, 0.0) == 0
    assert cpt(scores, WEAK, STRONG, 3.0) == 1
    assert share_for_quality(scores, WEAK, STRONG, 1.0) == pytest.approx(0.25)  # 0.75 at the first step
    assert share_for_quality(scores, WEAK, STRONG, 0.5) == 0


def test_who_knows_nothing_is_at_random_whatever_the_order() -> None:
    draw = np.random.default_rng(0)
    weak, strong = draw.random(50), draw.random(50) + 0.5
    for places in (np.arange(50), np.argsort(strong - weak)):
        assert apgr(np.zeros(50), weak[places], strong[places]) == pytest.approx(0.5)
        assert cpt(np.zeros(50), weak[places], strong[places], 0.8) == pytest.approx(0.8)


def test_equal_scores_share_their_places() -> None:
    scores = np.array([2.0, 2.0, 1.0, 1.0])
    _, quality = quality_curve(scores, WEAK, STRONG)
    assert quality.tolist() == [0.5, 0.625, 0.75, 0.75, 0.75]


def test_without_a_gap_there_is_nothing_to_recover() -> None:
    with pytest.raises(ValueError, match="no better"):
        apgr(np.ones(4), STRONG, WEAK)
    with pytest.raises(ValueError, match="one length"):
        apgr(np.ones(3), WEAK, STRONG)
    with pytest.raises(ValueError, match="no number"):
        apgr(np.array([1, 2, np.nan, 0]), WEAK, STRONG)


def test_calibration_error_is_the_distance_in_bins() -> None:
    forecasts = np.array([0.2, 0.2, 0.9, 0.9])
    outcomes = np.array([0.0, 0.0, 1.0, 1.0])
    assert calibration_error(forecasts, outcomes, bins=2) == pytest.approx(0.15)
    assert calibration_error(forecasts, outcomes, bins=100) == pytest.approx(0.15)
    assert calibration_error(np.array([0.5, 0.5]), np.array([0.0, 1.0]), bins=1) == 0


def test_share_error_has_a_sign() -> None:
    assert share_error([True, False, False, False], 0.5) == -0.25
    assert share_error([True, True], 0.5) == 0.5


def test_aiq_is_the_area_under_the_hull() -> None:
    assert aiq([0, 1], [0, 1]) == pytest.approx(0.5)
    assert aiq([0, 1, 2], [0, 0.2, 1]) == pytest.approx(0.5)  # the middle is under the line
    assert aiq([0, 1, 2], [0, 0.8, 1]) == pytest.approx((0.4 + 0.9) / 2)
    assert aiq([0, 1, 2], [0, 1, 0.5]) == pytest.approx((0.5 + 1) / 2)  # dearer and worse
    with pytest.raises(ValueError, match="different costs"):
        aiq([1, 1], [0, 1])


def test_intervals_hold_the_truth_and_narrow_with_more() -> None:
    draw = np.random.default_rng(1)

    def width(many: int) -> float:
        row = draw.normal(0.3, 1, many)
        found = bootstrap(lambda values: float(values.mean()), row)
        assert found.low < found.value < found.high
        assert found.low < 0.3 + 0.15 and found.high > 0.3 - 0.15
        return found.high - found.low

    assert width(4000) == pytest.approx(2 * 1.96 / 4000**0.5, rel=0.2)
    assert width(100) > 4 * width(4000)


def test_a_paired_difference_is_drawn_alike() -> None:
    draw = np.random.default_rng(2)
    weak = draw.random(300)
    strong = weak + draw.random(300)
    scores = strong - weak
    same = bootstrap(
        lambda one, other, low, high: apgr(one, low, high) - apgr(other, low, high), scores, scores, weak, strong
    )
    assert (same.low, same.value, same.high) == (0, 0, 0)
