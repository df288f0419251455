"""`weir eval routing`: recorded outcomes, and what a policy would have made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from evals.routing.plot import svg
from evals.routing.policies import Choices, always, at_random, from_file, oracle
from evals.routing.recorded import Recorded, Unreplayable, of_runs, read_recorded
from evals.routing.replay import Replay, Replayed, replay
from evals.routing.routes import choices_of_route
from evals.run_folder import RunUnusable, read_run
from evals.statistics.interval import Interval
from evals.targets.spec import TargetSpec
from weir.state import state_dir
from weir.writing import writing

_LOG_WIDTH = 132
"""Columns of a table in a log, which nobody's window bounds."""


@click.command(
    epilog="""\b
Examples:
  weir eval routing outcomes.jsonl --policy random:0.3
  weir eval routing --run large=runs/large --run small=runs/small --policy choices.jsonl
  weir eval routing --run large=runs/large --run small=runs/small --policy route:auto --config weir.yaml
  weir eval routing outcomes.jsonl.gz --models weak,strong --policy choices.jsonl --svg curve.svg --json

\b
OUTCOMES has a line of JSON for each outcome, {"query", "model", "score", "cost_usd"}, or for each query,
{"query", "outcomes": {MODEL: {"score", "cost_usd"}}}. A file of choices has {"query" or "query_id", "model"}, and
"gain" where the policy says by how much it expects the reference to be better."""
)
@click.argument("outcomes", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--run", "runs", multiple=True, metavar="MODEL=DIR", help="A run on one model, in place of OUTCOMES. Several."
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="POLICY",
    help="always:MODEL, random:SHARE, oracle, route:NAME (of --config), or a file of choices. Several.",
)
@click.option("--models", help="Only these, with commas between them.")
@click.option("--reference", default="", help="The model to escalate to.  [default: the one of the best score]")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("weir.yaml"),
    show_default=True,
    help="The configuration that `route:NAME` is a route of; its models must have the names of the outcomes'.",
)
@click.option(
    "--tenant", default="", help="For whom a route chooses.  [default: the first tenant of the configuration]"
)
@click.option("--svg", "plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw quality against cost.")
@click.option(
    "--outcomes",
    "teaching",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the outcomes as `weir router train --outcomes` reads them.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def routing(
    outcomes: Path | None,
    runs: tuple[str, ...],
    policies: tuple[str, ...],
    models: str | None,
    reference: str,
    config: Path,
    tenant: str,
    plot: Path | None,
    teaching: Path | None,
    as_json: bool,
) -> None:
    """Replay recorded outcomes through routing policies: quality, cost, and what was missed.

    Each policy stands beside every model alone, a choice by lot at the same share, and an oracle that knows all
    scores. Nothing is asked and nothing is spent.
    """
    try:
        recorded = _recorded(outcomes, runs, [name for name in (models or "").split(",") if name])
        best = reference or recorded.models[int(recorded.scores.mean(axis=0).argmax())]
        tried = [_tried(recorded, policy, best, config, tenant) for policy in policies]
        found = replay(recorded, tried, reference=best)
    except (Unreplayable, RunUnusable) as error:
        raise click.ClickException(str(error)) from error
    if plot is not None:
        with writing(plot):
            plot.write_text(svg(found), encoding="utf-8")
    if teaching is not None:
        with writing(teaching):
            teaching.write_text("".join(_lines(recorded)), encoding="utf-8")
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(_plain(found)), indent=2).decode())
        return
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, _LOG_WIDTH)
    _print(console, found)


def _recorded(outcomes: Path | None, runs: Sequence[str], models: Sequence[str]) -> Recorded:
    if bool(runs) == (outcomes is not None):
        raise click.UsageError("Give either OUTCOMES or --run MODEL=DIR, the latter for each model.")
    if outcomes is not None:
        return read_recorded(outcomes, models)
    named = [run.partition("=") for run in runs]
    if wrong := [name for name, _, folder in named if not folder]:
        raise click.BadParameter(f"must be MODEL=DIR, not {wrong[0]}", param_hint="--run")
    if len({name for name, _, _ in named}) < len(named):
        raise click.BadParameter("each model has one run: name it once", param_hint="--run")
    return of_runs({name: read_run(Path(folder)) for name, _, folder in named if not models or name in models})


def _tried(recorded: Recorded, policy: str, reference: str, config: Path, tenant: str) -> Choices:
    kind, colon, value = policy.partition(":")
    if policy == "oracle":
        return oracle(recorded)
    if colon and kind == "always":
        return always(recorded, value)
    if colon and kind == "random":
        return at_random(recorded, _share(value), reference=reference)
    if colon and kind == "route":
        where = TargetSpec(target=value, config=config, tenant=tenant, state=state_dir())
        return choices_of_route(recorded, where, reference)
    if Path(policy).is_file():
        return from_file(recorded, Path(policy))
    raise click.BadParameter(
        f"{policy} is neither always:MODEL, random:SHARE, oracle, route:NAME nor a file.", param_hint="--policy"
    )


def _share(value: str) -> float:
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise click.BadParameter(f"random:{value}: the share must be from 0 to 1", param_hint="--policy")
    return share


def _lines(recorded: Recorded) -> Iterator[str]:
    """A line for each outcome whose query has a text."""
    for place, query in enumerate(recorded.queries):
        for column, model in enumerate(recorded.models if query else ()):
            line = {"query": query, "model": model, "score": float(recorded.scores[place, column])}
            cost = float(recorded.costs[place, column])
            yield msgspec.json.encode(line if isnan(cost) else {**line, "cost_usd": cost}).decode() + "\n"


def _plain(found: Replay) -> Mapping[str, Any]:
    """Curves of at most a few hundred points, as plots need them."""
    curves = {name: [*curve[:: max(1, len(curve) // 200)], curve[-1]] for name, curve in found.curves.items()}
    return {**msgspec.structs.asdict(found), "curves": curves}


def _print(console: Console, found: Replay) -> None:
    console.print(
        f"{found.queries:,} queries in {found.clusters:,} clusters; the reference is {escape(found.reference)}, "
        f"the cheapest {escape(found.cheapest)}, the best alone {escape(found.best_single)}.",
        highlight=False,
    )
    if found.left_out:
        console.print(f"{found.left_out:,} queries are left out: not every model answered them.", highlight=False)
    table = Table(box=SIMPLE)
    for heading in ("policy", "quality", "95 %", "$ a query", "escalated", "below best", "below oracle"):
        table.add_column(heading, justify="left" if heading == "policy" else "right", overflow="fold")
    for one in found.policies:
        table.add_row(
            escape(one.policy),
            f"{one.quality.value:.3f}",
            _between(one.quality),
            f"{one.cost.value:.6f}" if one.cost else "not known",
            f"{one.reference_share:.0%}",
            f"{one.below_single.value:+.3f}",
            f"{one.below_oracle.value:+.3f}",
        )
    console.print(table)
    console.print(_escalations(found))
    for one in found.policies:
        if one.apgr is not None and one.share_for_95 is not None:
            console.print(
                f"{escape(one.policy)}: APGR {one.apgr:.3f}; 95 % of the reference's quality with "
                f"{one.share_for_95:.0%} of the calls.",
                highlight=False,
            )


def _escalations(found: Replay) -> Table:
    table = Table(box=SIMPLE, title="Escalations that were worth it", title_justify="left")
    for heading in ("policy", "precision", "95 %", "recall", "95 %"):
        table.add_column(heading, justify="left" if heading == "policy" else "right")
    for one in _escalating(found):
        precision, recall = one.precision, one.recall
        table.add_row(
            escape(one.policy),
            f"{precision.value:.3f}" if precision else "",
            _between(precision) if precision else "",
            f"{recall.value:.3f}" if recall else "",
            _between(recall) if recall else "",
        )
    return table


def _escalating(found: Replay) -> list[Replayed]:
    return [one for one in found.policies if 0 < one.reference_share < 1]


def _between(interval: Interval) -> str:
    return f"{interval.low:.3f} to {interval.high:.3f}"
