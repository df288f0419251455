"""`weir distill run`: all stages of a recipe, one after the other, each only where it has something to do."""

from __future__ import annotations

import click

from weir.distill_recipe import Order, faults, heeding, means_of, of_a_recipe, said, watched
from weir.eval_run import ASK_ABOVE


@click.command(
    epilog="""\b
Examples:
  weir distill run examples/support/student/recipe.yaml --dry-run
  weir distill run examples/support/student/recipe.yaml --train-python /opt/train/bin/python
  weir distill run --route support --log log.jsonl --teacher gpt-5.1 --cap-usd 5 --from-scratch tiny
  weir distill run recipe.yaml --base models/half-b --out work --json

\b
The same command goes on where it was stopped, and pays no answer of the teacher twice.
Exit status: 0 the gate passed it, 1 it refused it or it could not be, 2 a wrong option, 130 stopped by Ctrl-C."""
)
@of_a_recipe
@click.option("--dry-run", is_flag=True, help="Tell what would be done and what it may cost, and end.")
@click.option("--yes", is_flag=True, help="Do not ask before a run that is dear.")
def run(order: Order, dry_run: bool, yes: bool) -> None:
    """From traffic to a student with a verdict: mine, curate, train, compress, gate and card.

    RECIPE is a YAML file; what it leaves out has defaults, and options come before it. The student is stored with
    its card and its verdict, and serves nobody before it is promoted.
    """
    from distill.student.forecast import forecast
    from distill.student.running import carry_out
    from distill.student.stages import TRAIN_STAGE, stages_of
    from distill.student.training_stage import check_python
    from weir.distill_told import conclude, confirmed, tell_forecast

    with faults(), heeding():
        means = means_of(order)
        todo = stages_of(means)
        with watched(order.as_json) as tell:
            expected = forecast(means, todo, tell)
        tell_forecast(order, expected, result=dry_run)
        if dry_run:
            return
        if TRAIN_STAGE in expected.todo:
            check_python(order.recipe)
        if not yes and (expected.most or 0) + expected.judging > ASK_ABOVE:
            confirmed()
        with watched(order.as_json) as tell:
            carried = list(carry_out(todo, order.folder, tell, say=said(order)))
    conclude(order, carried)
