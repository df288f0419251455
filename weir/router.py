"""`weir router`: train what a route chooses by, evaluate it, promote it, go back.

The non-obvious decision: training puts an artefact into the registry, and nothing else. It serves only once
somebody promotes it, which holds its evidence against the gate; so training may run every night, unattended.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contracts.artefacts import PRODUCTION
from registry.faults import RegistryFault
from weir.encoding import encode_with, encoder_option, session_of
from weir.registry_state import faults
from weir.router_artefact import (
    KIND,
    Subject,
    advice,
    artefact_of,
    json_option,
    need_libraries,
    of_a_route,
    operator,
    plain,
    print_json,
    registry_here,
    roll_back,
    steps,
    subject,
)
from weir.router_train import train

_version = click.argument("version", metavar="VERSION")


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  weir router train --route auto --tenant acme
  weir router evaluate --route auto --tenant acme 0123456789abcdef
  weir router promote --route auto --tenant acme 0123456789abcdef
  weir router rollback --route auto --tenant acme --reason "too many complaints"

\b
Exit status: 0 done, 1 it could not be or the gate refused, 2 a wrong option.""",
)
def router() -> None:
    """Train, evaluate and promote what routes learn.

    A route with `learning` writes down what it is asked and how good answers were. `train` makes an artefact of
    that, `evaluate` tries it on past requests, `promote` lets it decide. `weir registry` shows what there is.
    """


router.add_command(train)


@router.command(
    epilog="""\b
Examples:
  weir router evaluate --route auto --tenant acme production
  weir router evaluate --route auto --tenant acme 0123456789abcdef --json"""
)
@of_a_route
@_version
@encoder_option
@json_option
def evaluate(config: Path, route: str, tenant: str | None, version: str, encoder: Path, as_json: bool) -> None:
    """Try an artefact on past requests: quality and cost beside each model alone and a random choice.

    VERSION is one, or an alias. It is tried under the route's goal. Requests that it was trained on flatter it:
    train on older lines where you can.
    """
    need_libraries()
    about = subject(config, route, tenant)
    from distill.replayed import tried
    from distill.traffic import read_traffic
    from heads.quality import QualityHead
    from router.choice.shelf import QUALITY
    from router.config.policies import Goal, LearnedPolicy

    policy = about.settings.policy
    goal = policy.goal if isinstance(policy, LearnedPolicy) else Goal(share=0.5)
    with faults():
        artefact = artefact_of(about, version)
    if QUALITY not in artefact.files:
        raise click.ClickException(f"Version {artefact.version} of {about.name} forecasts no quality.")
    session = session_of(encoder)
    try:
        with steps(as_json) as step:
            traffic = read_traffic(about.lines(), route)
            step(f"encoding {len(traffic.asked):,} questions")
            vectors = encode_with(session)([one.query for one in traffic.asked])
            head = QualityHead.read(artefact.folder / QUALITY)
            models = [model for model in about.models if model in head.models]
            trial = tried(head, goal, models, traffic.asked, traffic.scores, vectors)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{error}.\n{advice(about)}") from error
    if as_json:
        print_json({"version": artefact.version, **plain(trial)})
        return
    console = Console()
    console.print(
        f"{trial.requests:,} scored requests, {trial.shadowed:,} of which all models answered; the reference gets "
        f"{trial.reference_share:.0%} of them.",
        highlight=False,
    )
    console.print(_trial(plain(trial.policies)))


@router.command(
    epilog="""\b
Examples:
  weir router promote --route auto --tenant acme 0123456789abcdef
  weir router promote --route auto --tenant acme 0123456789abcdef --force --reason "an incident, see ticket 12" """
)
@of_a_route
@_version
@click.option("--alias", default=PRODUCTION, show_default=True, help="The alias to move.")
@click.option("--reason", default="", help="Why, for the log.")
@click.option(
    "--rule",
    "changes",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another value of one of the gate's rules, such as least_queries=500. Can be given several times.",
)
@click.option("--force", is_flag=True, help="Promote what the gate refuses; the log says so. Needs --reason.")
@json_option
def promote(
    config: Path,
    route: str,
    tenant: str | None,
    version: str,
    alias: str,
    reason: str,
    changes: tuple[str, ...],
    force: bool,
    as_json: bool,
) -> None:
    """Hold an artefact's evidence against the gate, and let the alias name it.

    Weirs on the same state folder take it up within `server.reload_seconds`.
    """
    from distill.gate import judge, of_rows, rules_of

    try:
        rules = rules_of(changes)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--rule") from error
    if force and not reason:
        raise click.UsageError("--force needs a --reason.")
    about = subject(config, route, tenant)
    registry, who = registry_here(), operator()
    with faults():
        artefact = artefact_of(about, version)
        evidence = artefact.card.get("evidence", [])
        verdict = judge(of_rows(evidence), rules, of_rows(_in_production(about)))
        registry.verdict(
            KIND,
            about.name,
            artefact.version,
            passed=verdict.passed,
            by=who,
            reason="; ".join(verdict.reasons),
            evidence={"evidence": evidence, "rules": plain(rules)},
        )
        moved = (verdict.passed or force) and registry.point(
            KIND, about.name, alias, artefact.version, by=who, reason=reason or "it passed the gate"
        )
    told = {"version": artefact.version, "passed": verdict.passed, "reasons": verdict.reasons, "moved": moved}
    if as_json:
        print_json(told)
    else:
        _print_verdict(verdict.reasons)
        click.echo(f"{alias} of {about.name} is {artefact.version} now." if moved else "Nothing was changed.")
    if not verdict.passed and not force:
        raise click.ClickException("The gate refuses it. Label more, or promote it with --force and a --reason.")


@router.command(
    epilog="""\b
Examples:
  weir router rollback --route auto --tenant acme --reason "too many complaints" """
)
@of_a_route
@click.option("--reason", required=True, help="Why, for the log.")
@json_option
def rollback(config: Path, route: str, tenant: str | None, reason: str, as_json: bool) -> None:
    """Go back to what was in production before."""
    roll_back(KIND, subject(config, route, tenant), reason, as_json=as_json)


def _in_production(about: Subject) -> list[Mapping[str, Any]]:
    """The evidence of what the alias names now; none where that is damaged, which is no reason to keep it."""
    try:
        card = registry_here().get(KIND, about.name, PRODUCTION).card
    except RegistryFault:
        return []
    return list(card.get("evidence", [])) if about.learned(card) else []


def _trial(policies: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(box=SIMPLE)
    for heading in ("policy", "method", "quality", "95 %", "dollars a request", "requests that count"):
        table.add_column(heading)
    for name, estimate in policies.items():
        for method, reward in estimate["rewards"].items():
            cost = estimate["costs"].get(method)
            table.add_row(
                escape(name),
                method,
                f"{reward['value']:.3f}",
                f"{reward['low']:.3f} to {reward['high']:.3f}",
                f"{cost['value']:.6f}" if cost else "",
                f"{estimate['effective']:,.0f}",
            )
    return table


def _print_verdict(reasons: tuple[str, ...]) -> None:
    for reason in reasons:
        click.echo(reason)
