"""`weir registry export`: copy an artefact to where others look for models."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from contracts.artefacts import PRODUCTION
from registry.mlflow_export import export as export_to_mlflow
from weir.registry_state import faults, registry_of, state_option
from weir.router_artefact import json_option, operator, print_json, steps


@click.command(
    epilog="""\b
Examples:
  weir registry export --to mlflow --uri sqlite:///mlflow.db student support
  weir registry export --to mlflow --uri http://mlflow:5000 router support/acme previous --json"""
)
@click.argument("kind")
@click.argument("name")
@click.argument("version", metavar="[VERSION|ALIAS]", default=PRODUCTION)
@click.option("--to", type=click.Choice(["mlflow"]), required=True, help="Whose registry it goes to.")
@click.option(
    "--uri", envvar="MLFLOW_TRACKING_URI", required=True, help="Its database or server.", show_envvar=True
)
@state_option
@json_option
def export(kind: str, name: str, version: str, to: str, uri: str, state: Path | None, as_json: bool) -> None:
    """Copy the artefact NAME to MLflow's model registry: its files, card, verdict and aliases.

    That of `production` where no version is named. Exported again, it is brought up to date there. Weir never reads
    it back: what is promoted in MLflow changes nothing here. Where the URI is that of a database, MLflow keeps the
    files in the folder `mlruns` of the working folder.
    """
    with faults(), steps(as_json) as step:
        step("checking its files")
        found = registry_of(state)
        artefact = found.get(kind, name, version)
        step(f"copying it to {to}")
        changes = list(found.log.entries(kind=kind, name=name))
        exported = export_to_mlflow(artefact, changes, found.aliases(kind, name), uri, by=operator())
    if as_json:
        print_json(msgspec.to_builtins(exported))
        return
    done = "is now" if exported.new else "was there already, as"
    known = f", alias {', '.join(exported.aliases)}" if exported.aliases else ""
    click.echo(f"{kind} {name} {artefact.version} {done} {exported.name} version {exported.version}{known}.")
