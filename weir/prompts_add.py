"""`weir prompts add`: store a version that somebody wrote, without serving it to anybody.

The non-obvious decision: adding asks nothing of a version but that it can be read. Whether it is good is what the
next steps find out, and those need it stored.
"""

from __future__ import annotations

from pathlib import Path

import click

from registry.prompts import put
from weir.prompts_subject import faults, prompt_in, subject, tokens_of
from weir.prompts_worth import measuring, oddities
from weir.router_artefact import json_option, operator, print_json
from weir.state import config_option


@click.command(
    epilog="""\b
Examples:
  weir prompts add support better.md
  weir prompts add support better.yaml --config examples/support/weir.yaml --json"""
)
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@config_option
@json_option
def add(name: str, file: Path, config: Path, as_json: bool) -> None:
    """Store what FILE says as a version of the prompt NAME, and print which.

    FILE is written as the one in the configuration is: plain text, or .yaml with sections. It is merged with what
    clients say by the configured rule.
    """
    about = subject(config, name)
    prompt = prompt_in(file, about.settings)
    with faults():
        version = put(about.registry, name, prompt.content, operator())
    notes, serves = list(oddities(about, prompt)), version == about.in_force
    if as_json:
        tokens = tokens_of(prompt, about.slots(prompt))
        print_json({"prompt": name, "version": version, "in_force": serves, "tokens": tokens, "notes": notes})
        return
    click.echo(f"Stored version {version} of prompt {name}.")
    for note in notes:
        click.echo(f"Note: {note}", err=True)
    if serves:
        click.echo("It is in force already.")
        return
    click.echo("It serves nobody yet. To measure it and put it in force:")
    for command in (*measuring(about, version), about.command(f"prompts promote {name} {version}")):
        click.echo(f"  {command}")
