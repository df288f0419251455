"""`weir rag status`: the stores of tenants, their documents, and what could not be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contracts.retrieval import Document, Page, Store
from weir.changing import json_option
from weir.rag_corpus import (
    check_tenant,
    encoder_version,
    known_tenants,
    one_or_more,
    store_of,
    stores_of,
    with_storage,
)
from weir.router_artefact import print_json
from weir.state import config_option, read_config

if TYPE_CHECKING:
    from rag.ports import Storage

_PAGE = 100
_MOST_SHOWN = 20


@click.command(
    epilog="""\b
Examples:
  weir rag status
  weir rag status --tenant acme --store handbook
  weir rag status --tenant acme --json"""
)
@click.option("--tenant", help="Only this tenant's.")
@click.option("--store", help="Only this store, by name or id, with its documents; needs --tenant.")
@config_option
@json_option
def status(tenant: str | None, store: str | None, config: Path, as_json: bool) -> None:
    """Show stores: documents by status, chunks, bytes and version; and for documents that failed, what to do.

    A document is outdated where another encoder made its vectors than the one in use, so that it is found by its
    words alone: `weir rag sync` makes them anew.
    """
    if store and not tenant:
        raise click.UsageError("Say whose store it is, with --tenant.")
    loaded = read_config(config)
    if tenant:
        check_tenant(loaded, tenant)
    tenants = [tenant] if tenant else known_tenants(loaded)
    version = encoder_version(loaded)

    async def look(storage: Storage) -> list[dict[str, Any]]:
        shown = []
        for owner in tenants:
            found = [await store_of(storage, owner, store)] if store else await stores_of(storage, owner)
            shown += [await _looked_at(storage, owner, one, version, whole=bool(store)) for one in found]
        return shown

    found = with_storage(loaded, look)
    if as_json:
        print_json(found)
    elif not found:
        click.echo("There are no stores. Make one with: weir rag sync FOLDER --tenant NAME --store NAME")
    else:
        _tell(found)


async def _looked_at(storage: Storage, tenant: str, store: Store, encoder: str, *, whole: bool) -> dict[str, Any]:
    """What there is to say of a store; with `whole`, of its documents too."""
    holdings = await storage.holdings(tenant, store.id)
    outdated = [one.filename for one in holdings if one.status == "completed" and one.encoder != encoder]
    counts = store.counts
    return {
        "tenant": tenant,
        "store": store.name,
        "id": store.id,
        "completed": counts.completed,
        "in_progress": counts.in_progress,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
        "outdated": len(outdated) if encoder else 0,
        "chunks": store.chunks,
        "bytes": store.bytes,
        "revision": store.state.revision,
        "version": store.state.version,
        "last_active_at": store.last_active_at,
        "failures": [
            {"filename": one.filename, "file_id": one.file_id, "code": one.error_code, "advice": one.error}
            for one in (await _documents(storage, tenant, store, failed=True) if counts.failed else ())
        ],
        **({"documents": [_document(one) for one in await _documents(storage, tenant, store)]} if whole else {}),
    }


async def _documents(storage: Storage, tenant: str, store: Store, *, failed: bool = False) -> list[Document]:
    found: list[Document] = []
    while True:
        page = Page(limit=_PAGE, after=found[-1].file_id if found else "", newest_first=False)
        some = await storage.documents(tenant, store.id, page, status="failed" if failed else None)
        found += some
        if len(some) < _PAGE:
            return found


def _document(document: Document) -> dict[str, Any]:
    return {
        "filename": document.filename,
        "file_id": document.file_id,
        "status": document.status,
        "chunks": document.chunks,
        "tokens": document.tokens,
        "updated_at": document.updated_at,
    }


def _tell(found: Sequence[dict[str, Any]]) -> None:
    table = Table(box=SIMPLE)
    numbers = ("completed", "in progress", "failed", "chunks", "bytes")
    for heading in ("tenant", "store", *numbers, "version"):
        right = heading in numbers
        table.add_column(
            heading, justify="right" if right else "left", overflow="fold", no_wrap=heading == "version"
        )
    for store in found:
        table.add_row(
            escape(store["tenant"]),
            escape(store["store"] or store["id"]),
            *(f"{store[heading.replace(' ', '_')]:,}" for heading in numbers),
            store["version"][:8],
        )
    Console().print(table)
    for store in found:
        name = store["store"] or store["id"]
        for document in sorted(store.get("documents", ()), key=lambda one: str(one["filename"])):
            made, day = one_or_more(document["chunks"], "chunk"), document["updated_at"].date()
            click.echo(f"{document['filename']}  {document['status']}, {made}, of {day}")
        if store["outdated"]:
            several = one_or_more(store["outdated"], "document")
            click.echo(f"{name}: {several} made by another encoder, found by words alone until ingested again.")
        for failure in store["failures"][:_MOST_SHOWN]:
            click.echo(f"{name}: {failure['filename']} ({failure['file_id']}): {failure['advice']}")
        if (more := len(store["failures"]) - _MOST_SHOWN) > 0:
            click.echo(f"{name}: and {more:,} more that failed; --json shows them all.")
