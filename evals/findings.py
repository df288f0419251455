"""What is found of each outcome, over all cases and within segments.

The non-obvious decision: a segment's interval is its own, but its verdict allows for there being many segments
(Holm), since among forty of them one would otherwise look better or worse by chance alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from msgspec import Struct

from evals.changes import Change, of_cost, of_latency, of_quality
from evals.pairing import Pairs
from evals.records import Outcome
from evals.statistics.clusters import count
from evals.statistics.holm import holm
from evals.statistics.interval import Interval
from evals.statistics.judged import Judge
from evals.statistics.mcnemar import exact_mcnemar
from evals.verdicts import NOT_ENOUGH, PValues, not_enough, verdict

TINY = 1e-9
"""Means of repeats that differ by less are the same."""

_CANNOT = PValues(1.0, 1.0, 1.0)


class Finding(Struct, frozen=True, kw_only=True):
    """One outcome, of all cases or of a segment.

    `a` and `b` are the mean quality from 0 to 1, the mean dollars of an answer, or the P95 latency in milliseconds.
    `change` is B - A of quality, B / A of cost and latency. `margin` is how far it may be to the bad: 0.02 of
    quality is two points, 0.05 of cost or latency 5 percent. The three p values are one-sided; among segments they
    are corrected by Holm.
    """

    a: float
    b: float
    change: Interval
    margin: float
    verdict: str
    more_needed: int | None = None
    """Cases beyond these; None where none are, or where it cannot be told."""
    detectable: float | None = None
    """The smallest change that so many cases would show in four of five runs (80 % power); None of too few."""
    p_better: float
    p_worse: float
    p_not_worse: float


class Part(Struct, frozen=True, kw_only=True):
    """Findings of all cases, or of one segment. An outcome that is not known is left out."""

    name: str
    cases: int
    clusters: int
    findings: Mapping[Outcome, Finding]
    gained: int = 0
    """Cases whose quality rose."""
    lost: int = 0
    mcnemar_p: float | None = None
    """Exact and two-sided; where quality is 0 or 1, and each case was asked once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """How findings are made: what they all have in common."""

    margins: Mapping[Outcome, float]
    level: float
    seed: int
    judge: Judge | None
    costs_known: bool
    binary: bool

    def overall(self, pairs: Pairs) -> Part:
        changes = self._changes(pairs)
        if count(pairs.clusters) == 1:  # taken one by one they tell of that cluster, and a verdict is on others too
            changes = {outcome: replace(change, units=1) for outcome, change in changes.items()}
        p_values = {outcome: self._p(outcome, change) for outcome, change in changes.items()}
        return self._part("all", pairs, changes, p_values, dict.fromkeys(changes, 1))

    def segments(self, pairs: Pairs) -> list[Part]:
        """In the order of their first cases; none where all cases are of one."""
        names = np.array([case.segment for case in pairs.cases])
        found = list(dict.fromkeys(names.tolist()))
        if len(found) < 2:
            return []
        within = {name: pairs.of(np.flatnonzero(names == name)) for name in found}
        changes = {name: self._changes(part) for name, part in within.items()}
        p_values: dict[str, dict[Outcome, PValues]] = {name: {} for name in found}
        family: dict[Outcome, int] = {}
        for outcome in self.margins:
            told = {name: self._p(outcome, ones[outcome]) for name, ones in changes.items() if outcome in ones}
            can = [name for name in told if changes[name][outcome].decidable]
            family[outcome] = max(len(can), 1)
            for name, p in told.items():
                p_values[name][outcome] = p
            for name, p in zip(can, _corrected([told[name] for name in can]), strict=True):
                p_values[name][outcome] = p
        return [self._part(name, within[name], changes[name], p_values[name], family) for name in found]

    def _changes(self, pairs: Pairs) -> dict[Outcome, Change]:
        found: dict[Outcome, Change | None] = {}
        a, b = pairs.quality
        known = np.flatnonzero(~np.isnan(a + b))
        if len(known):
            found["quality"] = of_quality(a[known], b[known], pairs.clusters[known], self.judge, self.seed)
        a, b = pairs.cost
        known = np.flatnonzero(~np.isnan(a + b))
        if self.costs_known and len(known):
            found["cost"] = of_cost(a[known], b[known], pairs.clusters[known], self.seed)
        found["latency"] = self._latency(pairs)
        return {outcome: change for outcome, change in found.items() if change is not None}

    def _latency(self, pairs: Pairs) -> Change | None:
        answered = np.intersect1d(pairs.latency[0].units, pairs.latency[1].units)
        if not len(answered):
            return None
        both = pairs.of(answered.astype(np.intp))
        return of_latency(*both.latency, len(both.cases), both.clusters, self.seed)

    def _p(self, outcome: Outcome, change: Change) -> PValues:
        return change.p_values(self.margins[outcome]) if change.decidable else _CANNOT

    def _part(
        self,
        name: str,
        pairs: Pairs,
        changes: Mapping[Outcome, Change],
        p_values: Mapping[Outcome, PValues],
        family: Mapping[Outcome, int],
    ) -> Part:
        rise = pairs.quality[1] - pairs.quality[0]
        gained, lost = int((rise > TINY).sum()), int((rise < -TINY).sum())
        return Part(
            name=name,
            cases=len(pairs.cases),
            clusters=count(pairs.clusters),
            findings={
                outcome: self._finding(change, self.margins[outcome], p_values[outcome], family[outcome])
                for outcome, change in changes.items()
            },
            gained=gained,
            lost=lost,
            mcnemar_p=exact_mcnemar(gained, lost) if self.binary and (pairs.asked == 1).all() else None,
        )

    def _finding(self, change: Change, margin: float, p: PValues, family: int) -> Finding:
        alpha = (1 - self.level) / 2
        said = verdict(p, alpha)
        more = change.more_needed(margin, alpha / family) if said == NOT_ENOUGH else None
        return Finding(
            a=change.a,
            b=change.b,
            change=change.interval(self.level),
            margin=margin,
            verdict=not_enough(more) if said == NOT_ENOUGH else said,
            more_needed=more,
            detectable=change.detectable(alpha / family) if change.decidable else None,
            p_better=p.better,
            p_worse=p.worse,
            p_not_worse=p.not_worse,
        )


def _corrected(p_values: Sequence[PValues]) -> list[PValues]:
    columns = [[p.better for p in p_values], [p.worse for p in p_values], [p.not_worse for p in p_values]]
    return [PValues(*each) for each in zip(*map(holm, columns), strict=True)]
