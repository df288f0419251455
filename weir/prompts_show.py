"""`weir prompts show`: what a version of a prompt says, where it is in force, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec.structs import asdict
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from prompts.evidence import Evidence
from prompts.prompt import BookedPrompt
from registry.change_log import Entry
from weir.prompts_evidence import print_evidence
from weir.prompts_subject import (
    Subject,
    evidence_in,
    faults,
    percent,
    readable,
    subject,
    tokens_of,
    verdict_in,
)
from weir.registry import line_of
from weir.router_artefact import json_option, print_json
from weir.state import config_option


@click.command(
    epilog="""\b
Examples:
  weir prompts show support
  weir prompts show support previous
  weir prompts show support 0123456789abcdef --json"""
)
@click.argument("name")
@click.argument("version", metavar="[VERSION|ALIAS]", required=False)
@config_option
@json_option
def show(name: str, version: str | None, config: Path, as_json: bool) -> None:
    """Show a version of a prompt; what is in force where none is named.

    Its sections with what an optimiser may change of them, its demonstrations, slots and output contract; then
    whether it serves, what was measured, and what happened to it.
    """
    about = subject(config, name)
    with faults():
        wanted = about.in_force if version is None else about.resolved(version)
        prompt = about.prompt(wanted)
        history = about.history(wanted)
    evidence = evidence_in(verdict_in(history))
    if as_json:
        print_json(_document(about, wanted, prompt, history, evidence))
        return
    console = Console(highlight=False)
    for line in _heading(about, wanted, prompt):
        console.print(line, markup=False)
    for panel in _panels(prompt, about.slots(prompt)):
        console.print(panel)
    if evidence is not None:
        _print_measured(evidence, console)
    if history:
        console.print("What happened to it:")
    for entry in history:
        console.print(Text(readable(line_of(entry))), soft_wrap=True)


def _document(
    about: Subject, version: str, prompt: BookedPrompt, history: Sequence[Entry], evidence: Evidence | None
) -> Mapping[str, Any]:
    return {
        "prompt": about.name,
        "version": version,
        "in_force": version == about.in_force,
        "set_aside": version in about.standing.set_aside,
        "aliases": about.aliases_of(version),
        "routes": about.routes,
        "tenants": about.tenants,
        "tokens": tokens_of(prompt, about.slots(prompt)),
        "merge": prompt.rule,
        "sections": [{"name": each.name, "text": each.text, "locked": each.locked} for each in prompt.sections],
        "demonstrations": msgspec.to_builtins(prompt.demonstrations),
        "slots": about.slots(prompt),
        "contract": asdict(prompt.contract),
        "evidence": None if evidence is None else msgspec.to_builtins(evidence),
        "history": [msgspec.to_builtins(entry) for entry in history],
    }


def _heading(about: Subject, version: str, prompt: BookedPrompt) -> Iterator[str]:
    aliases = ", ".join(about.aliases_of(version))
    yield f"{about.name} {version}" + (f" ({aliases})" if aliases else "")
    if version == about.in_force:
        yield f"It is in force, from the {about.source}. It serves {about.serves or 'nobody'}."
    elif version == about.standing.canary:
        share = percent(about.settings.canary_share)
        yield f"It is the canary, with {share} of requests; {about.in_force} is in force."
    elif version in about.standing.set_aside:
        yield f"It is set aside, because {about.settings.file} was edited: {about.in_force} is in force."
    else:
        yield f"It is not in force: {about.in_force} is."
    tokens = tokens_of(prompt, about.slots(prompt))
    yield f"About {tokens:,} tokens with each request. Beside what a client says itself: {prompt.rule}."


def _panels(prompt: BookedPrompt, slots: Mapping[str, str]) -> Iterator[Panel]:
    for section in prompt.sections:
        yield _panel(f"{section.name} · {'locked' if section.locked else 'tunable'}", Text(readable(section.text)))
    if prompt.contract.terms:
        yield _panel("output contract · locked", _pairs(prompt.contract.terms))
    if slots:
        yield _panel("slots, where no tenant has its own", _pairs(slots))
    if prompt.demonstrations:
        shown = [
            Text(f"user: {readable(each.user)}\nassistant: {readable(each.assistant)}")
            for each in prompt.demonstrations
        ]
        yield _panel(f"demonstrations · {len(shown)}", Group(*shown))


def _panel(title: str, body: Text | Table | Group) -> Panel:
    return Panel(body, title=Text(readable(title)), title_align="left")


def _pairs(values: Mapping[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in values.items():
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        table.add_row(Text(name), Text(readable(text)))
    return table


def _print_measured(found: Evidence, console: Console) -> None:
    console.print(Text(readable(found.summary)))
    print_evidence(found, console, rest="--json has them")
    for line in _about(found):
        console.print(Text(readable(line)))


def _about(found: Evidence) -> Iterator[str]:
    models = ", ".join(each.model for each in found.models)
    yield (
        f"Measured {found.at:%Y-%m-%d} beside {found.before} on {found.cases:,} cases of {found.suite} that "
        f"{found.optimiser} had not seen; {models} answered on route {found.route}."
    )
    if found.breaks_even is not None and found.spent:
        yield f"Finding it took ${found.spent:.2f}, which it has saved after {found.breaks_even:,} requests."
    elif found.spent:
        yield f"Finding it took ${found.spent:.2f}; its requests are no cheaper."
    for refusal in found.refusals:
        yield f"Refused: {refusal}"
