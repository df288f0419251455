"""What labelled questions say of a verifier before it serves: the evidence with which a scope may start.

The non-obvious decision: scores must come from models that have not seen the question's group. A verifier is surer
of what it was trained on, and a threshold chosen there would be too low everywhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from math import inf

from cache.evidence import Evidence
from cache.limits import AcceptanceLimits
from cache.matching.training import Labelled

Scored = tuple[Labelled, float]


def best_of(pairs: Sequence[Labelled], scores: Sequence[float], *, floor: float) -> Iterator[Scored]:
    """For each lookup the candidate that would be served: that of the best score, of those at least `floor` near.

    `pairs` as `cache.matching.training.mined` gives them, those of one lookup together; a score for each.
    """
    both = zip(pairs, scores, strict=True)
    for _, candidates in groupby(both, key=lambda scored: (scored[0].query, scored[0].source)):
        near = [scored for scored in candidates if scored[0].similarity >= floor]
        if near:
            yield max(near, key=lambda scored: scored[1])


def evidence_of(pairs: Sequence[Labelled], scores: Sequence[float], *, lookups: int, floor: float) -> Evidence:
    """The evidence of a stream of `lookups`, of which `pairs` are the candidates. `scores` are cross-fitted."""
    evidence = Evidence(AcceptanceLimits(memory=inf))
    cosines = [pair.similarity for pair in pairs]
    near = 0
    both = zip(best_of(pairs, scores, floor=floor), best_of(pairs, cosines, floor=floor), strict=True)
    for (by_score, score), (by_cosine, cosine) in both:
        near += 1
        evidence.look(score, cosine)
        evidence.label(score, wrong=not by_score.right, scorer="verifier")
        evidence.label(cosine, wrong=not by_cosine.right, scorer="cosine")
    for _ in range(lookups - near):
        evidence.look(None)
    return evidence


def curve(
    pairs: Sequence[Labelled], scores: Sequence[float], *, lookups: int, floor: float
) -> Iterator[tuple[float, float]]:
    """Wrong hits and hits, as shares of lookups, as the threshold falls and every question is stored."""
    wrong = 0
    yield 0.0, 0.0
    best = sorted(best_of(pairs, scores, floor=floor), key=lambda scored: -scored[1])
    for served, (pair, _) in enumerate(best, 1):
        wrong += not pair.right
        yield wrong / lookups, served / lookups


def hits_at(
    pairs: Sequence[Labelled], scores: Sequence[float], *, lookups: int, floor: float, wrong: float
) -> float:
    """The most hits of one threshold with at most the share `wrong` of lookups answered wrongly: an oracle's."""
    points = curve(pairs, scores, lookups=lookups, floor=floor)
    return max(hits for bad, hits in points if bad <= wrong)
