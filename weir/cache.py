"""`weir cache`: what a running Weir's cache holds and has learned, taking answers back, and training its verifier.

The non-obvious decision: these verbs ask the server over HTTP, with the admin key. The cache lives in its memory;
what is on disk is for its next start.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import click
import orjson
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from weir.asking import Asked, base_url_option
from weir.cache_train import evaluate, train
from weir.state import config_option

_BAR = 24
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  weir cache stats
  weir cache inspect --tag route:support
  weir cache invalidate --tag docs/faq.md --tenant acme
  weir cache train labelled.jsonl --out verifier.npz

\b
Exit status: 0 done, 1 it could not be, 2 a wrong option.""",
)
def cache() -> None:
    """What the cache of a running Weir holds and has learned; taking answers back; training its verifier.

    `stats`, `inspect` and `invalidate` ask the server at --base-url with the admin key, which they find through the
    configuration or in the state folder. With several workers, what is shown is that of the one that answered; what
    is invalidated is so in all of them.
    """


cache.add_command(train)
cache.add_command(evaluate)


@cache.command(
    epilog="""\b
Examples:
  weir cache stats
  weir cache stats --base-url https://weir.example.com --json"""
)
@config_option
@base_url_option
@_json_option
def stats(config: Path, base_url: str, as_json: bool) -> None:
    """Show what is stored, and what each tenant or pool has learned on each route.

    `served` are answers to other questions, and `would serve` is the share of lookups that score above the
    threshold. `wrong` is the share that was answered wrongly, as audits saw it, with its interval, beside what the
    route allows: the mark in its bar.
    """
    found = Asked(config, base_url).get("/admin/v1/cache")
    if as_json:
        _print_json(found)
        return
    console = Console()
    _print_counts(console, found)
    scopes = found["scopes"]
    if not scopes:
        console.print("Nothing was looked up by meaning yet.")
        return
    console.print(_scopes(scopes))
    for scope in scopes:
        if "threshold" in scope:
            console.print(_plot(scope), highlight=False)


@cache.command(
    epilog="""\b
Examples:
  weir cache inspect --tenant acme --limit 50
  weir cache inspect --tag prompt:1f0c2f7b
  weir cache inspect --id 0123456789abcdef0123456789abcdef --json"""
)
@config_option
@base_url_option
@click.option("--tenant", help="Only what this tenant, or pool:NAME, owns.")
@click.option("--tag", help="Only what is filed under it.")
@click.option("--id", "entry", help="One entry, as x-weir-cache-entry names it.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Entries at most.")
@_json_option
def inspect(
    config: Path,
    base_url: str,
    tenant: str | None,
    tag: str | None,
    entry: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show stored answers with their questions, the most recently used first."""
    wanted = {"tenant": tenant, "tag": tag, "id": entry, "limit": limit}
    query = urlencode({name: value for name, value in wanted.items() if value is not None})
    entries = Asked(config, base_url).get(f"/admin/v1/cache/entries?{query}")["data"]
    if as_json:
        _print_json(entries)
        return
    if not entries:
        click.echo("There is no such entry.")
        return
    console = Console()
    for one in entries:
        _print_entry(console, one)


@cache.command(
    epilog="""\b
Examples:
  weir cache invalidate --tag model:support-large
  weir cache invalidate --tag docs/faq.md --tenant acme
  weir cache invalidate --entry 0123456789abcdef0123456789abcdef
  weir cache invalidate --all"""
)
@config_option
@base_url_option
@click.option(
    "--tag", help="Everything that is filed under it: route:NAME, model:NAME, prompt:VERSION or your own."
)
@click.option("--entry", help="One entry, as x-weir-cache-entry names it.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--tenant", help="Of this tenant, or pool:NAME, only; not with --entry.")
@_json_option
def invalidate(
    config: Path,
    base_url: str,
    tag: str | None,
    entry: str | None,
    everything: bool,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Take stored answers back: in all workers, and in all Weirs that share a cache, within a second.

    An answer that is under way is not stored either, where its tag is made stale before it ends.
    """
    if [tag is not None, entry is not None, everything].count(True) != 1:
        raise click.UsageError("Name one of --tag, --entry and --all.")
    if entry is not None and not re.fullmatch(r"[0-9a-fA-F]{32}", entry):
        raise click.BadParameter("must be 32 hex digits, as `weir cache inspect` shows them", param_hint="--entry")
    if entry is not None and tenant is not None:
        raise click.UsageError("--tenant does not go with --entry: an entry has one owner.")
    where = "" if tenant is None else f"?{urlencode({'tenant': tenant})}"
    if entry is not None:
        path = f"/admin/v1/cache/entries/{entry}"
    elif tag is not None:
        path = f"/admin/v1/cache/tags/{quote(tag, safe='')}{where}"
    else:
        path = f"/admin/v1/cache{where}"
    done = Asked(config, base_url).delete(path)
    if as_json:
        _print_json(done)
    elif entry is not None:
        click.echo(f"Dropped {entry}.")
    else:
        what = "Everything" if everything else f"What is filed under '{tag}'"
        owner = "" if tenant is None else f" of {tenant}"
        click.echo(f"{what}{owner} is stale now (revision {done['revision']}).")


def _print_counts(console: Console, found: Mapping[str, Any]) -> None:
    if found["workers"] > 1:
        console.print(f"Worker {found['worker']} of {found['workers']}; /metrics has all of them.", highlight=False)
    console.print(
        f"{found['entries']:,} answers and {found['questions']:,} questions in "
        f"{_mb(found['bytes'] + found['question_bytes'])}; {_mb(found['max_bytes'])} are allowed for the answers. "
        f"{found['evicted']:,} evicted, {found['expired']:,} expired, {found['stale']:,} found stale.",
        highlight=False,
    )


def _scopes(scopes: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("tenant", "route"):
        table.add_column(heading, overflow="fold")
    for heading in ("lookups", "near", "labels", "served", "threshold", "would serve"):
        table.add_column(heading, justify="right", no_wrap=True)
    for scope in scopes:
        counts = [f"{scope[name]:,.0f}" for name in ("lookups", "near", "labels", "served")]
        table.add_row(escape(scope["owner"]), escape(scope["route"]), *counts, *_threshold(scope))
    return table


def _threshold(scope: Mapping[str, Any]) -> tuple[str, str]:
    if "threshold" not in scope:
        return "exact only", ""
    threshold = scope["threshold"]
    return "none yet" if threshold is None else f"{threshold:.3f}", _percent(scope["would_serve"])


def _plot(scope: Mapping[str, Any]) -> str:
    """Hits as a bar of all lookups; wrong ones as a bar of twice what is allowed, whose middle is the bound."""
    share = scope["served"] / max(scope["lookups"], scope["served"], 1)
    audited, allowed = scope["audited"], scope["max_wrong_hits"]
    wrong = audited["wrong"] if audited is not None else 0.0
    found = "no audits yet"
    if audited is not None:
        found = f"{_percent(wrong)} ({_percent(audited['at_least'])} to {_percent(audited['at_most'])})"
    return escape(
        f"{scope['owner']} on {scope['route']}, by {scope['scorer']}, as shares of lookups\n"
        f"  hits   {_bar(share)}   {_percent(share)}\n"
        f"  wrong  {_bar(wrong / (2 * allowed), bound=_BAR // 2)}  {found}; allowed: {_percent(allowed)}"
    )


def _bar(share: float, bound: int | None = None) -> str:
    full = min(_BAR, round(_BAR * share))
    cells = ["█" if place < full else "·" for place in range(_BAR)]
    if bound is not None:
        cells.insert(bound, "│")
    return "".join(cells)


def _print_entry(console: Console, entry: Mapping[str, Any]) -> None:
    marks = [mark for mark in ("quarantined", "stale") if entry[mark]]
    table = Table(title=f"{entry['id']} {' '.join(marks)}".strip(), title_justify="left", show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    owner = entry["owner"] if entry["writer"] in ("", entry["owner"]) else f"{entry['owner']}, by {entry['writer']}"
    rows = {
        "owner": owner,
        "tags": ", ".join(entry["tags"]),
        "age": f"{entry['age_s']:,.0f} s; {entry['expires_in_s']:,.0f} s left; {entry['bytes']:,} bytes",
        "question": entry["question"] or "(found by equal requests only)",
        "answer": entry["answer"],
    }
    if entry["question"] is not None:
        rows["labels"] = f"{entry['right']} right, {entry['wrong']} wrong, {entry['demoted']} reports nearby"
    for name, value in rows.items():
        table.add_row(name, escape(value))
    console.print(table)


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _mb(size: int) -> str:
    return f"{size / 1024**2:,.1f} MB"


def _print_json(value: Any) -> None:
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
