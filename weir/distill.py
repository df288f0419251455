"""`weir distill`: from a tenant's own traffic to a small model that may answer part of it.

Each verb is in a file of its own; the stages, which differ in nothing but their names, are in one.
"""

from __future__ import annotations

from typing import Any

import click

from weir.late import late_group

_STAGES = {
    "mine": "Find the intents in the traffic, and which are worth learning.",
    "curate": "Make parts to learn from, to tune on and to test with.",
    "train": "Train the student.",
    "compress": "Make smaller variants of its weights.",
    "gate": "See what it may answer, and whether that is as good.",
    "card": "Write its card, and store it with its verdict.",
}
_VERBS = {
    "run": "All stages, one after the other; goes on where it was stopped.",
    **_STAGES,
    "search": "Try bases, sizes and precisions for the cheapest that is good enough.",
    "curve": "How much more examples would gain, and what one may cost.",
    "list": "What students there are, and which are in force.",
    "show": "A student's card.",
    "promote": "Let a student answer, once the gate has passed it.",
    "rollback": "Go back to the student before.",
    "withdraw": "Let no student answer any more.",
}
_Late: Any = late_group("Verbs", _VERBS, "weir.distill_{}")


class _Verbs(_Late):  # type: ignore[misc]  # a class that is made when it is called for
    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in _STAGES:
            from weir.distill_stage import stage_verb

            return stage_verb(name, _STAGES[name])
        found: click.Command | None = super().get_command(ctx, name)
        return found


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  weir distill run examples/support/student/recipe.yaml --dry-run
  weir distill run examples/support/student/recipe.yaml
  weir distill train examples/support/student/recipe.yaml --base models/half-b
  weir distill promote --route support 0123456789abcdef

\b
Exit status: 0 done, 1 it could not be or the gate refused it, 2 a wrong option, 130 stopped by Ctrl-C.""",
)
def distill() -> None:
    """From a tenant's own traffic to a small model of its own, the student, that answers part of it.

    A recipe says what it learns from and how. Every stage leaves its files in the work folder (--out), and is done
    again only if what it reads has changed. A student serves nobody before the gate has passed it and it was
    promoted.
    """
