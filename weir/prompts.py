"""`weir prompts`: what each prompt says, which version serves, and which may. Each verb is in a file of its own."""

from __future__ import annotations

import click

from weir.late import late_group

_VERBS = {
    "list": "All prompts of a configuration, and what is in force.",
    "show": "What a version says, where it is in force, and what is known of it.",
    "diff": "How two versions differ, word by word.",
    "optimise": "Look for a better version, or a cheaper one, with a suite.",
    "add": "Store a version that somebody wrote.",
    "promote": "Put a version in force, once a gate has passed it.",
    "rollback": "Go back to what was in force before.",
    "export": "Write a version as its author would have.",
}


@click.group(
    cls=late_group("Verbs", _VERBS, "weir.prompts_{}"),
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  weir prompts list
  weir prompts add support better.md
  weir prompts diff support file 0123456789abcdef
  weir prompts promote support 0123456789abcdef
  weir prompts rollback support --reason "it invents refunds"

\b
Exit status: 0 done, 1 it could not be or was refused, 2 a wrong option.""",
)
def prompts() -> None:
    """What each prompt says, which version of it serves, and whether it may.

    A prompt is a file that the configuration names. Versions that were added or found by an optimiser are in the
    registry, in the state folder; what was promoted serves in the file's place until somebody edits the file.
    Versions are named by 16 hex digits, or by an alias: `production`, `canary`, `previous`, or `file`, which is
    what the file says now.
    """
