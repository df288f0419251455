"""`weir prompts rollback`: go back to what was in force before, from the next request on."""

from __future__ import annotations

from pathlib import Path

import click

from contracts.artefacts import CANARY, FILE, PREVIOUS, PRODUCTION
from registry.prompts import PROMPT
from weir.prompts_subject import Subject, alias_option, faults, percent, subject, subject_of
from weir.router_artefact import json_option, operator, print_json
from weir.state import config_option


@click.command(
    epilog="""\b
Examples:
  weir prompts rollback support --reason "it invents refunds"
  weir prompts rollback support --as canary --reason "more thumbs down" """
)
@click.argument("name")
@config_option
@alias_option("What is taken back; a canary's requests go to what is in force.")
@click.option("--reason", required=True, help="Why, for the log.")
@json_option
def rollback(name: str, config: Path, alias: str, reason: str, as_json: bool) -> None:
    """Put back in force what was before the last promotion of the prompt NAME.

    Running Weirs serve it from the next request on, and no stored answer of the version that was taken back. A
    canary goes on, unless it is what is taken back.
    """
    about = subject(config, name)
    with faults():
        told = _canary_ended(about, reason) if alias == CANARY else _rolled_back(about, reason)
    after = subject_of(config, about.loaded, name)
    if as_json:
        canary = after.standing.canary or None
        before = about.in_force if alias == PRODUCTION else about.standing.canary
        moved = after.aliases != about.aliases
        print_json(
            {"prompt": name, "in_force": after.in_force, "canary": canary, "instead_of": before, "moved": moved}
        )
        return
    click.echo(told)
    if alias == PRODUCTION and after.standing.canary:
        end = after.command(f"prompts rollback {name} --as canary --reason WHY")
        click.echo(
            f"The canary {after.standing.canary} still gets {percent(after.settings.canary_share)} of requests. "
            f"To end it: {end}"
        )


def _rolled_back(about: Subject, reason: str) -> str:
    """Raises RegistryFault, OSError, click.ClickException."""
    name, file, by = about.name, about.settings.file, operator()
    known = (about.aliases.get(FILE), about.aliases.get(PRODUCTION))
    if PRODUCTION in about.aliases and about.written.version not in known:
        return (
            f"{file} serves already ({about.in_force}), since it was edited after the last promotion. "
            "Nothing was changed."
        )
    if PREVIOUS not in about.aliases:
        other = about.command(f"prompts promote {name} VERSION")
        raise click.ClickException(
            f"There is nothing to roll {name} back to. {about.in_force}, from the {about.source}, is in force; "
            f"`{other}` puts another in its place."
        )
    if about.aliases.get(FILE) != about.written.version:
        # The file has come to say what was promoted: it is what has to be gone back from.
        about.registry.drop(PROMPT, name, CANARY, by=by, reason="its file has changed")
        about.registry.point(PROMPT, name, FILE, about.in_force, by=by, reason=f"{file} says what was promoted")
    version = about.registry.rollback(PROMPT, name, by=by, reason=reason)
    whose = f", what {file} says," if version == about.written.version else ""
    return f"{version}{whose} is in force for {name} from the next request on, instead of {about.in_force}."


def _canary_ended(about: Subject, reason: str) -> str:
    """Raises RegistryFault, OSError, click.ClickException."""
    if not about.registry.drop(PROMPT, about.name, CANARY, by=operator(), reason=reason):
        raise click.ClickException(f"{about.name} has no canary.")
    return (
        f"The canary {about.aliases.get(CANARY, '')} of {about.name} has ended: {about.in_force} gets all requests."
    )
