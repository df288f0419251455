"""`weir route`: what a running Weir would decide about a question, and why."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click
import orjson
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from heads.neighbours import query_id
from router.config.load import Loaded
from router.learning.notebook import notebook_path
from weir.asking import Asked, base_url_option
from weir.state import config_option, read_config, state_dir

_BAR = 24
_NEAREST, _LONGEST = 5, 90
"""Queries that are shown, and characters of each."""
_OUTLOOKS = {
    "local": "surely cheap: its answer is delivered as it is",
    "hosted": "surely the reference",
    "unsure": "unsure: the cheap answer is checked, and the reference asked if it is not good enough",
}


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  weir route explain "How do I reset my password?"
  weir route explain "Prove that there are infinitely many primes." --route auto --tenant acme

\b
Exit status: 0 done, 1 it could not be, 2 a wrong option.""",
)
def route() -> None:
    """What a route would decide about a question, without asking any model."""


@route.command(
    epilog="""\b
Examples:
  weir route explain "How do I reset my password?"
  weir route explain "Compare A with B." --route support --tenant acme --system "You are a lawyer."
  weir route explain "How do I reset my password?" --json"""
)
@click.argument("question")
@config_option
@base_url_option
@click.option("--route", "name", default="auto", show_default=True, help="The route to ask.")
@click.option("--tenant", help="For whom.  [default: the only tenant there is, or the first]")
@click.option("--system", help="A system message before the question.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(
    question: str, config: Path, base_url: str, name: str, tenant: str | None, system: str | None, as_json: bool
) -> None:
    """Show what would answer QUESTION, and why: intent, candidates with predictions, nearest known queries."""
    tenant = tenant or next(iter(read_config(config).config.tenants), None)
    if tenant is None:
        raise click.ClickException(f"There are no tenants in {config}. Add one, and ask for it with --tenant.")
    messages = [{"role": "system", "content": system}] if system else []
    body = {"model": name, "messages": [*messages, {"role": "user", "content": question}]}
    found = Asked(config, base_url).post(f"/v1/decisions/preview?{urlencode({'tenant': tenant})}", body)
    _with_texts(found["decision"]["nearest"], read_config(config), name, tenant)
    if as_json:
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return
    _print(Console(), found["decision"])


def _with_texts(nearest: list[dict[str, Any]], loaded: Loaded, route: str, tenant: str) -> None:
    """Add the questions that the ids stand for, as far as they were written down on this machine."""
    wanted = {one["query_id"]: one for one in nearest}
    learning = loaded.config.routes[route].learning if route in loaded.config.routes else None
    tenants = loaded.config.tenants if learning is not None and learning.shared else (tenant,)
    for path in (notebook_path(state_dir(), name) for name in tenants):
        if not wanted or not path.exists():
            continue
        for line in path.read_bytes().splitlines():
            try:
                query = orjson.loads(line).get("query")
            except (orjson.JSONDecodeError, AttributeError):
                continue
            if isinstance(query, str) and (one := wanted.get(query_id(query))) is not None:
                one["query"] = query


def _print(console: Console, decision: Mapping[str, Any]) -> None:
    chance = decision["intent_probability"]
    sure = f" ({chance:.0%})" if chance is not None else ""
    console.print(f"intent     {escape(decision['intent'])}{sure}", highlight=False)
    console.print(f"choice     [bold]{escape(decision['model'])}[/bold]", highlight=False)
    if decision["outlook"]:
        console.print(f"outlook    {_OUTLOOKS[decision['outlook']]}", highlight=False)
    console.print(f"because    {escape(decision['reason'])}", highlight=False)
    if decision["otherwise"]:
        console.print(f"otherwise  with {escape(decision['otherwise'])}", highlight=False)
    if decision["degraded"]:
        console.print(f"missing    {escape(decision['degraded'])}", highlight=False)
    console.print(_candidates(decision["candidates"]))
    for place, one in enumerate(decision["nearest"][:_NEAREST]):
        shown = one.get("query", one["query_id"])[:_LONGEST]
        console.print(
            f"{'nearest' if not place else '':10} {one['similarity']:.2f}  {escape(shown)}", highlight=False
        )
    console.print(f"policy     {escape(decision['policy'])}", highlight=False)


def _candidates(candidates: list[Mapping[str, Any]]) -> Table:
    table = Table(box=SIMPLE)
    for heading in ("model", "good enough", "95 %", "cost", "P95", ""):
        table.add_column(heading)
    for one in candidates:
        table.add_row(
            escape(one["model"]),
            _bar(one["quality"]) if one["quality"] is not None else "not predicted",
            "{:.2f} to {:.2f}".format(*one["interval"]) if one["interval"] else "",
            f"${float(one['cost']):.6f}" if one["cost"] is not None else "",
            f"{one['latency_ms']:.0f} ms" if one["latency_ms"] is not None else "",
            escape(one["reason"]) if one["eligible"] else f"[dim]{escape(one['reason'])}[/dim]",
        )
    return table


def _bar(quality: float) -> str:
    filled = round(_BAR * quality)
    return f"{'█' * filled}{'░' * (_BAR - filled)} {quality:.2f}"
