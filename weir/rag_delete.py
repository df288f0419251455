"""`weir rag delete`: take files out of a store, or delete it with all that is in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weir.changing import json_option
from weir.rag_corpus import (
    check_tenant,
    check_undeclared,
    one_or_more,
    store_of,
    store_option,
    tenant_option,
    with_storage,
)
from weir.router_artefact import print_json
from weir.state import config_option, read_config

if TYPE_CHECKING:
    from contracts.retrieval import Store
    from rag.ports import Holding, Storage


@click.command(
    epilog="""\b
Examples:
  weir rag delete returns.md --tenant acme --store handbook
  weir rag delete file-0123456789abcdef01234567 --tenant acme --store handbook --yes
  weir rag delete --all --tenant acme --store handbook"""
)
@click.argument("files", nargs=-1)
@tenant_option
@store_option
@click.option("--all", "all_", is_flag=True, help="All that is in the store, and the store itself.")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@config_option
@json_option
def delete(
    files: tuple[str, ...], tenant: str, store: str, all_: bool, yes: bool, config: Path, as_json: bool
) -> None:
    """Take FILES out of a store, named as `weir rag status` names them or by id, all in one step.

    No search finds them from then on, and no answer that was built on them comes from the cache.
    """
    if bool(files) == all_:
        raise click.UsageError("Name the files, or the whole store with --all.")
    loaded = read_config(config)
    check_tenant(loaded, tenant)
    check_undeclared(loaded, tenant, store)

    async def delete_them(storage: Storage) -> tuple[str, list[str]]:
        found = await store_of(storage, tenant, store)
        gone = _picked(await storage.holdings(tenant, found.id), files, found, all_=all_)
        if not yes:
            whole = " and the store" if all_ else ""
            click.confirm(f"Delete {one_or_more(len(gone), 'document')}{whole}?", abort=True, err=True)
        if gone:
            found = await storage.change(tenant, found.id, [], [holding.file_id for holding in gone])
        if all_:
            await storage.delete_store(tenant, found.id)
        return found.id, [one.filename for one in gone]

    store_id, deleted = with_storage(loaded, delete_them)
    if as_json:
        print_json({"store": store, "id": store_id, "deleted": deleted, "store_deleted": all_})
        return
    also = ", and the store" if all_ else ""
    click.echo(f"Deleted {one_or_more(len(deleted), 'document')} of {store}{also}.")


def _picked(holdings: Sequence[Holding], files: Sequence[str], store: Store, *, all_: bool) -> list[Holding]:
    """Raises click.ClickException for a name that no document has."""
    if all_:
        return list(holdings)
    gone = [one for one in holdings if one.filename in files or one.file_id in files]
    there = {one.filename for one in gone} | {one.file_id for one in gone}
    if missing := [name for name in files if name not in there]:
        names = sorted({one.filename for one in holdings})
        some = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        raise click.ClickException(
            f"{store.name or store.id} has no document '{missing[0]}', "
            f"so nothing was deleted. It has: {some or 'none'}."
        )
    return gone
