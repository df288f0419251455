"""How often a run refused rightly: precision and recall of refusals, over all cases that say whether to refuse.

The non-obvious decision: an answer that never came is no refusal. It lowers recall, as whoever asked was not told
that there is no answer, and leaves precision alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from evals.records import Row
from evals.run_folder import Run
from evals.statistics.interval import Rate

KIND = "refusal"


class Refusing(Struct, frozen=True, kw_only=True):
    """`precision` is the share of refusals that were right, `recall` the share of answers to cases without one that
    refused. None: nothing was refused, or there was no such case."""

    precision: Rate | None
    recall: Rate | None


def refusing(run: Run, level: float) -> dict[str, Refusing]:
    """By the name of each scorer that judges refusals."""
    names = [name for name, facts in run.manifest.scorers.items() if facts.kind == KIND]
    return {name: _of(run, name, level) for name in names}


def told(name: str, found: Refusing) -> Iterator[str]:
    """For people."""
    if found.precision is not None:
        yield f"{name}: of {found.precision.n:,} refusals {_shown(found.precision)} were right (precision)."
    if found.recall is not None:
        yield f"{name}: of {found.recall.n:,} cases without an answer {_shown(found.recall)} were refused (recall)."


def _of(run: Run, name: str, level: float) -> Refusing:
    rows = [row for row in run.rows if name in row.scores and "refuse" in run.cases[row.case].expected]
    judged = [(row, bool(run.cases[row.case].expected["refuse"]), _refused(run, row, name)) for row in rows]
    return Refusing(
        precision=_rate(((row, wanted) for row, wanted, did in judged if did), level),
        recall=_rate(((row, did) for row, wanted, did in judged if wanted), level),
    )


def _refused(run: Run, row: Row, name: str) -> bool:
    right = row.scores[name].value == 1
    return row.answer is not None and right == run.cases[row.case].expected["refuse"]


def _rate(found: Iterable[tuple[Row, bool]], level: float) -> Rate | None:
    """Over cases, each with the mean of its repeats."""
    from evals.statistics.rates import rate_of

    values: dict[str, list[float]] = {}
    clusters: dict[str, str] = {}
    for row, good in found:
        values.setdefault(row.case, []).append(float(good))
        clusters[row.case] = row.cluster
    if not values:
        return None
    means = [sum(each) / len(each) for each in values.values()]
    once = all(len(each) == 1 for each in values.values())
    return rate_of(means, list(clusters.values()), binary=once, level=level)


def _shown(rate: Rate) -> str:
    return f"{rate.value:.0%} ({rate.low:.0%} to {rate.high:.0%})"
