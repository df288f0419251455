"""The stages of `weir distill`, each alone: `weir distill mine`, `curate`, `train`, `compress`, `gate`, `card`."""

from __future__ import annotations

import functools
from typing import Any

import click

from weir.distill_recipe import Order, faults, heeding, means_of, of_a_recipe, said, watched


@functools.cache
def stage_verb(name: str, does: str) -> click.Command:
    """The verb of one stage, whose short help is `does`."""

    @click.command(
        name,
        short_help=does,
        help=f"{does} What is done already, of the same data and settings, is not done again.\n\nA stage before "
        "it that is missing is named. See `weir distill run` for all of them.",
        epilog=f"""\b
Examples:
  weir distill {name} examples/support/student/recipe.yaml
  weir distill {name} --route support --log log.jsonl --out work --json""",
    )
    @of_a_recipe
    def verb(order: Order, **_: Any) -> None:
        from distill.student.running import carry_out
        from distill.student.stages import stages_of
        from weir.distill_told import conclude

        with faults(), heeding(), watched(order.as_json) as tell:
            means = means_of(order)
            carried = list(carry_out(stages_of(means), order.folder, tell, only=name, say=said(order)))
        conclude(order, carried)

    return verb
