"""A folder that a run is begun in, or gone on with: what of it stands, and who may write to it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec

from contracts.money import ZERO
from evals.cases import Case
from evals.records import Manifest, Row
from evals.run_folder import CASES, MANIFEST, PAGE, RESULTS, SUMMARY, Results, read_manifest, rows_in
from evals.runner.marking import Marking
from evals.runner.plan import Plan, Work
from evals.runner.tally import Tally
from evals.suite import HEAD
from system.files import try_lock

BATCHES = "batches.json"
FROM_CACHE = "A Weir was free to answer from its cache."
"""A run's note, by which it is told from one that was not."""
CHANGED = "changed: the question is another one now, and was not asked yet"


class RunRefused(Exception):
    """The folder holds something else. The message says what to do."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder, made where it is not there, for nobody else to write to. Raises RunRefused and OSError.

    A suite's own folder is refused: a run's cases would take the place of its cases.
    """
    if (folder / HEAD).exists():
        raise RunRefused(f"{folder} holds a suite, whose cases a run would overwrite: give another --out.")
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not try_lock(descriptor):
            raise RunRefused(f"Another run is writing to {folder}: wait for it, or give another --out.")
        yield
    finally:
        os.close(descriptor)


def clear(folder: Path) -> None:
    """Delete a run's own files, and nothing else that lies there."""
    for name in (MANIFEST, CASES, RESULTS, SUMMARY, PAGE, BATCHES):
        (folder / name).unlink(missing_ok=True)


def check(folder: Path, wanted: Manifest) -> Manifest | None:
    """The manifest of the run to go on with; None where there is none. Raises RunRefused and RunUnusable.

    Other scorers are no hindrance: answers are then scored anew, and not asked for again. Neither is a run that got
    no answer, as from an address that was mistyped: it counts as none.
    """
    if not (folder / MANIFEST).exists():
        if (folder / RESULTS).exists():
            raise RunRefused(f"{folder} has results without a {MANIFEST}: give another --out, or --fresh-start.")
        return None
    found = read_manifest(folder)
    differs = [
        f"{what} {old!r}, not {new!r}"
        for what, old, new in (
            ("suite", found.suite, wanted.suite),
            ("target", found.target, wanted.target),
            ("request", dict(found.request), dict(wanted.request)),
        )
        if old != new
    ]
    if not differs and found.target_version != wanted.target_version:
        differs = [f"another address or configuration of {found.target}"]
    if (FROM_CACHE in found.notes) != (FROM_CACHE in wanted.notes):
        differs.append(f"{found.target} {'with' if FROM_CACHE in found.notes else 'without'} --with-cache")
    if found.repeats > wanted.repeats:
        differs.append(f"{found.repeats} repeats, not {wanted.repeats}")
    if differs and not _holds_answers(folder):
        return None
    if differs:
        raise RunRefused(
            f"{folder} holds a run of {'; '.join(differs)}.\n"
            "Give another --out, or --fresh-start to delete that run and begin anew."
        )
    return found


@dataclass(slots=True)
class Standing:
    """What an earlier start left. `rows` says which line of the results counts, of work that is not to be asked."""

    answered: dict[tuple[str, int], int] = field(default_factory=dict)
    unscored: set[tuple[str, int]] = field(default_factory=set)
    outdated: list[tuple[str, int]] = field(default_factory=list)
    spent: Decimal = ZERO


def survey(folder: Path, plan: Plan, marking: Marking, tally: Tally) -> Standing:
    """Read the results once, in memory that does not grow with the answers. Counts what stands in `tally`.

    `spent` is what the rows that stand took, answers that were recalled left out. Raises RunUnusable.
    """
    cases = {case.id: case for case in plan.cases}
    last = {(row.case, row.repeat): place for place, row in enumerate(rows_in(folder)) if row.case in cases}
    found = Standing()
    for place, row in enumerate(rows_in(folder)):
        name = (row.case, row.repeat)
        if last.get(name) != place:
            continue
        found.spent += paid_for(row)
        case = cases[row.case]
        if row.key != plan.key(case, row.repeat):
            found.outdated.append(name)
        elif row.answer is not None:
            found.answered[name] = place
            if marking.holds(case, row) and (row.segment, row.cluster) == (case.segment, case.cluster):
                tally.count(row)
                tally.kept += 1
                for scorer, score in row.scores.items():
                    marking.hold(scorer, score.judge)
            else:
                found.unscored.add(name)
    return found


def to_score(folder: Path, plan: Plan, standing: Standing) -> Iterator[Work]:
    """Answered rows that lack scores, one at a time. What is appended meanwhile is passed over."""
    if not standing.unscored:
        return
    cases = {case.id: case for case in plan.cases}
    for place, row in enumerate(rows_in(folder)):
        name = (row.case, row.repeat)
        if name in standing.unscored and standing.answered[name] == place:
            case = cases[row.case]
            had = msgspec.structs.replace(row, segment=case.segment, cluster=case.cluster)
            yield Work(case, row.repeat, row.key, had)


def strike_out(results: Results, standing: Standing, plan: Plan) -> None:
    """Say of rows whose question has changed that they are not answered, until they are."""
    cases: Mapping[str, Case] = {case.id: case for case in plan.cases}
    for name, repeat in standing.outdated:
        case = cases[name]
        results.append(
            Row(
                key=plan.key(case, repeat),
                case=name,
                repeat=repeat,
                segment=case.segment,
                cluster=case.cluster,
                at=datetime.now(UTC),
                error=CHANGED,
            )
        )


def _holds_answers(folder: Path) -> bool:
    """Or a batch that will have some."""
    return (folder / BATCHES).exists() or any(row.answer is not None for row in rows_in(folder))


def paid_for(row: Row) -> Decimal:
    """Dollars of its answer and its judges; an answer that was recalled cost nothing."""
    judges = sum((score.cost for score in row.scores.values()), ZERO)
    return judges + (row.answer.cost or ZERO if row.answer is not None and not row.recalled else ZERO)
