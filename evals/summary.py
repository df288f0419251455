"""What came of a run: each scorer's rate, cost and latency, of all cases, of each segment and of each group.

The non-obvious decision: repeats of a case are averaged before anything else, so that asking five times does not
look like five cases. Only P50 and P95 are of single answers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import Struct

from contracts.money import ZERO
from evals.records import Manifest, Row
from evals.refusing import Refusing, refusing
from evals.refusing import told as refusals_told
from evals.run_folder import Run
from evals.statistics.interval import Interval, Rate

if TYPE_CHECKING:
    from evals.statistics.judged import Judge

LEVEL = 0.95
"""Probability with which an interval contains what it is about."""

_DRAWS = 1999
"""For P50 and P95, which no verdict hangs on."""


class Figures(Struct, frozen=True, kw_only=True):
    """Of all cases, of one segment, or of one group. `answers` counts repeats, `errors` those that never came.

    `scores` and `corrected` have a scorer's name each; `corrected` those of calibrated judges, where the judge's
    own errors are taken out. Cost is dollars for an answer, latency milliseconds; None where it is not known.
    """

    name: str
    cases: int
    answers: int
    errors: int
    scores: Mapping[str, Rate]
    corrected: Mapping[str, Rate] = {}
    cost: Interval | None = None
    total_cost: Decimal | None = None
    latency_p50_ms: Interval | None = None
    latency_p95_ms: Interval | None = None


class Summary(Struct, frozen=True, kw_only=True):
    """`groups` by field of the metadata. `notes` are what a reader must know."""

    manifest: Manifest
    complete: bool
    overall: Figures
    segments: Sequence[Figures]
    groups: Mapping[str, Sequence[Figures]]
    refusing: Mapping[str, Refusing] = {}
    """By each scorer of refusals."""
    notes: Sequence[str] = ()
    level: float = LEVEL
    """Of all its intervals."""

    @property
    def quality(self) -> Rate:
        """Of all cases, by the scorer that stands for quality; the corrected rate where there is one."""
        name = self.manifest.quality
        return self.overall.corrected.get(name) or self.overall.scores[name]


def summarise(run: Run, level: float = LEVEL) -> Summary:
    """Figures of a run, whole or not. Raises ValueError where no case was answered or failed yet."""
    if not run.rows:
        raise ValueError(f"{run.folder} holds no answers yet. Resume it with `weir eval run`.")
    teller = _Teller(run.manifest, level)
    by_segment: dict[str, list[Row]] = defaultdict(list)
    for row in run.rows:
        by_segment[row.segment].append(row)
    refused = refusing(run, level)
    return Summary(
        manifest=run.manifest,
        complete=run.complete,
        overall=teller.figures("all", run.rows),
        segments=[teller.figures(name, rows) for name, rows in by_segment.items()],
        groups={field: teller.groups(run, field) for field in run.manifest.groups},
        refusing=refused,
        notes=[*_notes(run, teller), *(line for name, one in refused.items() for line in refusals_told(name, one))],
        level=level,
    )


@dataclass(frozen=True)
class _Teller:
    manifest: Manifest
    level: float

    @cached_property
    def judges(self) -> Mapping[str, Judge]:
        """The calibrated ones, by scorer."""
        from evals.statistics.judged import judge_of

        found = {}
        for name, calibration in self.manifest.calibrations.items():
            facts = self.manifest.scorers.get(name)
            judge = judge_of(calibration)
            if judge and facts and facts.binary and facts.version == calibration.version:
                found[name] = judge
        return found

    def groups(self, run: Run, field: str) -> list[Figures]:
        """Those of one field of the metadata; cases without it are in none."""
        found: dict[str, list[Row]] = defaultdict(list)
        for row in run.rows:
            if field in (metadata := run.cases[row.case].metadata):
                found[str(metadata[field])].append(row)
        return [self.figures(name, rows) for name, rows in sorted(found.items())]

    def figures(self, name: str, rows: Sequence[Row]) -> Figures:
        from evals.statistics.judged import corrected

        scores = {scorer: rate for scorer in self.manifest.scorers if (rate := self._rate(scorer, rows))}
        right = {
            scorer: rate
            for scorer, judge in self.judges.items()
            if scorer in scores and (rate := corrected(scores[scorer], judge, self.level))
        }
        answers = [row.answer for row in rows if row.answer]
        costs = [answer.cost for answer in answers if answer.cost is not None]
        known = len(costs) == len(answers) > 0
        p50, p95 = self._latency(rows)
        return Figures(
            name=name,
            cases=len({row.case for row in rows}),
            answers=len(rows),
            errors=sum(bool(row.error) for row in rows),
            scores=scores,
            corrected=right,
            cost=self._cost(rows) if known else None,
            total_cost=sum(costs, ZERO) if known else None,
            latency_p50_ms=p50,
            latency_p95_ms=p95,
        )

    def _rate(self, scorer: str, rows: Sequence[Row]) -> Rate | None:
        from evals.pairing import quality
        from evals.statistics.rates import rate_of

        values, clusters = _means((row, quality(row, scorer)) for row in rows)
        binary = self.manifest.scorers[scorer].binary and self.manifest.repeats == 1
        return rate_of(values, clusters, binary=binary, level=self.level) if values else None

    def _cost(self, rows: Sequence[Row]) -> Interval:
        from evals.statistics.rates import mean_of

        return mean_of(
            *_means((row, float(row.answer.cost or 0) if row.answer else None) for row in rows), level=self.level
        )

    def _latency(self, rows: Sequence[Row]) -> tuple[Interval | None, Interval | None]:
        import numpy as np

        from evals.statistics.clusters import alone, units_of
        from evals.statistics.resampling import Sample, quantile_interval

        answered = [row for row in rows if row.answer and row.answer.latency_ms is not None]
        if not answered:
            return None, None
        units = units_of([row.cluster for row in answered])
        if not np.ptp(units):
            units = alone(units) if self.manifest.repeats == 1 else units_of([row.case for row in answered])
        values = np.array([row.answer.latency_ms for row in answered if row.answer])
        p50, p95 = (
            quantile_interval(Sample(values, units), share, self.level, draws=_DRAWS, seed=0)
            for share in (0.5, 0.95)
        )
        return p50, p95


def _means(values: Iterable[tuple[Row, float | None]]) -> tuple[list[float], list[str]]:
    """Each case's mean over its repeats, and its cluster; values that are None are left out."""
    found: dict[str, list[float]] = defaultdict(list)
    clusters: dict[str, str] = {}
    for row, value in values:
        if value is not None:
            found[row.case].append(value)
            clusters[row.case] = row.cluster
    return [sum(each) / len(each) for each in found.values()], list(clusters.values())


def _notes(run: Run, teller: _Teller) -> list[str]:
    rows = run.rows
    errors = sum(bool(row.error) for row in rows)
    unknown = sum(1 for row in rows if row.answer and row.answer.cost is None)
    untimed = sum(1 for row in rows if row.answer and row.answer.latency_ms is None)
    recalled = sum(row.recalled for row in rows)
    judging = sum((score.cost for row in rows for score in row.scores.values()), ZERO)
    whole = run.manifest.cases * run.manifest.repeats
    uncorrected = [
        name
        for name, facts in run.manifest.scorers.items()
        if facts.model and facts.binary and name not in teller.judges
    ]
    found = [
        f"Not complete: {len(rows):,} of {whole:,} answers are there." if not run.complete else "",
        f"{errors:,} of {len(rows):,} answers never came: they count as 0." if errors else "",
        _one_cluster(run),
        f"Nobody knows what {unknown:,} of {len(rows):,} answers cost, so no cost is given where they are."
        if unknown
        else "",
        f"{untimed:,} answers came in batches, which nobody waits for: they have no latency." if untimed else "",
        f"{recalled:,} answers had been paid for by an earlier run; cost and latency are as then."
        if recalled
        else "",
        f"Judging cost ${judging:.4f}, which is no part of the figures." if judging else "",
        *(f"`{name}` is a judge and not calibrated: its own errors are in its rate." for name in uncorrected),
    ]
    return [*run.manifest.notes, *filter(None, found)]


def _one_cluster(run: Run) -> str:
    cases = [run.cases[row.case] for row in run.rows]
    if len({case.id for case in cases}) < 2 or len({case.cluster for case in cases}) > 1:
        return ""
    return "All cases are of one cluster: the intervals take them one by one, and hold for that cluster alone."
