"""What the verbs of `weir distill` that are about stored students have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from contracts.artefacts import CANARY, PREVIOUS, PRODUCTION
from contracts.students import STUDENT
from registry.change_log import Entry
from registry.store import Registry

ALIASES = (PRODUCTION, CANARY, PREVIOUS)
_Command = Callable[..., Any]


def alias_option(what: str) -> Callable[[_Command], _Command]:
    """`--alias`, of the verbs that move one."""
    choice = click.Choice([PRODUCTION, CANARY])
    return click.option("--alias", type=choice, default=PRODUCTION, show_default=True, help=what)


def verdicts(registry: Registry, name: str) -> Mapping[str, Entry]:
    """The latest verdict on each version."""
    return {
        entry.version: entry for entry in registry.log.entries(kind=STUDENT, name=name) if entry.what == "verdict"
    }


def judged(entry: Entry | None) -> str:
    """In a word."""
    if entry is None:
        return "not judged"
    return "passed" if entry.evidence.get("passed") else "refused"
