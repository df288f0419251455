"""`weir tenants`: make, list, change and close the tenants that are in the ledger's database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contracts.access import Author, Tenant
from ledger.database import Database
from ledger.stored_tenants import change_tenant, close_tenant, create_tenant, list_tenants
from router.changes import Names, check_new_tenant, check_not_declared, check_tenant_changes
from weir.changing import change as changed
from weir.changing import json_option, reason_option
from weir.state import ask_ledger, config_option, read_config

_route_option = click.option("--route", "routes", multiple=True, help="A route it may use; repeat for more.")
_model_option = click.option("--model", "models", multiple=True, help="A model it may name; repeat for more.")
_refuse_option = click.option(
    "--refuse-model",
    "refused",
    multiple=True,
    help="A model that learned policies keep its requests from; repeat for more.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def tenants() -> None:
    """Make, list, change and close tenants.

    They live in the ledger's database; running servers take up changes within `ledger.keys_refresh_seconds`.
    Tenants that the configuration declares are changed there, and win where both know a name.
    """


@tenants.command(
    "list",
    epilog="""\b
Examples:
  weir tenants list
  weir tenants list --json""",
)
@config_option
@json_option
def list_(config: Path, as_json: bool) -> None:
    """List the tenants of the configuration and of the database, closed ones too."""
    loaded = read_config(config)
    rows = {tenant.name: _document(tenant) for tenant in ask_ledger(loaded, list_tenants)}
    for name, declared in loaded.config.tenants.items():
        limits = declared.model_dump(mode="json", include={"routes", "models", "refused_models"})
        rows[name] = {"name": name, "from": "configuration", **limits, "created_at": None, "closed_at": None}
    found = [rows[name] for name in sorted(rows)]
    if as_json:
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
        return
    table = Table()
    for heading in ("name", "from", "routes", "models", "refused", "closed"):
        table.add_column(heading, overflow="fold")
    for row in found:
        may = [", ".join(row[name]) if row[name] is not None else "all" for name in ("routes", "models")]
        closed = f"{row['closed_at']:%Y-%m-%d %H:%M}" if row["closed_at"] else ""
        table.add_row(escape(row["name"]), row["from"], *may, ", ".join(row["refused_models"]), closed)
    Console().print(table)


@tenants.command(
    epilog="""\b
Examples:
  weir tenants create acme
  weir tenants create acme --route support --refuse-model large --reason "contract 17\""""
)
@click.argument("name")
@config_option
@_route_option
@_model_option
@_refuse_option
@reason_option
@json_option
def create(
    name: str,
    config: Path,
    routes: tuple[str, ...],
    models: tuple[str, ...],
    refused: tuple[str, ...],
    reason: str,
    as_json: bool,
) -> None:
    """Make a tenant. Without --route it may use all routes, without --model name all models."""

    async def make(database: Database, names: Names, author: Author) -> Tenant:
        check_new_tenant(names, name, routes, models, refused)
        return await create_tenant(database, name, routes or None, models or None, refused, author=author)

    tenant = changed(read_config(config), reason, make)
    _say(tenant, as_json, f"Made {tenant.name}. Its keys: weir keys create --tenant {tenant.name}")


@tenants.command(
    epilog="""\b
Examples:
  weir tenants change acme --route support --route faq
  weir tenants change acme --all-routes --refuse-none --reason "new contract\""""
)
@click.argument("name")
@config_option
@_route_option
@_model_option
@_refuse_option
@click.option("--all-routes", is_flag=True, help="It may use all routes.")
@click.option("--all-models", is_flag=True, help="It may name all models.")
@click.option("--refuse-none", is_flag=True, help="Learned policies may send its requests to any model.")
@reason_option
@json_option
def change(
    name: str,
    config: Path,
    routes: tuple[str, ...],
    models: tuple[str, ...],
    refused: tuple[str, ...],
    all_routes: bool,
    all_models: bool,
    refuse_none: bool,
    reason: str,
    as_json: bool,
) -> None:
    """Change what a tenant may use. What is not named stays as it is."""
    loaded = read_config(config)
    changes: dict[str, Sequence[str] | None] = {
        **_one_of("routes", "--route", routes, None, all_routes),
        **_one_of("models", "--model", models, None, all_models),
        **_one_of("refused_models", "--refuse-model", refused, (), refuse_none),
    }

    async def make(database: Database, names: Names, author: Author) -> Tenant:
        check_not_declared("tenant", name, loaded.config.tenants)
        check_tenant_changes(names, changes)
        return await change_tenant(database, name, changes, author=author)

    _say(changed(loaded, reason, make), as_json, f"Changed {name}.")


@tenants.command(
    epilog="""\b
Example:
  weir tenants close acme --reason "contract ended\""""
)
@click.argument("name")
@config_option
@reason_option
@json_option
def close(name: str, config: Path, reason: str, as_json: bool) -> None:
    """Close a tenant for good: its keys are refused. What it used stays in the reports."""
    loaded = read_config(config)

    async def make(database: Database, _: Names, author: Author) -> Tenant:
        check_not_declared("tenant", name, loaded.config.tenants)
        return await close_tenant(database, name, author=author)

    _say(changed(loaded, reason, make), as_json, f"Closed {name}.")


def _one_of(
    limit: str, option: str, named: tuple[str, ...], everything: Sequence[str] | None, all_: bool
) -> Mapping[str, Sequence[str] | None]:
    if named and all_:
        raise click.UsageError(f"{option} names some, and you also ask for the opposite: leave one of them out.")
    return {limit: everything} if all_ else {limit: named} if named else {}


def _say(tenant: Tenant, as_json: bool, words: str) -> None:
    click.echo(orjson.dumps(_document(tenant), option=orjson.OPT_INDENT_2) if as_json else words)


def _document(tenant: Tenant) -> dict[str, Any]:
    return {
        "name": tenant.name,
        "from": "database",
        "routes": None if tenant.routes is None else sorted(tenant.routes),
        "models": None if tenant.models is None else sorted(tenant.models),
        "refused_models": sorted(tenant.refused_models),
        "created_at": tenant.created_at,
        "closed_at": tenant.closed_at,
    }
