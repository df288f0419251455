"""`weir distill rollback`: go back to the student before."""

from __future__ import annotations

from pathlib import Path

import click

from contracts.students import STUDENT
from weir.router_artefact import json_option, of_a_route, roll_back, subject


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
    roll_back(STUDENT, subject(config, route, tenant), reason, as_json=as_json)
