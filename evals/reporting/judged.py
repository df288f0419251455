"""What came of each case of a run, over its repeats: the one place that says which answers are good."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from evals.cases import Case
from evals.records import Row
from evals.run_folder import Run

GOOD = 0.5
"""From this score on a case is good: a scorer of 0 and 1 says so itself, one with degrees calls it half right."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A case with what was answered. `scores` are means over repeats, 0 for an answer that never came."""

    case: Case
    rows: Sequence[Row]
    scores: Mapping[str, float]

    @property
    def failed(self) -> bool:
        """Whether an answer never came."""
        return any(row.error for row in self.rows)


def judged(run: Run) -> list[Judged]:
    """The cases that were asked, in the suite's order."""
    rows: dict[str, list[Row]] = {}
    for row in run.rows:
        rows.setdefault(row.case, []).append(row)
    return [Judged(run.cases[case], found, _means(found)) for case, found in rows.items()]


def bad(quality: str) -> Callable[[Judged], bool]:
    """Whether a case scores below `GOOD` by the scorer `quality`; False where that could not judge it."""
    return lambda one: one.scores.get(quality, 1.0) < GOOD


def _means(rows: Sequence[Row]) -> dict[str, float]:
    names = dict.fromkeys(name for row in rows for name in row.scores)
    means = {}
    for name in names:
        known = [row.scores[name].value if name in row.scores else 0.0 for row in rows if _counts(row, name)]
        means[name] = fmean(known)
    return means


def _counts(row: Row, name: str) -> bool:
    return name in row.scores or bool(row.error)
