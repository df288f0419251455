"""`weir eval new`: a suite to begin with."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import click


@click.command(
    epilog="""\b
Examples:
  weir eval new suites/support
  weir eval new suites/support --name "Help desk" --json"""
)
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option("--name", default="", help="What the suite is called.  [default: as the folder is]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def new(folder: Path, name: str, as_json: bool) -> None:
    """Make a suite in FOLDER, which must not hold anything yet.

    It has a few cases of each kind, comments that say what can be written where, and rules for a gate; and it runs
    as it is.
    """
    import orjson

    from evals.importing.draft import Unusable
    from evals.importing.scaffold import scaffold

    try:
        suite = scaffold(folder, name.strip())
    except Unusable as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        told = {"folder": str(folder), "name": suite.name, "cases": len(suite.cases), "version": suite.version}
        click.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
        return
    click.echo(f"{folder} has {len(suite.cases)} cases. Try it, then put your own in their place:")
    click.echo(f"  weir eval run {quote(str(folder))} --target MODEL --out runs/first")
