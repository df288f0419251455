"""`weir rag sync`: bring a store in step with a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from contracts.errors import NotFound
from router.librarian import limits_of
from weir.changing import json_option
from weir.rag_corpus import (
    check_tenant,
    check_undeclared,
    encoder_version,
    store_option,
    tenant_option,
    with_storage,
    workshop_on,
)
from weir.rag_told import tell_plan, tell_synced, watched
from weir.state import config_option, read_config

if TYPE_CHECKING:
    from rag.ingesting.folder import Plan, Synced
    from rag.ports import Storage
    from router.config.load import Loaded


@click.command(
    epilog="""\b
Examples:
  weir rag sync docs/ --tenant acme --store handbook
  weir rag sync docs/ --tenant acme --store handbook --dry-run
  weir rag sync docs/ --tenant acme --store handbook --json

\b
Exit status: 0 in step, 1 a file was not taken in or it could not be, 2 a wrong option, 130 stopped by Ctrl-C."""
)
@click.argument("folder", type=click.Path(path_type=Path))
@tenant_option
@store_option
@click.option("--dry-run", is_flag=True, help="Tell what would be put in, replaced and taken out, and end.")
@config_option
@json_option
def sync(folder: Path, tenant: str, store: str, dry_run: bool, config: Path, as_json: bool) -> None:
    """Bring a store in step with FOLDER: what is new goes in, what changed is replaced, what is gone goes out.

    All of it is one step: a search finds the store as it was, or as it should be. What has not changed is no work,
    and a sync that was stopped goes on where it was. The store is made if there is none. Files that cannot be read
    are told; the others go in.
    """
    loaded = read_config(config)
    check_tenant(loaded, tenant)
    check_undeclared(loaded, tenant, store, folder)
    if dry_run:
        tell_plan(
            with_storage(loaded, lambda storage: _planned(loaded, storage, tenant, store, folder)),
            store,
            as_json=as_json,
        )
        return
    synced = with_storage(loaded, lambda storage: _synced(loaded, storage, tenant, store, folder, hidden=as_json))
    tell_synced(synced, as_json=as_json)


async def _planned(loaded: Loaded, storage: Storage, tenant: str, store: str, folder: Path) -> Plan:
    from rag.ingesting.cutting import chunker_of
    from rag.ingesting.folder import plan_of
    from rag.ingesting.scanning import scan

    try:
        found = await storage.store(tenant, store)
    except NotFound:
        found = None
    chunker = chunker_of(None, context=loaded.config.rag.context == "headings")
    return await plan_of(
        storage,
        tenant,
        found,
        scan(folder),
        encoder=encoder_version(loaded),
        chunker=chunker,
        limits=limits_of(loaded.config.rag),
    )


async def _synced(
    loaded: Loaded, storage: Storage, tenant: str, store: str, folder: Path, *, hidden: bool
) -> Synced:
    from rag.ingesting.folder import sync as bring_in_step
    from rag.ingesting.scanning import scan
    from rag.ingesting.watching import made_store

    scan(folder)  # before a store is made for a folder that is not there
    async with workshop_on(loaded, storage) as workshop:
        await made_store(storage, tenant, store)
        with watched(hidden=hidden) as tell:
            return await bring_in_step(
                storage, workshop, tenant, store, folder, limits=limits_of(loaded.config.rag), tell=tell
            )
