"""`weir keys`: make, list and revoke the keys that are in the ledger's database."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table

from contracts.access import Author
from contracts.records import Key, Role
from ledger.database import Database
from ledger.stored_keys import create_key, hash_of, list_keys, revoke_key
from router.access import ROLES
from router.changes import Names, check_key
from weir.changing import change, json_option, reason_option
from weir.state import ask_ledger, config_option, read_config


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def keys() -> None:
    """Make, list and revoke keys, those of tenants and those of the staff.

    Keys live in the ledger's database; running servers take up changes within `ledger.keys_refresh_seconds`.
    Keys that are declared in the configuration are changed there.
    """


@keys.command(
    epilog="""\b
Examples:
  weir keys create --tenant acme --name website
  weir keys create --tenant acme --route support --model large --json
  weir keys create --role viewer --name finance --reason "monthly reports"
  weir keys create --role approver --tenant acme"""
)
@config_option
@click.option("--tenant", default="", help="Who pays. With --role: whom it looks after; left out, all.")
@click.option("--name", default="", help="What it is for.")
@click.option("--route", "routes", multiple=True, help="A route it may use; repeat for more. Left out: all.")
@click.option("--model", "models", multiple=True, help="A model it may name; repeat for more. Left out: all.")
@click.option("--role", type=click.Choice(ROLES), help="Make a key of the staff, which opens /admin that far.")
@reason_option
@json_option
def create(
    config: Path,
    tenant: str,
    name: str,
    routes: tuple[str, ...],
    models: tuple[str, ...],
    role: Role | None,
    reason: str,
    as_json: bool,
) -> None:
    """Make a key and print it. It is shown this once; only its hash is kept."""
    if not role and not tenant:
        raise click.UsageError("Say whose key it is, with --tenant; or make one of the staff, with --role.")

    async def make(database: Database, names: Names, author: Author) -> tuple[Key, str]:
        check_key(names, tenant, name, routes or None, models or None, role or "")
        return await create_key(
            database, tenant, name, routes or None, models or None, author=author, role=role or ""
        )

    key, secret = change(read_config(config), reason, make)
    if as_json:
        click.echo(orjson.dumps(_document(key) | {"key": secret}, option=orjson.OPT_INDENT_2))
        return
    click.echo(secret)
    whose = f"for {tenant}" if not role else f"in the role {role}, for {tenant or 'all tenants'}"
    click.echo(f"Made {key.id} {whose}. Keep the key above: it is not shown again.", err=True)


@keys.command(
    "list",
    epilog="""\b
Examples:
  weir keys list
  weir keys list --tenant acme --json""",
)
@config_option
@click.option("--tenant", help="Only this tenant's.")
@json_option
def list_(config: Path, tenant: str | None, as_json: bool) -> None:
    """List the keys of the database, revoked ones too. Those that the configuration declares stand there."""
    loaded = read_config(config)
    found = ask_ledger(loaded, lambda database: list_keys(database, tenant))
    if as_json:
        click.echo(orjson.dumps([_document(key) for key in found], option=orjson.OPT_INDENT_2))
        return
    if not found:
        click.echo("There are no keys in the database. Make one with: weir keys create --tenant NAME")
        return
    table = Table()
    for heading in ("id", "tenant", "name", "may use", "made", "revoked"):
        table.add_column(heading, overflow="fold")
    for key in found:
        made, revoked = (f"{at:%Y-%m-%d %H:%M}" if at else "" for at in (key.created_at, key.revoked_at))
        limits = sorted((key.routes or frozenset()) | (key.models or frozenset()))
        may = f"/admin as {key.role}" if key.role else ", ".join(limits) or "all"
        table.add_row(key.id, key.tenant or "(all)", key.name, may, made, revoked)
    Console().print(table)


@keys.command(
    epilog="""\b
Examples:
  weir keys revoke key_0123456789abcdef
  weir keys revoke key_0123456789abcdef --reason "found in a log\""""
)
@click.argument("key_id", metavar="ID")
@config_option
@reason_option
@json_option
def revoke(key_id: str, config: Path, reason: str, as_json: bool) -> None:
    """Revoke a key for good. ID is what `weir keys list` shows."""
    key = change(
        read_config(config), reason, lambda database, _, author: revoke_key(database, key_id, author=author)
    )
    if key is None:
        raise click.ClickException(
            f"There is no key '{key_id}' in the database. `weir keys list` shows them; "
            "one that the configuration declares is revoked by deleting it there."
        )
    if as_json:
        click.echo(orjson.dumps(_document(key), option=orjson.OPT_INDENT_2))
    else:
        click.echo(f"Revoked {key.id} of {key.tenant or 'all tenants'}.")


@keys.command(
    "hash",
    epilog="""\b
Examples:
  weir keys hash sk-weir-demo-acme
  printf %s "$KEY" | weir keys hash""",
)
@click.argument("key", required=False)
@json_option
def hash_(key: str | None, as_json: bool) -> None:
    """Print the hash that a configuration declares KEY by. Left out, KEY is read from standard input."""
    secret = (sys.stdin.readline() if key is None else key).strip()
    if not secret:
        raise click.UsageError("There is no key. Give one as an argument, or on standard input.")
    digest = hash_of(secret)
    click.echo(orjson.dumps({"hash": digest}) if as_json else digest)


def _document(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "name": key.name,
        "hash": key.hash,
        "routes": None if key.routes is None else sorted(key.routes),
        "models": None if key.models is None else sorted(key.models),
        "created_at": key.created_at,
        "role": key.role,
        "revoked_at": key.revoked_at,
    }
