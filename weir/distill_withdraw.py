"""`weir distill withdraw`: let no student answer any more, the first one included."""

from __future__ import annotations

from pathlib import Path

import click

from contracts.artefacts import PRODUCTION
from contracts.students import STUDENT
from weir.distill_student import alias_option
from weir.registry_state import faults
from weir.router_artefact import json_option, of_a_route, operator, print_json, registry_here, subject


@click.command(
    epilog="""\b
Examples:
  weir distill withdraw --route support --reason "it invents refunds"
  weir distill withdraw --route support --alias canary --reason "tried long enough" """
)
@of_a_route
@alias_option("Which of the two is withdrawn.")
@click.option("--reason", required=True, help="Why, for the log.")
@json_option
def withdraw(config: Path, route: str, tenant: str | None, alias: str, reason: str, as_json: bool) -> None:
    """Take the route's student out, and put no other in its place: the other candidates answer everything.

    Running Weirs take it up without losing a request, and end its engine. What they cached of its answers is given
    to nobody any more. The version stays in the registry.
    """
    about, registry = subject(config, route, tenant), registry_here()
    with faults():
        version = registry.aliases(STUDENT, about.name).get(alias, "")
        moved = registry.drop(STUDENT, about.name, alias, by=operator(), reason=reason)
    if as_json:
        print_json({"name": about.name, "alias": alias, "withdrawn": version or None, "moved": moved})
        return
    if not moved:
        click.echo(f"No student of {about.name} is {alias}. Nothing was changed.")
        return
    owner = f" --tenant {about.owner}" if about.owner else ""
    other = f" --alias {alias}" if alias != PRODUCTION else ""
    click.echo(
        f"{version} is {alias} of {about.name} no more, and no other is.\n"
        f"To let it answer again: weir distill promote --route {route}{owner} {version}{other}"
    )
