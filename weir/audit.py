"""`weir audit`: who changed which tenant, key or budget, and whether that log is whole."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec
import orjson

from contracts.access import Entry
from ledger.audit_log import GENESIS, Head, Verified, list_entries, verify
from registry.faults import RegistryFault
from registry.store import Registry
from weir.changing import json_option
from weir.report_output import Moment
from weir.state import ask_ledger, config_option, read_config, state_dir

_MOST = 10_000


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def audit() -> None:
    """Who changed tenants, keys, budgets and the configuration; and whether anybody has changed the log of it."""


@audit.command(
    "log",
    epilog="""\b
Examples:
  weir audit log
  weir audit log --subject acme --since 2026-11-01
  weir audit log --json""",
)
@config_option
@click.option("--subject", help="Only changes of this key (by its id), tenant or budget.")
@click.option("--since", type=Moment(), help="From this time on: 2026-11-01, 24h (ago), 30d.")
@json_option
def log(config: Path, subject: str | None, since: datetime | None, as_json: bool) -> None:
    """Print what was changed, by whom and why, the oldest first; of very many, the newest ten thousand."""
    found = ask_ledger(
        read_config(config), lambda database: list_entries(database, subject=subject, since=since, most=_MOST)
    )
    if as_json:
        click.echo(orjson.dumps([msgspec.to_builtins(entry) for entry in found], option=orjson.OPT_INDENT_2))
        return
    for entry in found:
        click.echo(_line(entry))
    if not found:
        click.echo("Nothing of this kind was changed.")


@audit.command(
    "verify",
    epilog="""\b
Examples:
  weir audit verify
  weir audit verify --head 42:1f0c...   (as an earlier run printed it)
  weir audit verify --json

\b
Exit status: 0 whole, 1 damaged or it could not be read, 2 a wrong option.""",
)
@config_option
@click.option("--head", "kept", metavar="NUMBER:HASH", help="A head that was kept elsewhere: finds a cut tail.")
@json_option
def verify_(config: Path, kept: str | None, as_json: bool) -> None:
    """Look for changed, removed, reordered and put in entries; in the registry's own log too.

    Prints the head of the log. Keep it where whoever can write to the database cannot: with it, --head also finds a
    cut tail, and a log that was written anew.
    """
    known = None if kept is None else _head(kept)
    found: Verified = ask_ledger(read_config(config), lambda database: verify(database, known))
    registry = Registry(state_dir() / "registry")
    try:
        of_registry = [str(problem) for problem in registry.log.verify()]
    except (RegistryFault, OSError) as error:
        of_registry = [f"cannot be read: {error}"]
    if as_json:
        click.echo(orjson.dumps(_document(found, registry, of_registry), option=orjson.OPT_INDENT_2))
    else:
        _tell(found, registry, of_registry)
    if found.problem or of_registry:
        raise click.exceptions.Exit(1)


def _tell(found: Verified, registry: Registry, of_registry: list[str]) -> None:
    if found.problem:
        click.echo(f"The audit log is damaged. {found.problem}")
    else:
        click.echo(f"{found.entries} entries in the audit log, and each follows the last.")
    click.echo(f"head: {found.head}")
    for problem in of_registry:
        click.echo(f"The registry's log {registry.log.path} is damaged. {problem}")
    if not of_registry:
        click.echo("The registry's log is whole.")


def _document(found: Verified, registry: Registry, of_registry: list[str]) -> dict[str, Any]:
    return {
        "entries": found.entries,
        "head": str(found.head),
        "problem": None if found.problem is None else msgspec.structs.asdict(found.problem),
        "registry": {"path": str(registry.log.path), "problems": of_registry},
    }


def _head(text: str) -> Head:
    number, _, digest = text.strip().partition(":")
    if not number.isdecimal() or len(digest) != len(GENESIS):
        raise click.BadParameter(
            f"must be a number, a colon and {len(GENESIS)} hex digits, as `weir audit verify` prints it.",
            param_hint="--head",
        )
    return Head(int(number), digest.lower())


def _line(entry: Entry) -> str:
    change = " -> ".join(orjson.dumps(state).decode() for state in (entry.before, entry.after) if state is not None)
    parts = (
        f"{entry.number:>4}  {entry.at:%Y-%m-%d %H:%M:%S}  {entry.what}",
        entry.subject,
        change,
        f"by {entry.by}",
        entry.reason,
    )
    return "  ".join(_one_line(part) for part in parts if part)


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)
