"""`weir prompts list`: all prompts of a configuration, and what is in force."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contracts.artefacts import PREVIOUS
from registry.faults import RegistryFault
from registry.prompts import PROMPT
from router.config.load import Loaded
from router.prompt_watch import OutdatedPrompt, evidence_in_force, outdated_prompts
from weir.prompts_subject import Subject, faults, percent, subject_of, tokens_of
from weir.router_artefact import json_option, plain, print_json, registry_here
from weir.state import config_option, read_config


@click.command(
    epilog="""\b
Examples:
  weir prompts list
  weir prompts list --config examples/support/weir.yaml --json"""
)
@config_option
@json_option
def list(config: Path, as_json: bool) -> None:  # noqa: A001 - the verb's name
    """List all prompts: where they serve, which version, and what comes before and after it.

    A version that was promoted is set aside while the file is another than it was then: the file serves.
    """
    loaded = read_config(config)
    with faults():
        outdated = _outdated(loaded)
        rows = [_row(subject_of(config, loaded, name), outdated.get(name)) for name in loaded.config.prompts]
    if as_json:
        print_json({"prompts": rows})
        return
    if not rows:
        click.echo(f"There are no prompts in {config}. docs/guides/prompts.md says how to begin.")
        return
    console = Console()
    console.print(_table(rows))
    for row in rows:
        for note in row["notes"]:
            console.print(f"{row['prompt']}: {note}", highlight=False, markup=False, soft_wrap=True)


def _outdated(loaded: Loaded) -> Mapping[str, OutdatedPrompt]:
    """Raises RegistryFault, OSError."""
    evidence = evidence_in_force(loaded, registry_here())
    return {each.prompt: each for each in outdated_prompts(loaded, evidence, datetime.now(UTC).date())}


def _row(about: Subject, outdated: OutdatedPrompt | None) -> dict[str, Any]:
    """Raises RegistryFault, OSError, click.ClickException."""
    now, notes = about.standing, [*_notes(about, outdated)]
    try:
        prompt = about.prompt(about.in_force)
        tokens: int | None = tokens_of(prompt, about.slots(prompt))
    except (RegistryFault, click.ClickException) as error:
        tokens = None
        notes.append(str(error))
    return {
        "prompt": about.name,
        "serves": about.serves,
        "file": str(about.settings.file),
        "in_force": about.in_force,
        "source": about.source,
        "canary": now.canary or None,
        "canary_share": about.settings.canary_share,
        "previous": None if now.set_aside else about.aliases.get(PREVIOUS),
        "set_aside": now.set_aside,
        "tokens": tokens,
        "most_tokens": about.settings.most_tokens,
        "versions": len({about.written.version, *about.registry.versions(PROMPT, about.name)}),
        "routes": about.routes,
        "tenants": about.tenants,
        "optimise_again": None if outdated is None else plain(outdated),
        "notes": notes,
    }


def _notes(about: Subject, outdated: OutdatedPrompt | None) -> Iterator[str]:
    """What somebody should know, or do something about."""
    for version in about.standing.set_aside:
        shown = about.command(f"prompts diff {about.name} {version} file")
        yield (
            f"{version} was promoted and is set aside, because {about.settings.file} was edited since. "
            f"`{shown}` shows both."
        )
    if about.standing.canary and not about.settings.canary_share:
        yield f"its canary gets no traffic: set `prompts.{about.name}.canary_share`."
    if outdated is not None:
        yield f"it must be optimised again: {'; '.join(outdated.reasons)}. {outdated.advice}"


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=SIMPLE, pad_edge=False)
    for heading in ("prompt", "serves", "in force", "tokens", "versions"):
        right = heading in ("tokens", "versions")
        whole = heading in ("prompt", "in force")  # somebody copies them
        table.add_column(heading, overflow="fold", justify="right" if right else "left", no_wrap=whole)
    for row in rows:
        now = f"{row['in_force']}\n[dim]from the {row['source']}[/dim]"
        if row["canary"]:
            now += f"\n{row['canary']}\n[dim]canary, {percent(row['canary_share'])}[/dim]"
        table.add_row(
            escape(row["prompt"]),
            escape(row["serves"].replace("; ", "\n")) or "[dim]nobody[/dim]",
            now,
            "" if row["tokens"] is None else f"{row['tokens']:,}",
            f"{row['versions']}",
        )
    return table
