"""How often a judge agrees with people: counted on answers that people labelled, and kept beside the suite.

The non-obvious decision: a calibration is a file of counts in the suite's folder, not a figure in a run. So each
run of the suite takes its judge's errors out by the same counts, and whoever doubts them finds where they are from.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import msgspec
from msgspec import Struct

from evals.judging.labels import Agreed, Label, LabelsUnusable, RatersAgreement, agreed, raters_agreement, split
from evals.judging.precision import MoreLabels, more_labels
from evals.records import Answer, Calibration, Score
from evals.run_folder import SHARED
from evals.scorers.port import Scorer
from evals.statistics.interval import Interval, Rate
from evals.targets.port import TargetFailure
from system.files import replace_file

FOLDER = "calibrations"
LEAST_LABELS = 30
"""Of good and of bad answers each: with fewer, an error rate is known to no better than 11 to 17 points."""
LEVEL = 0.95


class CalibrationUnusable(Exception):
    """A calibration that cannot be read. The message says what to do."""


class Judged(Struct, frozen=True, kw_only=True):
    """An answer as people and the judge call it, and why the judge does."""

    case: str
    answer: str
    good: bool
    judged_good: bool
    why: str


class Calibrated(Struct, frozen=True, kw_only=True):
    """A calibration with its intervals, at 95 %, and what a reader must know of it.

    `sensitivity` is the share of good answers that the judge calls good, `specificity` that of bad ones that it
    calls bad. `cost` is the dollars that asking took. `not_judged` counts answers without a score, by the failure's
    code; `split` those on which people were, which are left out too.
    """

    calibration: Calibration
    sensitivity: Rate
    specificity: Rate
    kappa: Interval
    raters: Sequence[RatersAgreement]
    disagreements: Sequence[Judged]
    not_judged: Mapping[str, int]
    split: int
    cost: Decimal
    more: MoreLabels | None
    cases: int
    """Of the suite: what `more` is about."""
    notes: Sequence[str]


async def ask_judge(
    scorer: Scorer, answers: Sequence[Agreed], *, concurrency: int, told: Callable[[], None] = lambda: None
) -> Sequence[Score | TargetFailure]:
    """The judge's scores, in order; a failure where there is none. `told` is called after each.

    Raises TargetFailure where it is fatal, and what the judge's `ask` raises otherwise.
    """
    found: dict[int, Score | TargetFailure] = {}
    waiting = iter(enumerate(answers))

    async def work() -> None:
        for place, one in waiting:
            try:
                found[place] = await scorer.score(one.case, Answer(text=one.answer))
            except TargetFailure as failure:
                if failure.fatal:
                    raise
                found[place] = failure
            told()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(answers))):
                group.create_task(work())
    except ExceptionGroup as several:
        raise several.exceptions[0] from None
    return [found[place] for place in range(len(answers))]


def lacking(scorer: Scorer, answers: Sequence[Agreed]) -> Sequence[str]:
    """What is missing so that the scorer could judge the answers, with files and lines."""
    problems = []
    for one in answers:
        try:
            missing = scorer.lacks(one.case)
        except ValueError as error:
            problems.append(f"{one.where}: {error}")
            continue
        if missing:
            problems.append(f"{one.where}: {scorer.name} needs {missing}")
    return problems


def calibrated(
    scorer: Scorer, labels: Sequence[Label], scores: Sequence[Score | TargetFailure], *, cases: int, cost: Decimal
) -> Calibrated:
    """What comes of `scores`, which are of `agreed(labels)`, in order. `cases` is how many the suite has.

    Raises LabelsUnusable where good or bad answers are missing.
    """
    judged = [
        (
            one,
            Judged(
                case=one.case.id, answer=one.answer, good=one.good, judged_good=score.value >= 0.5, why=score.why
            ),
        )
        for one, score in zip(agreed(labels), scores, strict=True)
        if isinstance(score, Score)
    ]
    counts = Counter((one.good, one.judged_good) for _, one in judged)
    good, bad = (counts[kind, True] + counts[kind, False] for kind in (True, False))
    failures = [score for score in scores if isinstance(score, TargetFailure)]
    if not good or not bad:
        few = f"{good} good and {bad} bad answers could be judged: a judge is calibrated on some of both"
        raise LabelsUnusable([few, *_failed(failures)])
    judges = [score.judge for score in scores if isinstance(score, Score)]
    calibration = _counted(scorer, counts, judges[0])
    return Calibrated(
        calibration=calibration,
        sensitivity=_right(judged, good=True),
        specificity=_right(judged, good=False),
        kappa=Interval(calibration.kappa, calibration.kappa_low, calibration.kappa_high),
        raters=raters_agreement(labels),
        disagreements=[one for _, one in judged if one.good != one.judged_good],
        not_judged=Counter(failure.code for failure in failures),
        split=split(labels),
        cost=cost,
        more=_more(calibration, cases),
        cases=cases,
        notes=[*_notes(calibration, split(labels)), *_failed(failures)],
    )


def write_calibration(folder: Path, calibration: Calibration) -> Path:
    """Where it was written in the suite's `folder`, in place of an earlier one. Raises OSError."""
    path = folder / FOLDER / f"{quote(calibration.scorer, safe=' ')}.json"
    path.parent.mkdir(exist_ok=True)
    replace_file(path, msgspec.json.format(msgspec.json.encode(calibration), indent=1) + b"\n", SHARED)
    return path


def read_calibrations(folder: Path) -> Mapping[str, Calibration]:
    """Those in the suite's `folder`, by scorer; one may be of another version than the scorer is now.

    Raises CalibrationUnusable.
    """
    found = {}
    for path in sorted((folder / FOLDER).glob("*.json")):
        try:
            calibration = msgspec.json.decode(path.read_bytes(), type=Calibration)
        except (OSError, msgspec.MsgspecError) as error:
            raise CalibrationUnusable(
                f"{path} cannot be read: {error}. Calibrate the judge again, or delete the file."
            ) from error
        found[calibration.scorer] = calibration
    return found


def _counted(scorer: Scorer, counts: Counter[tuple[bool, bool]], judge: str) -> Calibration:
    """`counts` are of (good as people call it, good as the judge does)."""
    agreement = _kappa(counts)
    return Calibration(
        scorer=scorer.name,
        version=scorer.version,
        good_called_good=counts[True, True],
        good_called_bad=counts[True, False],
        bad_called_bad=counts[False, False],
        bad_called_good=counts[False, True],
        kappa=agreement.value,
        kappa_low=agreement.low,
        kappa_high=agreement.high,
        at=datetime.now(UTC),
        judge=judge,
    )


def _kappa(counts: Counter[tuple[bool, bool]]) -> Interval:
    """0, for certain, where the judge calls all answers the same: the formula has no error for that."""
    from evals.statistics.agreement import kappa

    if len({judged for _, judged in counts}) < 2:
        return Interval(0.0, 0.0, 0.0)
    return kappa(counts[True, True], counts[True, False], counts[False, False], counts[False, True], LEVEL)


def _right(judged: Sequence[tuple[Agreed, Judged]], *, good: bool) -> Rate:
    """How often the judge is right about answers of one kind, which resemble each other within a case's cluster."""
    from evals.statistics.rates import rate_of

    kind = [(float(one.judged_good == good), of.case.cluster) for of, one in judged if one.good == good]
    return rate_of([right for right, _ in kind], [cluster for _, cluster in kind], binary=True, level=LEVEL)


def _more(calibration: Calibration, cases: int) -> MoreLabels | None:
    return more_labels(
        good=calibration.good_called_good + calibration.good_called_bad,
        called_good=calibration.good_called_good,
        bad=calibration.bad_called_bad + calibration.bad_called_good,
        called_bad=calibration.bad_called_bad,
        cases=cases,
        level=LEVEL,
    )


def _failed(failures: Sequence[TargetFailure]) -> Sequence[str]:
    if not failures:
        return []
    first = failures[0]
    return [
        f"Answers that could not be judged were left out ({len(failures):,}). The first: "
        f"{first.code}: {first.message}"
    ]


def _notes(calibration: Calibration, undecided: int) -> Sequence[str]:
    good = calibration.good_called_good + calibration.good_called_bad
    bad = calibration.bad_called_bad + calibration.bad_called_good
    notes = []
    if few := [f"{count} {kind}" for kind, count in (("good", good), ("bad", bad)) if count < LEAST_LABELS]:
        notes.append(
            f"Only {' and '.join(few)} answers are labelled: with fewer than {LEAST_LABELS} of a kind it is hardly "
            "known how often the judge errs there."
        )
    if calibration.good_called_good * bad + calibration.bad_called_bad * good <= good * bad:
        notes.append(
            "The judge is no better than chance, so its rates cannot be corrected. Change its rubric or model."
        )
    if undecided:
        notes.append(
            f"Answers on which people are split were left out ({undecided:,}), which flatters the judge: they are "
            "the hard ones. Have somebody settle them."
        )
    return notes
