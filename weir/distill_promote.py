"""`weir distill promote`: let a student answer, once the gate has passed it."""

from __future__ import annotations

from pathlib import Path

import click

from contracts.artefacts import PREVIOUS, PRODUCTION
from contracts.students import STUDENT
from distill.student.storing import promote as put_in_force
from weir.distill_student import alias_option
from weir.registry_state import faults
from weir.router_artefact import json_option, of_a_route, operator, print_json, registry_here, subject


@click.command(
    epilog="""\b
Examples:
  weir distill promote --route support 0123456789abcdef
  weir distill promote --route support --tenant acme 0123456789abcdef --alias canary
  weir distill promote --route support 0123456789abcdef --force --reason "an incident, ticket 13" """
)
@of_a_route
@click.argument("version")
@alias_option("For all requests, or to be tried by an upstream that names `canary`.")
@click.option("--reason", default="", help="Why, for the log.")
@click.option("--force", is_flag=True, help="Promote what no gate has passed; the log says so. Needs --reason.")
@json_option
def promote(
    config: Path,
    route: str,
    tenant: str | None,
    version: str,
    alias: str,
    reason: str,
    force: bool,
    as_json: bool,
) -> None:
    """Let the alias name a VERSION of the route's student. Running Weirs take it up without losing a request.

    Its latest verdict in the registry's log must be a pass.
    """
    if force and not reason:
        raise click.UsageError("--force needs a --reason.")
    about, registry = subject(config, route, tenant), registry_here()
    with faults():
        try:
            moved = put_in_force(
                registry, about.route, about.owner, version, alias=alias, by=operator(), reason=reason, force=force
            )
        except ValueError as error:
            raise click.ClickException(
                f"{error}\nOr promote it all the same, with --force and a --reason."
            ) from error
        aliases = registry.aliases(STUDENT, about.name)
    now = aliases.get(alias)
    if as_json:
        print_json({"name": about.name, "version": now, "alias": alias, "moved": moved, "forced": force})
        return
    click.echo(
        f"{alias} of {about.name} is {now} now." if moved else f"{now} is {alias} already. Nothing was changed."
    )
    if moved and alias == PRODUCTION:
        verb, why = ("rollback", "To go back") if PREVIOUS in aliases else ("withdraw", "To take it out again")
        owner = f" --tenant {about.owner}" if about.owner else ""
        click.echo(f"{why}: weir distill {verb} --route {route}{owner} --reason WHY")
