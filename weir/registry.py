"""`weir registry`: which artefacts there are, which are in use, what is known of them, and what was changed.

The non-obvious decision: these verbs only read it, and take no lock, so they never stand in a server's way.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec
import orjson
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contracts.artefacts import CANARY, PREVIOUS, PRODUCTION
from registry.card import markdown
from registry.change_log import Entry
from registry.store import Registry
from weir.registry_export import export
from weir.registry_state import faults, registry_of, state_option
from weir.router_artefact import json_option

_KIND = "router"
_IN_TABLE = (PRODUCTION, CANARY, PREVIOUS)
_FIGURES = 4
"""So many of a change's figures are on its line in the log; `--json` has all of its evidence."""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  weir registry list
  weir registry show support/acme
  weir registry log --verify

\b
Exit status: 0 done, 1 it could not be or the log is damaged, 2 a wrong option.""",
)
def registry() -> None:
    """What was learned: artefacts, which of them are in use, and the log of every change.

    An artefact is named by a hash of its content, and is never changed. Aliases say which one is used: `production`
    by all, `canary` by a part of the traffic, and `previous` is what a rollback goes back to.
    """


@registry.command(
    "list",
    epilog="""\b
Examples:
  weir registry list
  weir registry list --kind router --json""",
)
@state_option
@click.option("--kind", help="Only artefacts of this kind.")
@json_option
def list_(state: Path | None, kind: str | None, as_json: bool) -> None:
    """List what artefacts there are, and which are in use."""
    with faults():
        found = registry_of(state)
        kinds = found.kinds() if kind is None else [kind]
        rows: list[dict[str, Any]] = [
            {
                "kind": one,
                "name": name,
                "aliases": found.aliases(one, name),
                "versions": found.versions(one, name),
            }
            for one in kinds
            for name in found.names(one)
        ]
    if as_json:
        click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
        return
    if not rows:
        click.echo(f"There are no artefacts in {found.folder}.")
        return
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("name", overflow="fold")
    for heading in ("kind", *_IN_TABLE, "versions"):
        table.add_column(heading, no_wrap=heading in _IN_TABLE)
    for row in rows:
        named = [row["aliases"].get(alias, "") for alias in _IN_TABLE]
        table.add_row(escape(row["name"]), row["kind"], *named, str(len(row["versions"])))
    Console().print(table)


@registry.command(
    epilog="""\b
Examples:
  weir registry show support/acme
  weir registry show support/acme previous
  weir registry show support/acme 0123456789abcdef --json
  weir registry show support --kind student --check"""
)
@click.argument("name")
@click.argument("version", metavar="[VERSION|ALIAS]", default=PRODUCTION)
@state_option
@click.option("--kind", default=_KIND, show_default=True, help="The artefact's kind.")
@click.option("--check", is_flag=True, help="Check its files also where reading them takes long.")
@json_option
def show(name: str, version: str, state: Path | None, kind: str, check: bool, as_json: bool) -> None:
    """Print an artefact's card, in Markdown; that of `production` where no version is named.

    Its files are checked, unless they are large: what is damaged is said, not shown.
    """
    with faults():
        found = registry_of(state)
        artefact = found.get(kind, name, version) if check else found.look(kind, name, version)
        if not artefact.checked:
            click.echo("Note: its files are large, and were not checked: --check does.", err=True)
        if as_json:
            document = {**msgspec.structs.asdict(artefact), "folder": str(artefact.folder)}
            click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        else:
            click.echo(markdown(artefact, found.log.entries(kind=kind, name=name)))


@registry.command(
    epilog="""\b
Examples:
  weir registry log
  weir registry log --kind student
  weir registry log --name support/acme --json
  weir registry log --verify"""
)
@state_option
@click.option("--kind", help="Only changes of artefacts of this kind.")
@click.option("--name", help="Only changes of this artefact.")
@click.option(
    "--verify", is_flag=True, help="Look for changed, removed and reordered lines instead, and a cut tail."
)
@json_option
def log(state: Path | None, kind: str | None, name: str | None, verify: bool, as_json: bool) -> None:
    """Print who changed what, when, why and on what evidence, or see whether that log is whole."""
    if verify and (kind, name) != (None, None):
        raise click.UsageError("--kind and --name do not go with --verify: the chain is of the whole log.")
    with faults():
        found = registry_of(state)
        if verify:
            _verify(found, as_json)
            return
        entries = found.log.entries(kind=kind, name=name)
        if as_json:
            click.echo(orjson.dumps([msgspec.to_builtins(entry) for entry in entries], option=orjson.OPT_INDENT_2))
            return
        none = True
        for entry in entries:
            click.echo(line_of(entry))
            none = False
        if none:
            about = " ".join(part for part in (kind, name) if part)
            click.echo(f"Nothing is written{about and f' about {about}'} in {found.log.path}.")


def _verify(found: Registry, as_json: bool) -> None:
    problems = found.log.verify()
    if as_json:
        document = [msgspec.structs.asdict(problem) for problem in problems]
        click.echo(orjson.dumps({"path": str(found.log.path), "problems": document}, option=orjson.OPT_INDENT_2))
    elif problems:
        for problem in problems:
            click.echo(str(problem))
    else:
        click.echo(f"{sum(1 for _ in found.log.entries())} entries in {found.log.path}, and each follows the last.")
    if problems:
        raise click.exceptions.Exit(1)


def line_of(entry: Entry) -> str:
    """A change as `weir registry log` prints it, with the first figures of its evidence."""
    about = " ".join(part for part in (entry.kind, entry.name) if part)
    moved = f" {entry.alias}" if entry.alias else ""
    change = " -> ".join(part for part in (entry.before, entry.version) if part)
    if entry.what == "verdict":
        moved = " passed" if entry.evidence.get("passed") else " refused"
    if entry.what == "drop":
        change = entry.before
    parts = [f"{entry.number:>4}  {entry.at:%Y-%m-%d %H:%M:%S}  {entry.what}{moved}", about, change]
    said = (f"by {_one_line(entry.by)}", _one_line(entry.reason), _figures(entry.evidence))
    return "  ".join(part for part in (*parts, *said) if part)


def _figures(evidence: Mapping[str, Any]) -> str:
    """Numbers that stand in it by name, or as rows of a metric and its value, such as a card has."""
    named = [(key, value) for key, value in evidence.items() if not isinstance(value, list)]
    for rows in evidence.values():
        if isinstance(rows, list):
            named += [(str(row.get("metric")), row.get("value")) for row in rows if isinstance(row, dict)]
    told = [
        f"{_one_line(name)} {value:.6g}"
        for name, value in named
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    return f"({', '.join(told[:_FIGURES])})" if told else ""


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()


registry.add_command(export)
