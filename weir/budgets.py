"""`weir budgets`: set, list and remove the budgets that are in the ledger's database.

The non-obvious decision: what is spent is added up from the ledger, so that no server need run; one that is asked
knows also what its requests have set aside at this moment.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contracts.access import Author, StoredBudget
from contracts.budgets import Budget
from ledger.budgets.spent import LedgerSpent
from ledger.budgets.windows import span_at
from ledger.database import Database
from ledger.stored_budgets import list_budgets, remove_budget, set_budget
from router.changes import (
    Names,
    budget_in,
    budgets_in_force,
    check_budget,
    check_not_declared,
    settings_of,
    shown_amount,
)
from router.surroundings import rolled_up
from weir.asking import Asked
from weir.changing import change, json_option, reason_option
from weir.state import ask_ledger, config_option, read_config, spool_dir, state_dir

_SCOPE = ("tenant", "key", "route", "model", "tag")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def budgets() -> None:
    """Set, list and remove budgets: at most so many requests, tokens or dollars in a span of time.

    They live in the ledger's database; running servers take up changes within `ledger.keys_refresh_seconds`.
    Budgets that the configuration declares are changed there, and win where both know a name.
    """


@budgets.command(
    "list",
    epilog="""\b
Examples:
  weir budgets list
  weir budgets list --base-url http://127.0.0.1:8080   (what its counters say)
  weir budgets list --tenant acme --json""",
)
@config_option
@click.option("--tenant", help="Only those that name this tenant.")
@click.option("--base-url", help="Where a Weir runs, without /v1: ask it; else the ledger is.")
@json_option
def list_(config: Path, tenant: str | None, base_url: str | None, as_json: bool) -> None:
    """List the budgets of the configuration and of the database, what is spent of them, and what is left."""
    found = _added_up(config) if base_url is None else _asked(config, base_url)
    found = [budget for budget in found if tenant is None or budget.get("tenant") == tenant]
    if as_json:
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
        return
    if not found:
        click.echo("There are no budgets. Set one with: weir budgets set NAME --usd 100 --per month")
        return
    table = Table()
    for heading in ("name", "from", "at most", "of", "account", "spent", "left"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "from")
    for budget in found:
        for row in _rows(budget):
            table.add_row(*map(escape, row))
    Console().print(table)


@budgets.command(
    "set",
    epilog="""\b
Examples:
  weir budgets set acme-monthly --usd 250 --per month --tenant acme
  weir budgets set calm --requests 60 --per minute --each key
  weir budgets set search --tokens 5000000 --per day --tag team=search --soft --warn-at 0.5""",
)
@click.argument("name")
@config_option
@click.option("--requests", help="At most so many requests.")
@click.option("--tokens", help="At most so many tokens, of prompts and answers together.")
@click.option("--usd", help="At most so many dollars.")
@click.option(
    "--per", required=True, type=click.Choice(["minute", "day", "month", "total"]), help="Of the calendar, in UTC."
)
@click.option("--soft", is_flag=True, help="Refuse nothing, only alert.")
@click.option("--warn-at", multiple=True, help="A share whose passing is alerted, as 0.8; repeat for more.")
@click.option("--tenant", help="Of this tenant. Left out, of any; the same of all below.")
@click.option("--key", help="A key's id, as `weir keys list` shows it.")
@click.option("--route", help="One of the configuration's routes.")
@click.option("--model", help="One of its models.")
@click.option("--tag", help="A tag and its value, as team=search.")
@click.option(
    "--each",
    multiple=True,
    type=click.Choice(["tenant", "key", "route", "model"]),
    help="One account for each of them; repeat for more. Left out: all share one.",
)
@reason_option
@json_option
def set_(name: str, config: Path, soft: bool, reason: str, as_json: bool, **settings: Any) -> None:
    """Make a budget, or put another in its place."""
    loaded = read_config(config)
    given = {option: value for option, value in settings.items() if value not in (None, ())}
    if soft:
        given["hard"] = False

    async def make(database: Database, names: Names, author: Author) -> StoredBudget:
        check_not_declared("budget", name, loaded.config.budgets)
        checked = check_budget(names, name, budget_in(given))
        return await set_budget(database, name, checked, author=author)

    budget = change(loaded, reason, make)
    if as_json:
        click.echo(orjson.dumps(_document(budget), option=orjson.OPT_INDENT_2))
    else:
        click.echo(f"Set {name}: at most {_limit(budget.settings)}, {_scope(budget.settings)}.")


@budgets.command(
    epilog="""\b
Example:
  weir budgets remove calm --reason "moved to the configuration\""""
)
@click.argument("name")
@config_option
@reason_option
@json_option
def remove(name: str, config: Path, reason: str, as_json: bool) -> None:
    """Remove a budget. What was spent stays in the reports."""
    loaded = read_config(config)

    async def make(database: Database, _: Names, author: Author) -> bool:
        check_not_declared("budget", name, loaded.config.budgets)
        return await remove_budget(database, name, author=author)

    if not change(loaded, reason, make):
        raise click.ClickException(f"There is no budget '{name}' in the database. `weir budgets list` shows them.")
    click.echo(orjson.dumps({"name": name, "removed": True}) if as_json else f"Removed {name}.")


def _added_up(config: Path) -> list[dict[str, Any]]:
    """All budgets, with their accounts as the ledger has them now."""
    loaded = read_config(config)
    declared = loaded.config.budgets

    async def ask(database: Database) -> list[dict[str, Any]]:
        stored = await list_budgets(database)
        found = {budget.name: _document(budget) for budget in stored}
        found |= {
            name: {"name": name, "from": "configuration", **settings_of(budget)}
            for name, budget in declared.items()
        }
        spent = LedgerSpent(database, spool_dir(state_dir()), lambda: rolled_up(loaded.config))
        for budget in budgets_in_force(declared, stored)[0]:
            found[budget.name]["accounts"] = await _accounts(spent, budget)
        return [found[name] for name in sorted(found)]

    return ask_ledger(loaded, ask)


async def _accounts(spent: LedgerSpent, budget: Budget) -> list[dict[str, Any]]:
    span = span_at(budget.window, time.time())
    found = await spent.spent_so_far(budget, span.begins_at)
    return [
        {
            "account": dict(zip(budget.each, values, strict=True)),
            "spent": shown_amount(budget.measure, value),
            "left": shown_amount(budget.measure, max(0, budget.limit - value)),
            "limit": shown_amount(budget.measure, budget.limit),
            "resets_at": span.resets_at,
        }
        for values, value in sorted((found or ({} if budget.each else {(): 0})).items())
    ]


def _asked(config: Path, base_url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = Asked(config, base_url).get("/admin/v1/budgets")["data"]
    return found


def _rows(budget: Mapping[str, Any]) -> Sequence[tuple[str, ...]]:
    about = (budget["name"], budget["from"], _limit(budget), _scope(budget))
    accounts = budget.get("accounts") or []
    if not accounts:
        return [(*about, "", "", "")]
    told = [
        (_whose(budget, account["account"]), str(account["spent"]), str(account["left"])) for account in accounts
    ]
    return [(*about, *told[0]), *(("", "", "", "", *rest) for rest in told[1:])]


def _whose(budget: Mapping[str, Any], account: Mapping[str, str]) -> str:
    """What tells it from the budget's other accounts: what they share stands before it."""
    return ", ".join(name for part, name in account.items() if budget.get(part) != name)


def _limit(settings: Mapping[str, Any]) -> str:
    measure = next(name for name in ("requests", "tokens", "usd") if name in settings)
    amount = f"${settings[measure]}" if measure == "usd" else f"{settings[measure]:,} {measure}"
    span = "in total" if settings["per"] == "total" else f"a {settings['per']}"
    return f"{amount} {span}" + ("" if settings.get("hard", True) else " (soft)")


def _scope(settings: Mapping[str, Any]) -> str:
    parts = [f"{part} {settings[part]}" for part in _SCOPE if settings.get(part)]
    each = settings.get("each") or ()
    return (", ".join(parts) or "everything") + (f", for each {' and '.join(each)}" if each else "")


def _document(budget: StoredBudget) -> dict[str, Any]:
    return {"name": budget.name, "from": "database", **budget.settings, "changed_at": budget.changed_at}
