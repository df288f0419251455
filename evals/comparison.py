"""Is one run better than another, and is the difference real: for quality, cost and latency together.

B is judged beside A, case by case: both runs must have asked the same cases. `evals/verdicts.py` has the rule.

The non-obvious decision: what makes two runs incomparable is what makes their quality mean another thing, and
nothing else. Another target, prompt or price is what is compared; another suite costs the cases that differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from evals.comparison_notes import remarks, sentence
from evals.findings import TINY, Findings, Part
from evals.pairing import Pairs, pairs_of
from evals.records import Outcome
from evals.run_folder import Run
from evals.statistics.holm import holm
from evals.statistics.judged import Judge, judge_of
from evals.summary import LEVEL
from evals.verdicts import together

COST_MARGIN = LATENCY_MARGIN = 0.05
"""A twentieth more is what prices and networks do of themselves from one week to the next."""


class Changed(Struct, frozen=True, kw_only=True):
    """A case whose quality differs."""

    case: str
    segment: str
    a: float
    b: float


class Side(Struct, frozen=True, kw_only=True):
    """One of the two runs."""

    folder: str
    target: str
    suite_version: str
    config_hash: str
    cases: int
    errors: int


class Comparison(Struct, frozen=True, kw_only=True):
    """`verdict` is that of quality over all cases; `together` weighs it with cost and latency, in the same words.

    `summary` is a sentence for people.
    """

    verdict: str
    together: str
    summary: str
    a: Side
    b: Side
    scorer: str
    level: float
    margins: Mapping[Outcome, float]
    overall: Part
    segments: Sequence[Part]
    changed: Sequence[Changed]
    notes: Sequence[str] = ()


class Incomparable(ValueError):
    """The two runs have nothing in common that could be compared; the message says what."""


def compare(
    a: Run, b: Run, *, margins: Mapping[Outcome, float] | None = None, level: float = LEVEL, seed: int = 0
) -> Comparison:
    """Raises Incomparable. The same runs and seed give the same figures.

    `margins` that are not given are A's own of quality, COST_MARGIN and LATENCY_MARGIN. Answers that never came
    count as quality 0.
    """
    scorer = _scorer(a, b)
    pairs, notes = pairs_of(a, b, scorer)
    if not (len(pairs.cases) and (~np.isnan(pairs.quality).any(axis=0)).any()):
        raise Incomparable(
            f"{a.folder} and {b.folder} have no case in common that `{scorer}` judged in both. {' '.join(notes)}"
        )
    usual: dict[Outcome, float] = {
        "quality": a.manifest.margin,
        "cost": COST_MARGIN,
        "latency": LATENCY_MARGIN,
    }
    bounds: Mapping[Outcome, float] = {**usual, **(margins or {})}
    judge = _judge(a, b, scorer)
    known = _costs_known(pairs)
    binary = a.manifest.scorers[scorer].binary
    ways = Findings(margins=bounds, level=level, seed=seed, judge=judge, costs_known=known, binary=binary)
    overall, segments = ways.overall(pairs), ways.segments(pairs)
    verdict, said = overall.findings["quality"].verdict, _together(overall, level)
    return Comparison(
        verdict=verdict,
        together=said,
        summary=sentence(a.manifest.target, b.manifest.target, overall, said, level),
        a=_side(a),
        b=_side(b),
        scorer=scorer,
        level=level,
        margins=bounds,
        overall=overall,
        segments=segments,
        changed=_changed(pairs),
        notes=[*notes, *remarks(a, b, pairs, overall, segments, judge, known)],
    )


def _together(overall: Part, level: float) -> str:
    findings = list(overall.findings.values())
    return together(
        [finding.verdict for finding in findings],
        holm([finding.p_better for finding in findings]),
        [finding.more_needed for finding in findings],
        (1 - level) / 2,
    )


def _scorer(a: Run, b: Run) -> str:
    """The scorer that stands for quality in both runs, the same in all that it says."""
    one, other = a.manifest, b.manifest
    if one.quality != other.quality:
        raise Incomparable(
            f"Quality is `{one.quality}` in {a.folder} and `{other.quality}` in {b.folder}: run the suite again "
            "on one of the targets."
        )
    facts = one.scorers[one.quality], other.scorers[one.quality]
    if facts[0].version != facts[1].version:
        raise Incomparable(
            f"`{one.quality}` scored otherwise when {b.folder} was run than in {a.folder}: its settings, its "
            "revision or its model differ. Run the suite again on one of the targets."
        )
    scores = [row.scores.get(one.quality) for run in (a, b) for row in run.rows]
    judges = sorted({score.judge for score in scores if score is not None and score.judge})
    if len(judges) > 1:
        raise Incomparable(
            f"{' and '.join(judges)} judged `{one.quality}`: scores of two judges can't be compared. Let `model` "
            "and `pinned` name one snapshot and run the same commands again: answers are kept, and scored anew."
        )
    return one.quality


def _judge(a: Run, b: Run, scorer: str) -> Judge | None:
    """The later of both runs' calibrations, if each has one of this very judge, and it says good or bad."""
    facts = a.manifest.scorers[scorer]
    found = [run.manifest.calibrations.get(scorer) for run in (a, b)]
    fit = [one for one in found if one is not None and one.version == facts.version]
    if len(fit) < 2 or not facts.binary:
        return None
    return judge_of(max(fit, key=lambda one: one.at))


def _costs_known(pairs: Pairs) -> bool:
    """Whether there is a cost for each case that both runs answered."""
    both = pairs.answered.all(axis=0)
    return bool(both.any()) and not np.isnan(pairs.cost[:, both]).any()


def _changed(pairs: Pairs) -> list[Changed]:
    """The greatest losses first."""
    found = [
        Changed(case=case.id, segment=case.segment, a=float(a), b=float(b))
        for case, a, b in zip(pairs.cases, *pairs.quality, strict=True)
        if abs(b - a) > TINY
    ]
    return sorted(found, key=lambda each: each.b - each.a)


def _side(run: Run) -> Side:
    return Side(
        folder=str(run.folder),
        target=run.manifest.target,
        suite_version=run.manifest.suite_version,
        config_hash=run.manifest.config_hash,
        cases=len({row.case for row in run.rows}),
        errors=sum(bool(row.error) for row in run.rows),
    )
