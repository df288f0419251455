"""`weir eval calibrate`: hold a judge against people's labels, so that its errors can be taken out of rates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from contracts.money import plain
from evals.calibration import Calibrated, ask_judge, calibrated, lacking, write_calibration
from evals.judging.labels import Agreed, Label, LabelsUnusable, agreed, read_labels
from evals.judging.precision import MoreLabels
from evals.records import Score
from evals.runner.allowance import Allowance
from evals.runner.asking import Asking
from evals.runner.ending import Ended, Ending
from evals.runner.pace import Pace
from evals.scorers.catalogue import scorer_of
from evals.scorers.judge import RubricSettings
from evals.scorers.pairwise import PairwiseSettings
from evals.scorers.port import Instruments, Scorer
from evals.statistics.interval import Interval, Rate
from evals.suite import Suite, SuiteError, read_suite
from evals.targets.port import Target, TargetFailure
from evals.targets.spec import TargetSpec, target_of
from weir.eval_target import target_options

if TYPE_CHECKING:
    from evals.scorers.port import Vectors

_CONCURRENCY = 8
"""Judges are mostly hosted models, whose limits allow so many; a few hundred answers take a minute or two."""


@click.command(
    epilog="""\b
Examples:
  weir eval calibrate suites/support --scorer judge --labels labels.jsonl
  weir eval calibrate suites/support --scorer judge --labels labels.jsonl --disagreements look-at.jsonl
  weir eval calibrate suites/support --scorer judge --labels labels.jsonl --config weir.yaml --json

\b
A line of labels.jsonl (`rater` may be left out, and `messages` or `input` stand for `case`):
  {"case": "reset-1", "answer": "Choose Forgot password.", "good": true, "rater": "ann"}"""
)
@click.argument("folder", metavar="SUITE", type=click.Path(path_type=Path))
@click.option("--scorer", "name", required=True, help="The judge's name among the suite's scorers.")
@click.option(
    "--labels",
    "path",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Answers that people called good or bad: JSONL.",
)
@click.option(
    "--disagreements",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the answers that the judge calls otherwise than people into this file: JSONL.",
)
@target_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def calibrate(
    folder: Path, name: str, path: Path, disagreements: Path | None, where: TargetSpec, as_json: bool
) -> None:
    """Find out how often a judge agrees with people.

    The judge scores answers that people labelled. How often it calls good ones good and bad ones bad is written
    into the suite's folder; runs of the suite then tell the rate with the judge's errors taken out.
    """
    try:
        suite = read_suite(folder)
        settings = _settings_of(suite, name)
        labels = read_labels(path, {case.id: case for case in suite.cases})
        found = asyncio.run(_calibrate(suite, settings, labels, where))
        file = write_calibration(folder, found.calibration)
        if disagreements is not None:
            disagreements.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in found.disagreements))
    except (SuiteError, LabelsUnusable, TargetFailure, Ended, ImportError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename} cannot be written: {error.strerror}.") from error
    if as_json:
        told = msgspec.json.encode({"file": str(file), **msgspec.structs.asdict(found)})
        click.echo(msgspec.json.format(told, indent=2))
        return
    _print(Console(), found)
    click.echo(f"Wrote {file}.", err=True)


def _settings_of(suite: Suite, name: str) -> RubricSettings:
    """Raises click.ClickException where there is no such judge, or where labels cannot calibrate it."""
    settings = next((one for one in suite.scorers if one.called == name), None)
    if isinstance(settings, RubricSettings):
        return settings
    if settings is None:
        names = ", ".join(one.called for one in suite.scorers)
        raise click.ClickException(f"The suite has no scorer {name!r}; it has {names}.")
    if isinstance(settings, PairwiseSettings):
        raise click.ClickException(
            f"{name} compares two answers, so labels of single ones say nothing of how often it is right. "
            "Calibrate a scorer of kind `judge`."
        )
    raise click.ClickException(f"{name} asks no model: only a scorer of kind `judge` is calibrated.")


async def _calibrate(
    suite: Suite, settings: RubricSettings, labels: Sequence[Label], where: TargetSpec
) -> Calibrated:
    target = target_of(where.of(settings.model))
    ending = Ending()
    allowance = Allowance(target.price, ending)
    asking = Asking(target, ending=ending, pace=Pace(ending), allowance=allowance)
    scorer = scorer_of(settings, Instruments(ask=asking.judge, encode=_no_vectors))
    answers = agreed(labels)
    if problems := lacking(scorer, answers):
        raise LabelsUnusable(problems)
    scores = await _scores(target, scorer, answers)
    found = calibrated(scorer, labels, scores, cases=len(suite.cases), cost=allowance.spent)
    return msgspec.structs.replace(found, notes=[*found.notes, *_unpinned(settings, found.calibration.judge)])


async def _scores(target: Target, scorer: Scorer, answers: Sequence[Agreed]) -> Sequence[Score | TargetFailure]:
    try:
        await target.start()
        with _progress(len(answers)) as told:
            return await ask_judge(scorer, answers, concurrency=_CONCURRENCY, told=told)
    finally:
        await target.close()


def _no_vectors(_: Sequence[str]) -> Vectors:
    raise AssertionError("a judge needs no encoder")


def _unpinned(settings: RubricSettings, judge: str) -> Iterator[str]:
    if not settings.pinned and judge not in ("", settings.model):
        yield (
            f"{settings.model} answered as {judge}. Let the scorer's `model` and `pinned` name that one, and "
            "calibrate it again: what is known of one says nothing of the next."
        )


@contextmanager
def _progress(answers: int) -> Iterator[Callable[[], None]]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("asking the judge", total=answers)
        yield lambda: progress.advance(task)


def _print(console: Console, found: Calibrated) -> None:
    counts = found.calibration
    table = Table(box=SIMPLE)
    for heading in ("", "judge: good", "judge: bad"):
        table.add_column(heading, justify="right" if heading else "left")
    table.add_row("people: good", f"{counts.good_called_good:,}", f"{counts.good_called_bad:,}")
    table.add_row("people: bad", f"{counts.bad_called_good:,}", f"{counts.bad_called_bad:,}")
    console.print(table)
    lines = [
        f"sensitivity  {_share(found.sensitivity)}: good answers that the judge calls good",
        f"specificity  {_share(found.specificity)}: bad answers that it calls bad",
        f"kappa        {_kappa(found.kappa)}: agreement beyond chance",
    ]
    for one in found.raters:
        who = " and ".join(name or "unnamed" for name in one.raters)
        lines.append(
            f"  {who}: {_kappa(one.kappa)} over {one.answers:,} answers; no judge can be expected to beat that"
        )
    if found.disagreements:
        lines.append(f"Called otherwise than people call them: {len(found.disagreements):,}.")
    lines += found.notes
    lines.append(_advice(found.more, found.cases))
    if found.cost != Decimal(0):
        lines.append(f"Asking took ${plain(round(found.cost, 4))}.")
    for line in filter(None, lines):
        console.print(escape(line), highlight=False)


def _share(rate: Rate) -> str:
    return f"{rate.value:.1%} ({rate.low:.1%} to {rate.high:.1%})"


def _kappa(kappa: Interval) -> str:
    return f"{kappa.value:.2f} ({kappa.low:.2f} to {kappa.high:.2f})"


def _advice(more: MoreLabels | None, cases: int) -> str:
    if more is None:
        return ""
    now = f"The corrected rate of a run of {cases:,} cases is known to about ±{100 * more.now:.1f} points."
    if not more.good + more.bad:
        return f"{now} More labels would hardly change that."
    wanted = " and ".join(f"{n:,} {kind}" for n, kind in ((more.good, "good"), (more.bad, "bad")) if n)
    return (
        f"{now} With {more.good + more.bad:,} more labels, of {wanted} answers, it would be "
        f"±{100 * more.then:.1f}; labels without end leave ±{100 * more.least:.1f}."
    )
