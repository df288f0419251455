"""The cases that two runs have in common, side by side.

The non-obvious decision: an answer that never came is worth 0, for whoever asks gets nothing; but it has no cost
and no latency, so such a case does not count in those.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evals.cases import Case
from evals.records import Row
from evals.run_folder import Run
from evals.statistics.clusters import Row as Numbers
from evals.statistics.clusters import Units, units_of
from evals.statistics.resampling import Sample


@dataclass(frozen=True, slots=True)
class Pairs:
    """`quality` and `cost` are (2, cases), A's row and B's, repeats averaged, NaN where not known; `latency` holds
    each run's answers, by the place of their case; `asked` and `answered` (2, cases) how often."""

    cases: Sequence[Case]
    clusters: Units
    quality: Numbers
    cost: Numbers
    latency: tuple[Sample, Sample]
    asked: NDArray[np.intp]
    answered: NDArray[np.intp]

    def of(self, places: NDArray[np.intp]) -> Pairs:
        """Only the cases at `places`."""
        place = np.full(len(self.cases), -1, dtype=np.intp)
        place[places] = np.arange(len(places))
        a, b = (
            Sample(one.values[place[one.units] >= 0], place[one.units][place[one.units] >= 0])
            for one in self.latency
        )
        cases = [self.cases[index] for index in places]
        return Pairs(
            cases,
            self.clusters[places],
            self.quality[:, places],
            self.cost[:, places],
            (a, b),
            self.asked[:, places],
            self.answered[:, places],
        )


def pairs_of(a: Run, b: Run, scorer: str) -> tuple[Pairs, list[str]]:
    """The cases that both runs asked in the same words and expect the same of, and notes on those left out."""
    rows = (_by_case(a), _by_case(b))
    shared = [case for case in a.cases.values() if case.id in b.cases]
    same = [case for case in shared if _alike(case, b.cases[case.id])]
    ready = [case for case in same if case.id in rows[0] and case.id in rows[1]]
    notes = [
        _note(len(set(a.cases) ^ set(b.cases)), "in one of the suites only"),
        _note(len(shared) - len(same), "asked otherwise, or for another answer, in the other run"),
        _note(len(same) - len(ready), "not asked in both runs yet"),
    ]
    sides = [[found[case.id] for case in ready] for found in rows]
    pairs = Pairs(
        cases=ready,
        clusters=units_of([case.cluster for case in ready]),
        quality=np.array([[_mean([quality(row, scorer) for row in one]) for one in side] for side in sides]),
        cost=np.array([[_mean([_cost(row) for row in one]) for one in side] for side in sides]),
        latency=(_latency(sides[0]), _latency(sides[1])),
        asked=np.array([[len(one) for one in side] for side in sides], dtype=np.intp),
        answered=np.array([[sum(bool(row.answer) for row in one) for one in side] for side in sides], np.intp),
    )
    return pairs, [note for note in notes if note]


def quality(row: Row, scorer: str) -> float | None:
    """What `scorer` gives the row: 0 for an answer that never came, None where it does not judge the case."""
    score = row.scores.get(scorer)
    if score is not None:
        return score.value
    return 0.0 if row.error and not row.scores else None


def _by_case(run: Run) -> Mapping[str, Sequence[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in run.rows:
        found[row.case].append(row)
    return found


def _alike(one: Case, other: Case) -> bool:
    return one.expected == other.expected and one.asked == other.asked


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else float("nan")


def _cost(row: Row) -> float | None:
    return float(row.answer.cost) if row.answer and row.answer.cost is not None else None


def _latency(side: Sequence[Sequence[Row]]) -> Sample:
    found = [
        (row.answer.latency_ms, place)
        for place, rows in enumerate(side)
        for row in rows
        if row.answer and row.answer.latency_ms is not None
    ]
    values = np.array([value for value, _ in found], dtype=float)
    return Sample(values, np.array([place for _, place in found], dtype=np.intp))


def _note(count: int, what: str) -> str:
    return f"{count:,} {'case is' if count == 1 else 'cases are'} left out: {what}." if count else ""
