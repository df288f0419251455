"""A threshold is only as low as labels prove it may be, and goes up again when they no longer do."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.acceptance import BINS, CLOSED, Acceptance, AcceptanceTerms, bin_of, score_of
from cache.bounds import upper
from cache.limits import AcceptanceLimits

ONE = AcceptanceTerms(max_wrong_hits=0.01)


def learned(
    lookups: int, *, near: float = 0.3, seed: int = 1, audits: float = 1.0, scope: Acceptance | None = None
) -> Acceptance:
    """A scope whose scores are honest: an answer of score 0.9 is right nine times in ten."""
    draw = random.Random(seed)
    scope = scope or Acceptance()
    for _ in range(lookups):
        if draw.random() > near:
            scope.look(None)
            continue
        score = draw.betavariate(1.2, 0.6)
        served = audits < 1 and scope.accepts(score, ONE)
        scope.look(score)
        if not served or draw.random() < audits:
            scope.label(score, wrong=draw.random() > score)
    return scope


def test_without_labels_nothing_is_accepted() -> None:
    scope = Acceptance()
    for _ in range(10_000):
        scope.look(0.999)
    assert scope.threshold(ONE) == CLOSED
    assert not scope.accepts(1.0, ONE)


def test_few_labels_are_as_good_as_none() -> None:
    scope = Acceptance(AcceptanceLimits(least_labels=30))
    for _ in range(29):
        scope.look(0.99)
        scope.label(0.99, wrong=False)
    assert scope.threshold(AcceptanceTerms(max_wrong_hits=0.5)) == CLOSED
    for _ in range(21):
        scope.look(0.99)
        scope.label(0.99, wrong=False)
    assert scope.accepts(0.99, AcceptanceTerms(max_wrong_hits=0.5))


def test_right_labels_open_a_scope_and_wrong_ones_close_it() -> None:
    scope = Acceptance()
    for _ in range(400):
        scope.look(0.99)
        scope.label(0.99, wrong=False)
    assert scope.accepts(0.99, ONE)
    assert not scope.accepts(0.8, ONE)
    for _ in range(20):
        scope.look(0.99)
        scope.label(0.99, wrong=True)
    assert not scope.accepts(0.99, ONE)


@pytest.mark.parametrize("allowed", [0.01, 0.02, 0.05])
def test_what_is_served_keeps_the_bound(allowed: float) -> None:
    """On 20 worlds: the expected share of wrong answers at the chosen threshold, which honest scores tell."""
    terms = AcceptanceTerms(max_wrong_hits=allowed)
    broken = 0
    for seed in range(20):
        scope = learned(4_000, seed=seed)
        lowest = score_of(scope.threshold(terms))
        draw = random.Random(1000 + seed)
        scores = [draw.betavariate(1.2, 0.6) for _ in range(20_000)]
        broken += 0.3 * sum(1 - score for score in scores if score >= lowest) / len(scores) > allowed
    assert broken <= 3  # of 20, where each is broken with a probability of at most 0.05


def test_a_looser_bound_has_a_lower_threshold() -> None:
    scope = learned(5_000)
    thresholds = [scope.threshold(AcceptanceTerms(max_wrong_hits=share)) for share in (0.001, 0.01, 0.05)]
    assert thresholds == sorted(thresholds, reverse=True)
    assert thresholds[-1] < thresholds[0]
    surer = scope.threshold(AcceptanceTerms(max_wrong_hits=0.01, confidence=0.999))
    assert surer >= scope.threshold(ONE)


def test_the_share_of_hits_can_be_bounded_too() -> None:
    scope = learned(20_000)
    both = AcceptanceTerms(max_wrong_hits=0.05, max_wrong_of_hits=0.05)
    alone = AcceptanceTerms(max_wrong_hits=0.05)
    assert scope.threshold(both) > scope.threshold(alone)
    assert scope.threshold(both) < CLOSED
    assert scope.threshold(AcceptanceTerms(max_wrong_hits=0.05, max_wrong_of_hits=0.0001)) == CLOSED


def test_evidence_fades_and_the_scope_closes_by_itself() -> None:
    scope = Acceptance(AcceptanceLimits(memory=1_000))
    for _ in range(500):
        scope.look(0.99)
        scope.label(0.99, wrong=False)
    assert scope.accepts(0.99, ONE)
    for _ in range(5_000):
        scope.look(0.99)  # served, and never audited
    assert not scope.accepts(0.99, ONE)


def test_drift_closes_a_scope_that_is_audited_now_and_then() -> None:
    limits = AcceptanceLimits(memory=2_000)
    scope = learned(4_000, audits=0.1, scope=Acceptance(limits))
    assert scope.threshold(ONE) < CLOSED
    served_wrong = 0
    draw = random.Random(7)
    for _ in range(4_000):  # what looks alike is now the same only half the time
        served = scope.accepts(0.995, ONE)
        scope.look(0.995)
        wrong = draw.random() < 0.5
        served_wrong += served and wrong
        if not served or draw.random() < 0.1:
            scope.label(0.995, wrong=wrong)
    assert not scope.accepts(0.995, ONE)
    assert served_wrong < 0.03 * 4_000


def test_labels_near_the_threshold_do_not_drown_those_of_audits() -> None:
    """Below the threshold every lookup is labelled, above it one in ten: all labels together would mislead."""
    scope = Acceptance()
    for place in range(1_000):
        scope.look(0.999)
        if place % 10 == 0:
            scope.label(0.999, wrong=False)
    for place in range(200):
        scope.look(0.9)
        scope.label(0.9, wrong=place % 20 == 0)
    for _ in range(8_800):
        scope.look(None)
    assert scope.accepts(0.9, AcceptanceTerms(max_wrong_hits=0.006))  # in truth, 10 of 10,000
    assert upper(300, 10, 0.05) * 1_200 / 10_000 > 0.006


def test_audits_estimate_the_wrong_hits_of_all_lookups() -> None:
    scope = Acceptance()
    assert scope.audited(0.95) is None
    for place in range(1_000):
        scope.look(0.99)
        if place % 2:
            scope.serve()
        if place % 10 == 1:
            scope.audit(wrong=place % 100 == 1)
    estimate, low, high = scope.audited(0.95) or (0, 0, 0)
    assert estimate == pytest.approx(0.05, rel=0.01)
    assert 0 < low < estimate < high < 0.12


def test_a_scope_goes_on_where_another_one_stopped() -> None:
    first, second = learned(3_000), Acceptance()
    second.restore(first.state())
    assert second.threshold(ONE) == first.threshold(ONE)
    assert (second.lookups, second.labels, second.near) == pytest.approx((first.lookups, first.labels, first.near))
    short = Acceptance(AcceptanceLimits(memory=100))
    short.restore(first.state())
    assert short.lookups == pytest.approx(100)
    for broken in (b"", b"x", first.state()[:-5]):
        with pytest.raises(ValueError, match="evidence"):
            second.restore(broken)
    assert second.threshold(ONE) == first.threshold(ONE)


@given(st.floats(0, 1), st.floats(0, 1))
def test_bins_keep_the_order_of_scores(one: float, other: float) -> None:
    assert (one <= other) <= (bin_of(one) <= bin_of(other))
    assert 0 <= bin_of(one) < BINS


def test_a_bin_is_known_by_its_lowest_score() -> None:
    assert bin_of(score_of(200) + 1e-9) == 200
    assert score_of(CLOSED) == 1
    assert bin_of(0.0) == 0
    assert bin_of(1.0) == BINS - 1
