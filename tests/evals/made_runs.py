"""Runs on disk for tests: the cases, and each one's score, cost and latency, are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from evals.cases import Case
from evals.records import Answer, Calibration, Manifest, Row, Score, ScorerFacts
from evals.run_folder import Results, Run, begin, read_run

AT = datetime(2026, 11, 1, tzinfo=UTC)
SCORER = "facts"


def made_case(number: int, *, cluster: str = "", segment: str = "all", **other: Any) -> Case:
    fields: dict[str, Any] = {
        "id": f"c{number}",
        "messages": ({"role": "user", "content": f"question {number}"},),
        "expected": {"facts": ["x"]},
        "segment": segment,
        "cluster": cluster or f"c{number}",
        "metadata": {},
    }
    return Case(**{**fields, **other})


def made_cases(count: int, *, each: int = 1, segments: int = 1) -> list[Case]:
    """`each` cases are of one cluster; clusters take turns in the segments."""
    return [
        made_case(number, cluster=f"k{number // each}", segment=f"s{number // each % segments}")
        for number in range(count)
    ]


def made_manifest(cases: Sequence[Case], **other: Any) -> Manifest:
    fields: dict[str, Any] = {
        "suite": "tiny",
        "suite_version": "sha256:1",
        "revision": "1",
        "target": "large",
        "target_version": "1",
        "config_hash": "1",
        "request": {},
        "repeats": 1,
        "scorers": {SCORER: ScorerFacts(kind="contains_facts", version="1", binary=True)},
        "quality": SCORER,
        "groups": (),
        "margin": 0.02,
        "cases": len(cases),
        "weir": "0",
        "started_at": AT,
    }
    return Manifest(**{**fields, **other})


def made_row(case: Case, score: float | None, **other: Any) -> Row:
    """A `score` of None is an answer that never came."""
    fields: dict[str, Any] = {"key": f"{case.id}-{other.get('repeat', 0)}", "case": case.id}
    fields |= {"segment": case.segment, "cluster": case.cluster, "at": AT}
    if score is None:
        fields |= {"error": "timeout: no answer", "scores": {SCORER: Score(value=0.0)}}
    else:
        answer = Answer(text="x", cost=other.pop("cost", Decimal("0.001")), latency_ms=other.pop("latency", 100.0))
        fields |= {"answer": answer, "scores": {SCORER: Score(value=float(score))}}
    return Row(**{**fields, **other})


def made_run(folder: Path, cases: Sequence[Case], rows: Sequence[Row], **manifest: Any) -> Run:
    begin(folder, made_manifest(cases, **manifest), cases)
    results = Results(folder)
    for row in rows:
        results.append(row)
    results.close()
    return read_run(folder)


def scored_run(
    folder: Path,
    cases: Sequence[Case],
    scores: Sequence[Any] | np.ndarray[Any, Any],
    *,
    costs: Sequence[float] | np.ndarray[Any, Any] | None = None,
    latencies: Sequence[float] | np.ndarray[Any, Any] | None = None,
    **manifest: Any,
) -> Run:
    """One answer to each case."""
    rows = []
    for place, (case, score) in enumerate(zip(cases, scores, strict=True)):
        more: Mapping[str, Any] = {} if costs is None else {"cost": Decimal(f"{costs[place]:.9f}")}
        slow: Mapping[str, Any] = {} if latencies is None else {"latency": float(latencies[place])}
        rows.append(made_row(case, score, **more, **slow))
    return made_run(folder, cases, rows, **manifest)


def calibrated(version: str = "1", **counts: int) -> Calibration:
    found = {"good_called_good": 90, "good_called_bad": 10, "bad_called_bad": 80, "bad_called_good": 20, **counts}
    return Calibration(scorer=SCORER, version=version, kappa=0.7, kappa_low=0.6, kappa_high=0.8, at=AT, **found)


JUDGE = ScorerFacts(kind="judge", version="1", binary=True, model="some-judge")
