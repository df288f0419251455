"""`weir rag add`: put files into a store, each under its own name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router.librarian import limits_of
from weir.changing import json_option
from weir.rag_corpus import (
    check_tenant,
    check_undeclared,
    store_option,
    tenant_option,
    with_storage,
    workshop_on,
)
from weir.rag_told import tell_synced, watched
from weir.state import config_option, read_config

if TYPE_CHECKING:
    from contracts.retrieval import Store
    from rag.ingesting.folder import Plan, Synced
    from rag.ports import Storage
    from router.config.load import Loaded


@click.command(
    epilog="""\b
Examples:
  weir rag add returns.md fees.pdf --tenant acme --store handbook
  weir rag add report.docx --tenant acme --store handbook --json

\b
Exit status: 0 all went in, 1 a file was not taken in or it could not be, 2 a wrong option."""
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@tenant_option
@store_option
@config_option
@json_option
def add(files: tuple[Path, ...], tenant: str, store: str, config: Path, as_json: bool) -> None:
    """Put FILES into a store, all in one step. One takes the place of a document of the same name.

    The store is made if there is none. A file that the store has already, unchanged, is no work. For a folder, take
    `weir rag sync`.
    """
    loaded = read_config(config)
    check_tenant(loaded, tenant)
    check_undeclared(loaded, tenant, store)
    for path in files:
        if not path.is_file():
            is_folder = " It is a folder: take weir rag sync." if path.is_dir() else ""
            raise click.UsageError(f"There is no file {path}.{is_folder}")
    names = [path.name for path in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise click.UsageError(f"Two of the files have the name {twice[0]}; a store has one document of a name.")
    synced = with_storage(loaded, lambda storage: _added(loaded, storage, tenant, store, files, hidden=as_json))
    tell_synced(synced, as_json=as_json)


async def _added(
    loaded: Loaded, storage: Storage, tenant: str, name: str, files: Sequence[Path], *, hidden: bool
) -> Synced:
    from rag.ingesting.folder import carry_out, plan_of
    from rag.ingesting.scanning import Scan, entry_of
    from rag.ingesting.watching import made_store

    entries = {path.name: entry_of(path.resolve(), path.name) for path in files}

    async with workshop_on(loaded, storage) as workshop:

        async def plan(store: Store) -> Plan:
            return await plan_of(
                storage,
                tenant,
                store,
                Scan(entries, {}),
                encoder=workshop.embedding.version,
                chunker=workshop.reading.chunker(None),
                limits=limits_of(loaded.config.rag),
                only_add=True,
            )

        await made_store(storage, tenant, name)
        with watched(hidden=hidden) as tell:
            return await carry_out(
                storage, workshop, tenant, name, plan, limits=limits_of(loaded.config.rag), tell=tell
            )
