"""`weir distill curve`: what more examples would gain, and what one may cost."""

from __future__ import annotations

import click

from weir.distill_recipe import Order, faults, heeding, means_of, of_a_recipe, said, watched
from weir.router_artefact import plain, print_json


@click.command(
    epilog="""\b
Examples:
  weir distill curve examples/support/student/recipe.yaml
  weir distill curve recipe.yaml --train-python /opt/train/bin/python --json

\b
The same command goes on where it was stopped, and trains nothing twice."""
)
@of_a_recipe
def curve(order: Order) -> None:
    """Train on growing shares of the examples, and fit how quality grows with them, with an interval.

    Says what so many more would gain, and up to which price one pays for itself by what the student then saves.
    The recipe's `curve` says which shares, how many seeds, and over how many days of traffic.
    """
    from distill.student.running import carry_out
    from distill.student.searching.curve import lines_of
    from distill.student.searching.trying import curve_in, curve_stage

    with faults(), heeding(), watched(order.as_json) as tell:
        stage = curve_stage(means_of(order))
        list(carry_out([stage], order.folder, tell, say=said(order)))
        found = curve_in(order.folder / stage.name)
    if order.as_json:
        print_json({"folder": str(order.folder / stage.name), **plain(found)})
        return
    for line in lines_of(found):
        click.echo(line)
    click.echo(f"See {order.folder / stage.name / 'curve.svg'}")
