"""`weir reference`: the configuration's reference, from the code itself."""

from __future__ import annotations

import json
from pathlib import Path

import click

from router.config.reference import json_schema, page, write


@click.command(
    epilog="""\b
Examples:
  weir reference | less
  weir reference --schema > weir.schema.json
  weir reference --write docs/reference"""
)
@click.option("--schema", is_flag=True, help="Print the JSON schema instead of the page.")
@click.option(
    "--write",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write both, config.md and config.schema.json, into this folder.",
)
def reference(schema: bool, folder: Path | None) -> None:
    """Print every setting of weir.yaml, as Markdown."""
    if folder is None:
        click.echo(json.dumps(json_schema(), indent=2) if schema else page(), nl=schema)
        return
    try:
        for file in write(folder):
            click.echo(f"Wrote {file}")
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from error
