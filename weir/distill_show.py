"""`weir distill show`: a student's card."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from contracts.students import STUDENT
from registry.card import markdown
from weir.distill_student import judged, verdicts
from weir.registry_state import faults, registry_of, state_option
from weir.router_artefact import json_option, print_json


@click.command(
    epilog="""\b
Examples:
  weir distill show support
  weir distill show support/acme 0123456789abcdef
  weir distill show support canary --json"""
)
@click.argument("name")
@click.argument("version", metavar="[VERSION|ALIAS]", default="")
@state_option
@json_option
def show(name: str, version: str, state: Path | None, as_json: bool) -> None:
    """Print the card of the student NAME, in Markdown: what it learned, what it may answer, and where it fails.

    Without a version it is the one in production, or where none is the one that was stored last.
    """
    with faults():
        found = registry_of(state)
        entries = [*found.log.entries(kind=STUDENT, name=name)]
        usual = found.aliases(STUDENT, name).get("production") or next(
            (entry.version for entry in reversed(entries) if entry.version), ""
        )
        if not version and not usual:
            raise click.ClickException(f"There is no student {name}: `weir distill list` shows what there is.")
        artefact = found.look(STUDENT, name, version or usual)
        if as_json:
            verdict = judged(verdicts(found, name).get(artefact.version))
            print_json({**msgspec.structs.asdict(artefact), "folder": str(artefact.folder), "verdict": verdict})
        else:
            click.echo(markdown(artefact, entries))
