"""Figures to hold against rules, made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from evals.comparison import Comparison, Side
from evals.findings import Finding, Part
from evals.gating.checks import Beside
from evals.gating.gate import verdict_of
from evals.gating.rules import Rules
from evals.gating.verdict import Check, Verdict
from evals.records import Calibration, Manifest, ScorerFacts
from evals.statistics.interval import Interval, Rate
from evals.summary import Figures, Summary
from evals.verdicts import NOT_WORSE

AT = datetime(2026, 11, 1, tzinfo=UTC)


def rate(value: float, low: float | None = None, high: float | None = None) -> Rate:
    low, high = value - 0.1 if low is None else low, value + 0.1 if high is None else high
    return Rate(value=value, standard_error=0.05, low=low, high=high, n=10, clusters=10)


def figures(name: str, value: float | None, cases: int = 10, **fields: Any) -> Figures:
    scores = {} if value is None else {"facts": rate(value)}
    told = {"answers": cases, "errors": 0, "scores": scores, **fields}
    return Figures(name=name, cases=cases, **told)


def manifest(*, groups: tuple[str, ...] = (), **fields: Any) -> Manifest:
    facts = {"facts": ScorerFacts(kind="contains_facts", version="1", binary=True)}
    told = {"suite": "desk", "target": "small", "scorers": facts, "quality": "facts", "cases": 10, **fields}
    return Manifest(
        suite_version="sha256:5",
        revision="1",
        target_version="t",
        config_hash="c",
        request={},
        repeats=1,
        groups=groups,
        margin=0.02,
        weir="0",
        started_at=AT,
        **told,
    )


def summary(
    overall: Figures,
    segments: Sequence[Figures] = (),
    groups: Mapping[str, Sequence[Figures]] | None = None,
    **fields: Any,
) -> Summary:
    about = fields.pop("manifest", None) or manifest(groups=tuple(groups or ()))
    told = {"notes": (), "complete": True, **fields}
    return Summary(manifest=about, overall=overall, segments=segments, groups=groups or {}, **told)


def finding(change: Interval, verdict: str = NOT_WORSE, **fields: Any) -> Finding:
    told = {"margin": 0.02, "p_better": 0.5, "p_worse": 0.5, "p_not_worse": 0.5, **fields}
    return Finding(a=0.5, b=0.5, change=change, verdict=verdict, **told)


def part(name: str, cases: int = 10, **findings: Finding) -> Part:
    return Part(name=name, cases=cases, clusters=cases, findings=findings)  # type: ignore[arg-type]


def comparison(overall: Part, *segments: Part, notes: Sequence[str] = ()) -> Comparison:
    sides = [
        Side(folder=name, target=name, suite_version="sha256:5", config_hash=name, cases=10, errors=0)
        for name in ("a", "b")
    ]
    return Comparison(
        verdict=NOT_WORSE,
        together=NOT_WORSE,
        summary="",
        a=sides[0],
        b=sides[1],
        scorer="facts",
        level=0.95,
        margins={},
        overall=overall,
        segments=segments,
        changed=(),
        notes=notes,
    )


def calibration(kappa: float, version: str = "7") -> Calibration:
    counts = dict.fromkeys(("good_called_good", "good_called_bad", "bad_called_bad", "bad_called_good"), 1)
    return Calibration(
        scorer="judge", version=version, kappa=kappa, kappa_low=kappa - 0.2, kappa_high=kappa + 0.1, at=AT, **counts
    )


def held(rules: Mapping[str, Any], about: Summary, beside: Beside = "no baseline", **fields: Any) -> Verdict:
    return verdict_of(about, Rules.model_validate(rules), beside, run="runs/new", **fields)


def only(verdict: Verdict) -> Check:
    (check,) = verdict.checks
    return check


def refused() -> Verdict:
    """With names that mean something to XML, HTML and Markdown."""
    rows = [figures("<b>a|b</b>`\x00\n@everyone", 0.2), figures("fine", 0.9)]
    return held({"segments": {"floor": 0.5}}, summary(figures("all", 0.6), rows, notes=("Mind <this> *note*.",)))
