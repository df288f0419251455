"""How often `weir eval compare` raises a false alarm, and how often it sees a loss that is there.

    .venv/bin/python benchmarks/eval_verdicts.py
    .venv/bin/python benchmarks/eval_verdicts.py --trials 400 --json

Pairs of whole runs are made up as in `benchmarks/eval_coverage.py` and compared as the verb compares them. A row
says in which share of the pairs quality was called better and worse, and in which any segment was, after Holm.
Where nothing was planted, one pair in forty may be called better, and one worse; `error` is the Monte Carlo error
of that.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks.eval_coverage import Scene, runs
from benchmarks.scenes import tell
from evals.cases import Case
from evals.comparison import compare
from evals.records import Answer, Manifest, Row, Score, ScorerFacts
from evals.run_folder import Run
from evals.statistics.clusters import Row as Scores
from evals.verdicts import BETTER, WORSE

_AT = datetime(2026, 11, 1, tzinfo=UTC)
_SCORER = "right"


@dataclass(frozen=True, slots=True)
class Trial:
    """`segments` take turns among the clusters."""

    clusters: int
    icc: float
    rate: float
    segments: int = 1
    change: float = 0.0


TRIALS = (
    Trial(300, 0.0, 0.8),
    Trial(40, 0.3, 0.8),
    Trial(15, 0.3, 0.8),
    Trial(480, 0.3, 0.7, segments=40),
    Trial(40, 0.3, 0.8, change=-0.1),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200, help="pairs of runs of each row (200)")
    parser.add_argument("--seed", type=int, default=1, help="another one makes other runs (1)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    lots = np.random.default_rng(arguments.seed)
    console = Console(stderr=True)
    rows = []
    for number, trial in enumerate(TRIALS, 1):
        label = f"row {number} of {len(TRIALS)}"
        steps = track(range(arguments.trials), label, console=console, disable=not console.is_terminal)
        rows.append(row_of(trial, [verdicts(trial, lots, seed) for seed in steps]))
    tell(rows, {"trials": arguments.trials}, as_json=arguments.json)


def verdicts(trial: Trial, lots: np.random.Generator, seed: int) -> Mapping[str, bool]:
    a, b, units = runs(Scene("binary", trial.clusters, trial.icc, trial.rate, trial.change), lots)
    cases = [
        Case(
            id=str(place),
            messages=({"role": "user", "content": f"question {place}"},),
            expected={},
            segment=f"s{unit % trial.segments}",
            cluster=str(unit),
            metadata={},
        )
        for place, unit in enumerate(units.tolist())
    ]
    found = compare(_run("a", cases, a), _run("b", cases, b), seed=seed)
    parts = {part.findings["quality"].verdict for part in found.segments}
    return {
        "better": found.verdict == BETTER,
        "worse": found.verdict == WORSE,
        "a segment better": BETTER in parts,
        "a segment worse": WORSE in parts,
    }


def row_of(trial: Trial, found: list[Mapping[str, bool]]) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(trial, name) for name in Trial.__slots__}
    row |= {name: sum(one[name] for one in found) / len(found) for name in found[0]}
    return row | {"error": math.sqrt(0.025 * 0.975 / len(found))}


def _run(name: str, cases: list[Case], scores: Scores) -> Run:
    manifest = Manifest(
        suite="made up",
        suite_version="1",
        revision="1",
        target=name,
        target_version=name,
        config_hash=name,
        request={},
        repeats=1,
        scorers={_SCORER: ScorerFacts(kind="exact", version="1", binary=True)},
        quality=_SCORER,
        groups=(),
        margin=0.02,
        cases=len(cases),
        weir="",
        started_at=_AT,
    )
    rows = [
        Row(
            key=case.id,
            case=case.id,
            segment=case.segment,
            cluster=case.cluster,
            at=_AT,
            answer=Answer(latency_ms=None),
            scores={_SCORER: Score(value=float(score))},
        )
        for case, score in zip(cases, scores, strict=True)
    ]
    return Run(Path(name), manifest, {case.id: case for case in cases}, rows)


if __name__ == "__main__":
    main()
