"""`weir distill list`: what students there are, what the gate said of them, and which are in force."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contracts.students import STUDENT
from registry.store import Registry
from weir.distill_student import judged, verdicts
from weir.registry_state import faults, registry_of, state_option
from weir.router_artefact import json_option, print_json


@click.command(
    "list",
    epilog="""\b
Examples:
  weir distill list
  weir distill list --json""",
)
@state_option
@json_option
def list(state: Path | None, as_json: bool) -> None:  # noqa: A001 - the verb's name
    """List all students: their versions, the gate's latest word on each, and the aliases that name them."""
    with faults():
        found = registry_of(state)
        rows = [row for name in found.names(STUDENT) for row in _rows(found, name)]
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo("There are no students yet: weir distill run makes one.")
        return
    table = Table(box=SIMPLE, pad_edge=False)
    for heading in ("student", "version", "verdict", "in force as"):
        table.add_column(heading)
    for row in rows:
        table.add_row(escape(row["name"]), row["version"], row["verdict"], ", ".join(row["aliases"]))
    Console().print(table)


def _rows(registry: Registry, name: str) -> Sequence[dict[str, Any]]:
    """One for each version. Raises RegistryFault."""
    said, aliases = verdicts(registry, name), registry.aliases(STUDENT, name)
    return [
        {
            "name": name,
            "version": version,
            "verdict": judged(said.get(version)),
            "reason": said[version].reason if version in said else "",
            "aliases": [alias for alias, named in aliases.items() if named == version],
        }
        for version in registry.versions(STUDENT, name)
    ]
