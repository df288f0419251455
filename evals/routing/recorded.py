"""Recorded outcomes: one query, many models, and of each its score and cost.

They come from a file, or from runs of one suite on several models, which are the same thing. The non-obvious
decision: only queries that every model answered count. A policy that is tried on what happens to be known would be
told less of what it got wrong.

    a line for each outcome:  {"query", "model", "score", "cost_usd"}
    a line for each query:    {"query", "outcomes": {MODEL: {"score", "cost_usd"}}}

"query_id" tells equal queries apart; "cluster" says which ones resemble each other. Other fields are left alone.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from contracts.money import ZERO
from evals.run_folder import Run

Table = NDArray[np.float64]
"""(queries, models)."""
_Share = Annotated[float, Meta(ge=0, le=1)]
_Dollars = Annotated[float, Meta(ge=0)]


class Unreplayable(ValueError):
    """The outcomes are not what a policy could be tried on; the message says why, and what would be."""


class Recorded(Struct, frozen=True, kw_only=True):
    """What each model's answer was worth. `scores` are 0..1, `costs` dollars, NaN where they are not known.

    `names` tell queries apart, such as a case's id; queries of one cluster are not independent. `left_out` counts
    queries that not every model answered.
    """

    models: Sequence[str]
    names: Sequence[str]
    queries: Sequence[str]
    clusters: Sequence[str]
    scores: Table
    costs: Table
    left_out: int = 0

    def column(self, model: str) -> int:
        """Raises Unreplayable where `model` is none of these."""
        if model not in self.models:
            raise Unreplayable(f"No outcomes are recorded of {model}; there are some of {', '.join(self.models)}.")
        return list(self.models).index(model)

    def cheapest_beside(self, reference: str) -> str:
        """By mean cost; where costs are not known the worst, since a dear model that is worse needs no router."""
        by = self.scores if np.isnan(self.costs).any() else self.costs
        others = [model for model in self.models if model != reference]
        return min(others, key=lambda model: float(by[:, self.column(model)].mean()))


class _Result(Struct):
    score: _Share
    cost_usd: _Dollars | None = None


class _Line(Struct):
    """Either form; other fields are left alone."""

    query: str | None = None
    query_id: str = ""
    cluster: str = ""
    model: str = ""
    score: _Share | None = None
    cost_usd: _Dollars | None = None
    outcomes: Mapping[str, _Result] = {}


class _Asked(Struct):
    query: str
    cluster: str
    results: dict[str, list[_Result]]


def read_recorded(path: Path, models: Sequence[str] = ()) -> Recorded:
    """JSON lines, gzipped where the name ends in .gz; `models`, if there are any, in this order and no others.

    Raises Unreplayable.
    """
    found: dict[str, _Asked] = {}
    for line in _lines(path):
        query = line.query or ""
        asked = found.setdefault(line.query_id or query, _Asked(query, line.cluster, {}))
        results = {line.model: _Result(line.score, line.cost_usd)} if line.score is not None else line.outcomes
        for model, result in results.items():
            asked.results.setdefault(model, []).append(result)
    return _table(found, models, str(path))


def of_runs(runs: Mapping[str, Run]) -> Recorded:
    """The outcomes of one suite's runs, by the name of the model that each of them asked. Raises Unreplayable.

    An answer that never came scores 0 and costs nothing.
    """
    suites = {run.manifest.suite_version for run in runs.values()}
    if len(suites) > 1:
        raise Unreplayable("The runs are of different suites, or of different versions of one.")
    found: dict[str, _Asked] = {}
    for model, run in runs.items():
        for row in run.rows:
            case = run.cases[row.case]
            asked = found.setdefault(case.id, _Asked(case.question, case.cluster, {}))
            score = row.scores.get(run.manifest.quality)
            if row.error or (row.answer is not None and score is not None):
                cost = row.answer.cost if row.answer is not None else ZERO
                result = _Result(score.value if score else 0.0, float(cost) if cost is not None else None)
                asked.results.setdefault(model, []).append(result)
    return _table(found, tuple(runs), "these runs")


def _table(found: Mapping[str, _Asked], models: Sequence[str], where: str) -> Recorded:
    models = tuple(models) or tuple(sorted({model for asked in found.values() for model in asked.results}))
    whole = {name: asked for name, asked in found.items() if all(model in asked.results for model in models)}
    if len(models) < 2 or not whole:
        known = sorted({model for asked in found.values() for model in asked.results})
        raise Unreplayable(
            f"{where}: a policy chooses among two models at least, and they must have answered the same queries. "
            f"There are outcomes of {', '.join(known) or 'no model'}; {len(whole)} of {len(found)} queries have "
            "all of them."
        )
    return Recorded(
        models=models,
        names=list(whole),
        queries=[asked.query for asked in whole.values()],
        clusters=[asked.cluster or name for name, asked in whole.items()],
        scores=np.array([[_score(asked.results[model]) for model in models] for asked in whole.values()]),
        costs=np.array([[_cost(asked.results[model]) for model in models] for asked in whole.values()]),
        left_out=len(found) - len(whole),
    )


def _score(results: Sequence[_Result]) -> float:
    return fmean(result.score for result in results)


def _cost(results: Sequence[_Result]) -> float:
    costs = [result.cost_usd for result in results if result.cost_usd is not None]
    return fmean(costs) if costs else float("nan")


def _lines(path: Path) -> Iterator[_Line]:
    decoder = msgspec.json.Decoder(_Line)
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            yield from _decoded(decoder, file, path)
    except (OSError, EOFError) as error:
        raise Unreplayable(f"{path} cannot be read: {error}") from error


def _decoded(decoder: msgspec.json.Decoder[_Line], lines: Iterable[bytes], path: Path) -> Iterator[_Line]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            read = decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise Unreplayable(f"{path}, line {number}: {error}") from error
        if read.score is not None and not read.model:
            raise Unreplayable(f"{path}, line {number}: a score needs the `model` that it is of")
        if not read.query and not read.query_id:
            raise Unreplayable(f"{path}, line {number}: there is neither `query` nor `query_id`")
        yield read
