"""A scope serves by whichever scores prove more, and both are judged by the same traffic."""

from __future__ import annotations

import random

import pytest

from cache.acceptance import CLOSED, AcceptanceTerms
from cache.evidence import Evidence

TWO = AcceptanceTerms(max_wrong_hits=0.02)


def learned(knows: str, lookups: int = 3_000) -> Evidence:
    """Traffic of which one scorer tells the right from the wrong, and the other nothing."""
    draw = random.Random(1)
    evidence = Evidence()
    for _ in range(lookups):
        if draw.random() < 0.5:
            evidence.look(None)
            continue
        right = draw.random() < 0.5
        good, blind = (0.95 if right else 0.75), draw.uniform(0.7, 0.99)
        verifier, cosine = (good, blind) if knows == "verifier" else (blind, good)
        evidence.look(verifier, cosine)
        evidence.label(verifier, not right, scorer="verifier")
        evidence.label(cosine, not right, scorer="cosine")
    return evidence


@pytest.mark.parametrize("knows", ["verifier", "cosine"])
def test_the_scores_that_tell_more_are_chosen(knows: str) -> None:
    choice = learned(knows).choice(TWO)
    assert choice.scorer == knows
    assert choice.share == pytest.approx(0.25, abs=0.03)
    assert 0.75 < (choice.score or 0) <= 0.95


def test_where_neither_tells_anything_nothing_is_served() -> None:
    draw = random.Random(1)
    evidence = Evidence()
    for _ in range(3_000):
        evidence.look(0.9, 0.9)
        evidence.label(0.9, draw.random() < 0.5)
    choice = evidence.choice(TWO)
    assert (choice.threshold, choice.share, choice.score) == (CLOSED, 0, None)


def test_two_ways_to_be_right_by_chance_leave_each_half_the_doubt() -> None:
    """36 right labels for every lookup prove 8 % at 95 % confidence, and at 97.5 % they do not."""
    evidence = Evidence()
    for _ in range(36):
        evidence.look(0.9)
        evidence.label(0.9, wrong=False)
    assert evidence.choice(AcceptanceTerms(max_wrong_hits=0.08)).score is None
    assert evidence.choice(AcceptanceTerms(max_wrong_hits=0.11)).score is not None


def test_counts_and_state() -> None:
    evidence = learned("cosine")
    evidence.serve()
    evidence.audit(wrong=False)
    other = Evidence()
    other.restore(evidence.state())
    for name in ("lookups", "near", "labels", "served"):
        assert getattr(other, name) == pytest.approx(getattr(evidence, name))
    assert other.choice(TWO).scorer == "cosine"
    assert other.audited(0.95) == pytest.approx(evidence.audited(0.95))
    assert other.events == 0 < evidence.events
    for broken in (b"", b"x", evidence.state()[:-3], b"\x92\xc4\x00\xc4\x00"):
        with pytest.raises(ValueError, match="evidence"):
            other.restore(broken)
