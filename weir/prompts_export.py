"""`weir prompts export`: write a version as its author would have, for a file that people edit and review."""

from __future__ import annotations

from pathlib import Path

import click

from prompts.prompt import BookedPrompt
from prompts.reading import read_prompt, structured
from prompts.writing import write_prompt
from weir.prompts_subject import Subject, faults, subject
from weir.router_artefact import json_option, print_json
from weir.state import config_option
from weir.writing import writing


@click.command(
    epilog="""\b
Examples:
  weir prompts export support
  weir prompts export support 0123456789abcdef --out better.yaml
  weir prompts export support --out prompts/support.md --overwrite"""
)
@click.argument("name")
@click.argument("version", metavar="[VERSION|ALIAS]", required=False)
@config_option
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it there, not here."
)
@click.option("--overwrite", is_flag=True, help="Also where FILE is there already.")
@json_option
def export(name: str, version: str | None, config: Path, out: Path | None, overwrite: bool, as_json: bool) -> None:
    """Print a version of the prompt NAME as a file of it would be; what is in force where none is named.

    It is plain text where that says all, or else YAML. Read back with the same merge rule it is the same version:
    what was promoted can be written into the configuration's file, and nothing changes but who keeps it.
    """
    about = subject(config, name)
    with faults():
        wanted = about.in_force if version is None else about.resolved(version)
        prompt = about.prompt(wanted)
    suffix, text = write_prompt(prompt)
    if out is not None:
        _write(out, suffix, text, overwrite)
        if read_prompt(out, prompt.rule).version != wanted:
            raise click.ClickException(f"{out} does not read back as version {wanted}: use the registry's instead.")
    notes = [*_notes(about, prompt, suffix)]
    if as_json:
        document = {"prompt": name, "version": wanted, "suffix": suffix, "text": text, "merge": prompt.rule}
        print_json({**document, "file": None if out is None else str(out), "notes": notes})
        return
    if out is None:
        click.echo(text, nl=not text.endswith("\n"))
    for note in notes:
        click.echo(f"Note: {note}", err=True)


def _write(out: Path, suffix: str, text: str, overwrite: bool) -> None:
    if structured(suffix) != structured(out.suffix):
        what = "needs YAML" if structured(suffix) else "is plain text"
        raise click.ClickException(f"This version {what}: write it to {out.with_suffix(suffix)}.")
    if out.exists() and not overwrite:
        raise click.ClickException(f"{out} is there already: --overwrite replaces it.")
    with writing(out):
        out.write_text(text, encoding="utf-8", newline="")


def _notes(about: Subject, prompt: BookedPrompt, suffix: str) -> list[str]:
    """What the configuration would have to say for a file of this version."""
    settings, found = about.settings, []
    if structured(suffix) != structured(Path(settings.file).suffix):
        named = Path(settings.file).with_suffix(suffix)
        found.append(f"to serve it from a file, set `prompts.{about.name}.file` to one such as {named}.")
    if prompt.rule != settings.merge:
        found.append(f"it is merged by another rule: set `prompts.{about.name}.merge` to {prompt.rule}.")
    return found
