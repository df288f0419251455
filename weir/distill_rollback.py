"""`weir distill rollback`: go back to the student before."""

from __future__ import annotations

from pathlib import Path

import click

from contracts.artefacts import PREVIOUS, PRODUCTION
from contracts.students import STUDENT
from weir.registry_state import faults
from weir.router_artefact import json_option, of_a_route, operator, print_json, registry_here, subject


@click.command(
    epilog="""\b
Examples:
  weir distill rollback --route support --reason "it invents refunds" """
)
@of_a_route
@click.option("--reason", required=True, help="Why, for the log.")
@json_option
def rollback(config: Path, route: str, tenant: str | None, reason: str, as_json: bool) -> None:
    """Put the student back in production that was there before. Running Weirs take it up, and lose no request."""
    about = subject(config, route, tenant)
    with faults():
        version = registry_here().rollback(STUDENT, about.name, by=operator(), reason=reason)
    if as_json:
        print_json({"version": version})
    else:
        click.echo(f"{PRODUCTION} of {about.name} is {version} again; there is no {PREVIOUS} any more.")
