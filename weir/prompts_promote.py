"""`weir prompts promote`: put a version in force, once a gate has passed it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from contracts.artefacts import CANARY, PRODUCTION
from registry.prompts import PROMPT
from registry.prompts import promote as put_in_force
from weir.prompts_subject import Subject, alias_option, faults, percent, subject
from weir.prompts_worth import objection, oddities
from weir.router_artefact import json_option, operator, print_json
from weir.state import config_option


@click.command(
    epilog="""\b
Examples:
  weir prompts promote support 0123456789abcdef
  weir prompts promote support 0123456789abcdef --as canary
  weir prompts promote support canary --reason "a week of traffic, ticket 12"
  weir prompts promote support 0123456789abcdef --force --reason "an incident, ticket 13" """
)
@click.argument("name")
@click.argument("version", metavar="VERSION|ALIAS")
@config_option
@alias_option("For all requests, or for the share that `canary_share` gives to a trial.")
@click.option("--reason", default="", help="Why, for the log.")
@click.option("--force", is_flag=True, help="Promote what no gate has passed; the log says so. Needs --reason.")
@json_option
def promote(name: str, version: str, config: Path, alias: str, reason: str, force: bool, as_json: bool) -> None:
    """Put a version of the prompt NAME in force. Running Weirs serve it from the next request on.

    Its latest verdict in the registry's log must be a pass; an optimiser's is about a change, and counts only while
    the version that it was measured beside is in force. A canary needs no verdict.
    """
    if force and not reason:
        raise click.UsageError("--force needs a --reason.")
    about = subject(config, name)
    with faults():
        wanted = about.resolved(version)
        prompt = about.prompt(wanted)
        now = about.in_force if alias == PRODUCTION else about.standing.canary
        already = wanted in (about.in_force, now)
        against = "" if already else objection(about, wanted, alias)
        if against and not force:
            raise click.ClickException(f"{against}\nOr promote it all the same, with --force and a --reason.")
        moved = not already and _promoted(about, wanted, alias, reason, against)
    if as_json:
        told = {"prompt": name, "version": wanted, "alias": alias, "moved": moved, "instead_of": now or None}
        print_json({**told, "forced": bool(against), "notes": list(oddities(about, prompt))})
        return
    for note in oddities(about, prompt):
        click.echo(f"Note: {note}", err=True)
    click.echo(_told(about, wanted, alias, now) if moved else _unmoved(about, wanted))


def _promoted(about: Subject, version: str, alias: str, reason: str, against: str) -> bool:
    """Raises RegistryFault, OSError."""
    verdict = about.verdict(version)
    evidence: dict[str, Any] = {} if verdict is None else {"verdict": verdict.number}
    if against:
        evidence["forced"] = against
    usual = "it passed the gate" if alias == PRODUCTION else "to try it on traffic"
    by = operator()
    moved = put_in_force(
        about.registry,
        about.name,
        about.written.content,
        version,
        alias=alias,
        by=by,
        reason=reason or usual,
        evidence=evidence,
    )
    if alias == PRODUCTION and about.aliases.get(CANARY) == version:
        # A rollback would leave it serving a share of the requests, unseen.
        about.registry.drop(PROMPT, about.name, CANARY, by=by, reason="its trial is over: it is in production")
    return moved


def _unmoved(about: Subject, version: str) -> str:
    what = "in force" if version == about.in_force else "the canary"
    return f"{version} is {what} for {about.name} already. Nothing was changed."


def _told(about: Subject, version: str, alias: str, before: str) -> str:
    if alias == PRODUCTION:
        back = about.command(f"prompts rollback {about.name} --reason WHY")
        now = f"{version} is in force for {about.name} from the next request on, instead of {before}."
        return f"{now}\nTo go back: {back}"
    share = about.settings.canary_share
    if not share:
        setting = f"prompts.{about.name}.canary_share"
        return f"{version} is the canary of {about.name}, but gets no request before you set `{setting}`."
    return f"{version} is the canary of {about.name}: it gets {percent(share)} of requests from the next one on."
