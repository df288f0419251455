"""What people see of documents that go into a store: a bar while it goes on, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from weir.rag_corpus import advice_lines, one_or_more
from weir.router_artefact import print_json

if TYPE_CHECKING:
    from rag.ingesting.folder import Plan, Synced, Tell
    from rag.ingesting.folder import Progress as Made

_MOST_SUFFIXES = 5


@contextmanager
def watched(*, hidden: bool) -> Iterator[Tell]:
    """A bar of documents and chunks on standard error, only where somebody looks."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.fields[read]}/{task.fields[documents]} documents"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} chunks"),
        TimeElapsedColumn(),
    )
    shown = console.is_terminal and not hidden
    with Progress(*columns, console=console, transient=True, disable=not shown) as progress:
        task = progress.add_task("", total=0, read=0, documents=0)

        def tell(made: Made) -> None:
            progress.update(
                task, completed=made.encoded, total=made.chunks, read=made.read, documents=made.documents
            )

        yield tell


def tell_plan(plan: Plan, store: str, *, as_json: bool) -> None:
    """What a step would do. Raises click's Exit where a file cannot be read."""
    if as_json:
        print_json({"store": store, "dry_run": True, **_planned(plan), "failures": dict(plan.failures)})
    else:
        for mark, names in (("+", _new(plan)), ("~", _changed(plan)), ("-", _gone(plan))):
            for name in names:
                click.echo(f"{mark} {name}")
        click.echo(f"{store}: {_counts(plan)}. Nothing was changed (--dry-run).")
        _tell_rest(plan, dict(plan.failures))
    _exit_with(dict(plan.failures))


def tell_synced(synced: Synced, *, as_json: bool) -> None:
    """What was done. Raises click's Exit where a file was not taken in."""
    store, plan = synced.store, synced.plan
    if as_json:
        print_json(
            {
                "store": store.name or store.id,
                "id": store.id,
                "revision": store.state.revision,
                "version": store.state.version,
                **_planned(plan),
                "chunks": synced.chunks,
                "encoded": synced.computed,
                "failures": dict(synced.failures),
                "notes": {name: list(notes) for name, notes in synced.notes.items()},
            }
        )
    else:
        made = (
            f"; {one_or_more(synced.chunks, 'chunk')}, {synced.computed:,} of them encoded" if synced.chunks else ""
        )
        click.echo(f"{store.name or store.id}: {_counts(plan, synced.failures)}{made}.")
        for name, notes in sorted(synced.notes.items()):
            click.echo(f"{name}: {' '.join(notes)}", err=True)
        _tell_rest(plan, dict(synced.failures))
    _exit_with(dict(synced.failures))


def _counts(plan: Plan, failures: Any = ()) -> str:
    new = sum(name not in failures for name in _new(plan))
    changed = sum(name not in failures for name in _changed(plan))
    parts = [f"{new:,} new", f"{changed:,} changed", f"{len(plan.gone):,} gone", f"{plan.unchanged:,} as they were"]
    return ", ".join(parts)


def _planned(plan: Plan) -> dict[str, Any]:
    return {
        "new": _new(plan),
        "changed": _changed(plan),
        "gone": _gone(plan),
        "unchanged": plan.unchanged,
        "left_out": dict(plan.left_out),
    }


def _tell_rest(plan: Plan, failures: dict[str, str]) -> None:
    if plan.left_out:
        kinds = sorted(plan.left_out.items(), key=lambda kind: (-kind[1], kind[0]))
        shown = ", ".join(f"{count:,} {suffix}" for suffix, count in kinds[:_MOST_SUFFIXES])
        more = ", ..." if len(kinds) > _MOST_SUFFIXES else ""
        click.echo(f"Left out, since they are no documents: {shown}{more}.", err=True)
    if failures:
        click.echo(f"{one_or_more(len(failures), 'file')} not taken in:", err=True)
        for line in advice_lines(failures):
            click.echo(f"  {line}", err=True)


def _exit_with(failures: dict[str, str]) -> None:
    if failures:
        raise click.exceptions.Exit(1)


def _new(plan: Plan) -> list[str]:
    return sorted(wanted.filename for wanted in plan.new)


def _changed(plan: Plan) -> list[str]:
    return sorted(wanted.filename for wanted in plan.changed)


def _gone(plan: Plan) -> list[str]:
    return sorted(holding.filename for holding in plan.gone)
