"""`weir distill search`: the cheapest student that is quick and good enough, and then the gate."""

from __future__ import annotations

import click

from weir.distill_recipe import Order, faults, heeding, means_of, of_a_recipe, said, watched
from weir.router_artefact import plain, print_json


@click.command(
    epilog="""\b
Examples:
  weir distill search examples/support/student/recipe.yaml
  weir distill search recipe.yaml --train-python /opt/train/bin/python --p95-ms 300 --trials 12

\b
The same command goes on where it was stopped, and trains nothing twice.
Exit status: 0 one was found, 1 none was or it could not be, 2 a wrong option, 130 stopped by Ctrl-C."""
)
@of_a_recipe
@click.option("--p95-ms", type=click.FloatRange(min=0, min_open=True), help="Milliseconds for 95 of 100 answers.")
@click.option("--margin", type=click.FloatRange(0, 1, max_open=True), help="How far below the teacher's quality.")
@click.option("--trials", type=click.IntRange(1, 10_000), help="Combinations that are tried.")
def search(order: Order, p95_ms: float | None, margin: float | None, trials: int | None) -> None:
    """Try the bases, sizes and precisions that the recipe's `search` names, and write a recipe of what was found.

    Looked for is the cheapest student within --p95-ms whose quality on the tuning questions is within --margin of
    the teacher's. The test questions are not looked at: run the recipe that was found, and the gate asks them once.
    """
    from distill.student.running import carry_out
    from distill.student.searching.trying import RECIPE, found_in, search_stage

    told = {"p95_ms": p95_ms, "margin": margin, "trials": trials}
    with faults(), heeding(), watched(order.as_json) as tell:
        means = means_of(order)
        stage = search_stage(means, {name: value for name, value in told.items() if value is not None})
        carried = list(carry_out([stage], order.folder, tell, say=said(order)))
        found = found_in(order.folder / stage.name)
    if order.as_json:
        print_json({"folder": str(order.folder / stage.name), **plain(found)})
    else:
        click.echo(carried[0].summary["verdict"])
        for note in found.notes:
            click.echo(note)
        click.echo(f"See {order.folder / stage.name / 'search.md'} and {order.folder / stage.name / 'pareto.svg'}")
        if found.best is not None:
            click.echo(f"Next: weir distill run {order.folder / stage.name / RECIPE} --out {order.folder}")
    if found.best is None:
        raise click.exceptions.Exit(1)
