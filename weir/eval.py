"""`weir eval`: suites, runs, comparisons and gates. Each of its verbs is in a file of its own."""

from __future__ import annotations

import click

from weir.late import late_group

_VERBS = {
    "new": "Make a suite to begin with.",
    "import": "Make a suite of traffic, or of another tool's file.",
    "run": "Ask a target every case, and score the answers.",
    "show": "What came of a run.",
    "compare": "Is one run better than another, and is the difference real?",
    "gate": "Hold a run against rules: for CI, and before anything is promoted.",
    "calibrate": "Find out how often a judge agrees with people.",
    "routing": "Replay recorded outcomes through a routing policy.",
    "view": "Look at runs in a browser.",
}


@click.group(
    cls=late_group("Verbs", _VERBS, "weir.eval_{}"),
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  weir eval run examples/support/suite --target support --out runs/large
  weir eval run examples/support/suite --target support-small --out runs/small
  weir eval compare runs/large runs/small
  weir eval gate runs/small --baseline runs/large --rules examples/support/gate.yaml

\b
Exit status: 0 done, 1 it could not be or the gate refused, 2 a wrong option.""",
)
def eval() -> None:  # noqa: A001 - the verb's name
    """Is it good enough, and is the difference real?

    A suite has cases; a run asks a target every case and has scorers judge the answers. Two runs of a suite are
    compared case by case, with an interval and a verdict.
    """
