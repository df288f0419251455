"""`weir eval run`: ask a target every case of a suite, score the answers, and write it all into a folder.

The non-obvious decision: the same command goes on where it was stopped. Whoever killed it, lost the network or
raised the cap has nothing else to remember.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from rich.console import Console

from contracts.money import plain
from evals.targets.spec import TargetSpec
from weir.eval_target import target_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evals.runner.ending import Ending
    from evals.runner.evaluation import Order, Prepared, Way
    from evals.runner.tally import Tally
    from evals.summary import Summary

ASK_ABOVE = Decimal(1)
"""Dollars from which a run on a terminal is only begun once somebody has said yes."""
_STOPPED = "Stopped."


class Dollars(click.ParamType[Decimal]):
    name = "dollars"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            amount = Decimal(str(value))
        except InvalidOperation:
            self.fail(f"'{value}' is not an amount of dollars.", param, ctx)
        if not amount.is_finite() or amount <= 0:
            self.fail("it must be more than nothing.", param, ctx)
        return amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a run is carried out, beside what is run. `on`: where the work is done."""

    on: Literal["local", "ray", "batch"]
    ray_address: str
    recall: bool
    yes: bool
    dry_run: bool
    as_json: bool
    started: float


@click.command(
    epilog="""\b
Examples:
  weir eval run examples/support/suite --target support --out runs/large
  weir eval run examples/support/suite --target support --config examples/support/weir.yaml --out runs/here
  weir eval run SUITE --target gpt-5.1 --base-url https://api.openai.com/v1 --max-usd 5 --out runs/gpt
  weir eval run SUITE --target support --out runs/large --limit 20 --dry-run

\b
The same command goes on where a run was stopped, and asks no case twice.
Exit status: 0 all cases were asked, 1 they were not or none was answered, 2 a wrong option."""
)
@click.argument("suite", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--target", required=True, help="The model or route that is asked.")
@click.option(
    "--out", "folder", type=click.Path(path_type=Path, file_okay=False), required=True, help="The run's folder."
)
@target_options
@click.option("--concurrency", type=click.IntRange(1, 1024), default=16, show_default=True, help="Asked at a time.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Requests a minute, at most.")
@click.option("--repeats", type=click.IntRange(1, 1000), help="Times each case is asked. [default: the suite's]")
@click.option("--set", "fields", multiple=True, metavar="FIELD=VALUE", help="A field of requests: temperature=0.")
@click.option("--only", "segments", multiple=True, metavar="SEGMENT", help="Only these segments.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="Only so many cases, drawn from all over the suite, always the same.",
)
@click.option("--max-usd", "cap", type=Dollars(), help="Spend no more than this, judges included.")
@click.option("--against", type=click.Path(path_type=Path), metavar="DIR", help="A run to compare with in pairs.")
@click.option("--with-cache", is_flag=True, help="A Weir may answer from its cache.")
@click.option("--no-recall", is_flag=True, help="Ask anew what an earlier run has paid for.")
@click.option("--fresh-start", is_flag=True, help="Delete the run in --out and begin anew.")
@click.option("--on", type=click.Choice(["local", "ray"]), default="local", show_default=True, help="Who works.")
@click.option("--ray-address", default="", help="A Ray cluster. [default: one in this machine]")
@click.option("--batch", is_flag=True, help="Use the provider's batch endpoint: cheaper, within a day.")
@click.option("--dry-run", is_flag=True, help="Tell what it would take, and end.")
@click.option("--yes", is_flag=True, help="Do not ask before a run that is dear.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def run(
    suite: Path,
    target: str,
    folder: Path,
    where: TargetSpec,
    fields: Sequence[str],
    segments: Sequence[str],
    limit: int | None,
    repeats: int | None,
    against: Path | None,
    no_recall: bool,
    with_cache: bool,
    fresh_start: bool,
    on: Literal["local", "ray"],
    ray_address: str,
    batch: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    concurrency: int,
    rate: float | None,
    cap: Decimal | None,
) -> None:
    """Ask a target every case of SUITE, score the answers, and write all of it to a folder.

    What it will take is told first. Ctrl-C stops it: what is under way may end, and all that was answered is kept.
    """
    if batch and on == "ray":
        raise click.UsageError("--batch leaves the work to the provider: no --on ray.")
    manner = Manner(
        on="batch" if batch else on,
        ray_address=ray_address,
        recall=not no_recall,
        yes=yes,
        dry_run=dry_run,
        as_json=as_json,
        started=time.monotonic(),
    )
    import uvloop

    from weir.eval_run_order import answers_of, faults, order_of

    told: dict[str, Any] = {
        "folder": folder,
        "repeats": repeats,
        "concurrency": concurrency,
        "rate": rate,
        "cap": cap,
        "fresh": not with_cache,
        "afresh": fresh_start,
    }
    with faults():
        told["reference"] = answers_of(against) if against else {}
        order = order_of(suite, told, segments=segments, limit=limit, fields=fields)
        try:
            uvloop.run(_run(order, where.of(target), manner))
        except asyncio.CancelledError:
            raise click.ClickException(f"{_STOPPED} What was answered is kept: the same command goes on.") from None


async def _run(order: Order, spec: TargetSpec, manner: Manner) -> None:
    from evals.runner.ending import Ending
    from evals.runner.evaluation import carry_out, prepared
    from evals.runner.progress import bar, expected
    from evals.runner.recall import FILE, Recall
    from evals.targets.spec import open_target
    from weir.state import state_dir

    notes = Console(stderr=True, soft_wrap=True, highlight=False)
    ending = Ending()
    recall = Recall(state_dir() / FILE if manner.recall else None, of_weirs=spec.config is not None)
    async with open_target(spec) as target:
        with prepared(order, target, ending, recall) as ready:
            found = ready.estimate()
            notes.print(expected(found, ready.tally.kept), markup=False)
            if recall.fault:
                notes.print(recall.fault, markup=False)
            if manner.dry_run:
                return
            if notes.is_terminal and not manner.yes and (found.dollars or 0) > ASK_ABOVE:
                click.confirm("Begin?", abort=True, err=True)
            way = _way(manner, spec)
            with bar(notes, shown=notes.is_terminal and not manner.as_json) as watch, _heeding(ending):
                await carry_out(ready, way, watch)
            _conclude(ready, manner)


@contextmanager
def _heeding(ending: Ending) -> Iterator[None]:
    """Ctrl-C, or SIGTERM, ends the run in good order; a second one at once."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def stop() -> None:
        if ending.called and task is not None:
            task.cancel()
        else:
            ending.call(_STOPPED)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _way(manner: Manner, spec: TargetSpec) -> Way:
    from evals.runner.evaluation import locally

    if manner.on == "ray":
        from evals.runner.on_ray import on_ray

        return on_ray(spec, manner.ray_address)
    if manner.on == "batch":
        from evals.runner.batches import in_batches

        return in_batches(spec)
    return locally


def _conclude(ready: Prepared, manner: Manner) -> None:
    """Write the summary and the page, and tell. Raises click.ClickException where the run ended early."""
    import msgspec

    from evals.reporting.page import run_page
    from evals.reporting.terminal import print_run
    from evals.run_folder import PAGE, SUMMARY, read_run
    from evals.summary import summarise

    folder, reason = ready.order.folder, ready.desk.ending.reason
    found = read_run(folder)
    if found.rows:
        summary = summarise(found)
        (folder / SUMMARY).write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=1) + b"\n")
        (folder / PAGE).write_text(run_page(summary, found), encoding="utf-8")
        if manner.as_json:
            click.echo(json.dumps(_told(summary, ready, manner), indent=1))
        else:
            print_run(summary, Console(), parts=False)
            click.echo(_last_words(ready.tally, folder))
    if reason:
        done = f"{ready.tally.done:,} of {ready.tally.total:,} are done; the same command goes on from there."
        raise click.ClickException(f"{reason}\n{done}")
    if found.rows and not any(row.answer for row in found.rows):
        raise click.ClickException(f"No case was answered, the last one for {ready.tally.last_error}")


def _last_words(tally: Tally, folder: Path) -> str:
    from evals.runner.progress import dollars

    told = [f"Spent {dollars(tally.spent)}."]
    if tally.recalled:
        told.append(f"{tally.recalled:,} answers were recalled; --no-recall asks anew.")
    if tally.errors or tally.unjudged:
        told.append(
            f"{tally.errors:,} have no answer and {tally.unjudged:,} a score too few, the last one for "
            f"{tally.last_error}\nThe same command tries those again."
        )
    return f"{' '.join(told)}\nNext: weir eval show {folder} --cases bad, or open {folder / 'report.html'}"


def _told(summary: Summary, ready: Prepared, manner: Manner) -> Mapping[str, Any]:
    from msgspec import to_builtins

    figures = summary.overall
    return {
        "folder": str(ready.order.folder),
        "complete": summary.complete,
        "reason": ready.desk.ending.reason,
        "config_hash": summary.manifest.config_hash,
        "cases": figures.cases,
        "answers": figures.answers,
        "errors": figures.errors,
        "not_judged": ready.tally.unjudged,
        "kept": ready.tally.kept,
        "recalled": ready.tally.recalled,
        "spent_usd": plain(ready.tally.spent),
        "quality": to_builtins(summary.quality) if summary.manifest.quality in figures.scores else None,
        "scores": to_builtins(figures.scores),
        "cost": to_builtins(figures.cost),
        "latency_p50_ms": to_builtins(figures.latency_p50_ms),
        "latency_p95_ms": to_builtins(figures.latency_p95_ms),
        "seconds": round(time.monotonic() - manner.started, 3),
    }
