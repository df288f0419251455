"""How sure the cache must be to answer: the threshold of one scope, held to the bound that its user set.

A *near* lookup found a stored question; its score says how likely that one's answer fits. A *label* says whether
it did. For each threshold the labels at or above it bound how many of the answers served there are wrong, and the
share of lookups that score so high is known: their product is what the user bounds. The threshold is the lowest one
whose bound, and those of all stricter ones, stay below it. (Risk-controlling prediction sets: Bates et al. 2021,
arXiv 2101.02703; tested from the strictest on, so that no correction for many tests is due: Angelopoulos et al.
2021, arXiv 2110.01052.)

The non-obvious decision: old lookups and labels fade. A scope that serves gets labels from a small share of its
answers only; where they are too few for the bound, or what users ask has changed, it closes by itself. Every near
lookup then goes to a model anyway, and the comparison gives a label for nothing: so it also opens by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, log

import numpy as np
from msgspec import MsgspecError, Struct
from msgspec.msgpack import decode, encode
from numpy.typing import NDArray

from cache.bounds import lower, tail, upper
from cache.limits import AcceptanceLimits

BINS = 256
_LOWEST, _HIGHEST = -6.0, 10.0
"""Scores are kept as their log odds, which tell 0.99 from 0.999."""
_STEP = (_HIGHEST - _LOWEST) / BINS

_GROWTH = 0.06
"""A stratum has at least this share of the labels above it: so there are few of them, the finest at the top."""
_NEARLY_NONE = 1e-12
_MOST_TERMS = 64
"""Whose thresholds are kept: those of routes, and the stricter ones of clients, which are powers of a half."""
_NEWS = 0.02
"""Share of right labels that must be new before a threshold is chosen anew."""
_STARTS = 2
_Set = tuple[int, float, float, float]
"""The scores from a bin on: that bin, their near lookups, and the labels and wrong labels that these are worth."""
_Counts = NDArray[np.float64]

CLOSED = BINS
"""The threshold that no score reaches."""


class AcceptanceTerms(Struct, frozen=True, kw_only=True):
    """What a route's user allows. Shares, all of them."""

    max_wrong_hits: float
    """Wrong answers among all lookups."""
    max_wrong_of_hits: float | None = None
    """Wrong answers among the answers served, on top."""
    confidence: float = 0.95
    """With which the bounds are kept."""


def bin_of(score: float) -> int:
    """Where `score`, a probability, stands among the `BINS`."""
    if score <= 0:
        return 0
    if score >= 1:
        return BINS - 1
    return min(BINS - 1, max(0, int((log(score / (1 - score)) - _LOWEST) / _STEP)))


def score_of(place: int) -> float:
    """The lowest score of a bin; 1 for CLOSED."""
    return 1.0 if place >= CLOSED else 1 / (1 + float(np.exp(-(_LOWEST + place * _STEP))))


class Acceptance:
    """What one scope's lookups and labels allow. `look` counts a lookup, `label` what came of one.

    Belongs to one thread. All it holds is a few arrays of `BINS`, however long it lives.
    """

    def __init__(self, limits: AcceptanceLimits | None = None) -> None:
        self._limits = limits or AcceptanceLimits()
        self.lookups = 0.0
        self._near = np.zeros(BINS)
        self._labels = np.zeros(BINS)
        self._wrong = np.zeros(BINS)
        self._served = np.zeros(3)
        """Answers served, those of them that were audited, and those that were wrong."""
        self._unfaded = 0
        self._unweighed = 0
        self.events = 0
        """How many lookups and labels have been counted here."""
        self._thresholds: dict[AcceptanceTerms, int] = {}

    @property
    def labels(self) -> float:
        """How many labels count, faded ones in part."""
        return float(self._labels.sum())

    @property
    def near(self) -> float:
        """How many lookups found something near, faded ones in part."""
        return float(self._near.sum())

    @property
    def served(self) -> float:
        """How many answers were served, faded ones in part."""
        return float(self._served[0])

    @property
    def bounds_known(self) -> int:
        """For how many terms the threshold has been found since something changed."""
        return len(self._thresholds)

    def share_above(self, place: int) -> float:
        """The share of lookups that scored in this bin or higher."""
        return float(self._near[place:].sum() / self.lookups) if self.lookups else 0.0

    def look(self, score: float | None) -> None:
        """Count a lookup; `score` is that of the best answer found, None where nothing was near."""
        self.events += 1
        self.lookups += 1
        if score is not None:
            self._near[bin_of(score)] += 1
        self._unfaded += 1
        if self._unfaded >= self._limits.memory / 256:
            self._fade()

    def label(self, score: float, wrong: bool) -> None:
        """A stored answer of this score was compared with a fresh one."""
        self.events += 1
        place = bin_of(score)
        self._labels[place] += 1
        self._wrong[place] += wrong
        self._unweighed += 1
        # Good news may wait, so that a threshold is not chosen anew at each label.
        if wrong or self._unweighed >= _NEWS * self.labels:
            self._reconsider()

    def accepts(self, score: float, terms: AcceptanceTerms) -> bool:
        """Whether an answer of this score may be served under `terms`."""
        return bin_of(score) >= self.threshold(terms)

    def threshold(self, terms: AcceptanceTerms) -> int:
        """The lowest bin that may be served, or CLOSED."""
        known = self._thresholds.get(terms)
        if known is None:
            if len(self._thresholds) >= _MOST_TERMS:
                self._thresholds.clear()
            known = self._thresholds[terms] = self._lowest(terms)
        return known

    def serve(self) -> None:
        """An answer was served."""
        self._served[0] += 1

    def audit(self, wrong: bool) -> None:
        """An answer that was served has been compared with a fresh one."""
        self._served[1] += 1
        self._served[2] += wrong

    def audited(self, confidence: float) -> tuple[float, float, float] | None:
        """Wrong answers among all lookups as audits saw them: the estimate and its two-sided interval.

        None where nothing was audited.
        """
        served, audits, wrong = self._served.tolist()
        if not audits:
            return None
        share = served / max(self.lookups, served)
        delta = (1 - confidence) / 2
        return share * wrong / audits, share * lower(audits, wrong, delta), share * upper(audits, wrong, delta)

    def state(self) -> bytes:
        """All that is known, for `restore`."""
        columns = (self._near, self._labels, self._wrong, self._served)
        return encode((self.lookups, *(column.astype(np.float32).tobytes() for column in columns)))

    def restore(self, state: bytes) -> None:
        """Take over what another one knew, as far as memory goes. Raises ValueError where `state` is not one."""
        try:
            lookups, *columns = decode(state, type=tuple[float, bytes, bytes, bytes, bytes])
            arrays = [np.frombuffer(column, np.float32).astype(np.float64) for column in columns]
        except MsgspecError as error:
            raise ValueError("not the state of a scope's evidence") from error
        if [array.size for array in arrays] != [BINS, BINS, BINS, 3]:
            raise ValueError("the state of a scope's evidence has another shape")
        keep = min(1.0, self._limits.memory / max(lookups, 1.0))
        self.lookups = lookups * keep
        self._near, self._labels, self._wrong, self._served = (array * keep for array in arrays)
        self._reconsider()

    def _lowest(self, terms: AcceptanceTerms) -> int:
        if self.labels < self._limits.least_labels or not self.lookups:
            return CLOSED
        delta = 1 - terms.confidence
        kept: list[_Set] = []
        for some in self._sets():
            _, near, labels, wrong = some
            allowed = terms.max_wrong_hits * self.lookups / near if near else inf
            if tail(labels, wrong, allowed) > delta:
                break
            kept.append(some)
        if terms.max_wrong_of_hits is not None:
            return _lowest_of_hits(kept, terms.max_wrong_of_hits, delta)
        return kept[-1][0] if kept else CLOSED

    def _sets(self) -> Iterator[_Set]:
        """Nested sets of scores, the strictest first: lowest bin, near lookups, and what its labels are worth.

        A set's labels are those of its strata, each weighed by its near lookups: near the threshold labels are
        plentiful, far above it they come from audits alone. Many labels in a stratum that few lookups fall into
        say little of the set, so the labels are counted as that smaller number which would be as sure
        (the effective sample size of Korn and Graubard, 1998).
        """
        lowest, near, labels, wrong = self._strata()
        looks, totals = np.cumsum(near), np.cumsum(labels)
        shares = np.cumsum(near * wrong / labels) / np.maximum(looks, _NEARLY_NONE)
        cautious = (shares * totals + 0.5) / (totals + 1)
        # A stratum that has shown nothing wrong yet is taken to be as wrong as its set, by one label's worth.
        rates = (wrong + cautious[:, None]) / (labels + 1)
        doubts = np.tril(near**2 * rates * (1 - rates) / labels).sum(axis=1) / np.maximum(looks, _NEARLY_NONE) ** 2
        worth = np.minimum(totals, cautious * (1 - cautious) / np.maximum(doubts, _NEARLY_NONE))
        return zip(lowest, looks.tolist(), worth.tolist(), (shares * worth).tolist(), strict=True)

    def _strata(self) -> tuple[list[int], _Counts, _Counts, _Counts]:
        """Neighbouring bins with enough labels to be counted together, from the highest score down.

        Their lowest bins, near lookups, labels, and wrong labels.
        """
        columns = zip(self._near.tolist(), self._labels.tolist(), self._wrong.tolist(), strict=True)
        lowest: list[int] = []
        rows: list[tuple[float, float, float]] = []
        near = labels = wrong = above = 0.0
        for place, (some_near, some_labels, some_wrong) in reversed(list(enumerate(columns))):
            near, labels, wrong = near + some_near, labels + some_labels, wrong + some_wrong
            if labels >= max(self._limits.stratum, above * _GROWTH):
                above += labels
                lowest.append(place)
                rows.append((near, labels, wrong))
                near = labels = wrong = 0.0
        looks, known, bad = np.array(rows).reshape(-1, 3).T
        return lowest, looks, known, bad

    def _fade(self) -> None:
        keep = float(np.exp(-self._unfaded / self._limits.memory))
        self.lookups *= keep
        for counts in (self._near, self._labels, self._wrong, self._served):
            counts *= keep
        self._unfaded = 0
        self._reconsider()

    def _reconsider(self) -> None:
        self._unweighed = 0
        self._thresholds.clear()


def _lowest_of_hits(sets: list[_Set], allowed: float, delta: float) -> int:
    """The lowest bin from which on at most the share `allowed` of what is served is wrong.

    That share does not grow evenly as the threshold falls: the few best scores prove little, right as they are.
    So there are a few places to begin, from the first at which labels prove enough, each with its part of
    `delta`; from each the sets are tested until one fails (Angelopoulos et al. 2021, section 2.3).
    """
    needed = log(delta / _STARTS) / log(1 - allowed)
    lowest = CLOSED
    for start in range(_STARTS):
        for place, _, labels, wrong in sets:
            if labels < needed * 2**start:
                continue
            if tail(labels, wrong, allowed) > delta / _STARTS:
                break
            lowest = min(lowest, place)
    return lowest
