"""Ids and names in addresses and bodies.

The non-obvious decision: what can be nobody's id is not found either, rather than wrong, so that an id says nothing
by the way in which it is refused; and no storage is asked for it.
"""

from __future__ import annotations

import re
import secrets

from contracts.errors import NotFound
from contracts.retrieval import Corpus

_FILE, _STORE, _BATCH = (re.compile(rf"{kind}[0-9a-f]{{24}}") for kind in ("file-", "vs_", "vsfb_"))
_LONGEST_NAME = 256


def known_file(file_id: str, param: str = "file_id") -> str:
    """Raises NotFound for what can be no file's id."""
    if not _FILE.fullmatch(file_id):
        raise NotFound("There is no such file: the id of a file is 'file-' and 24 hex digits.", param=param)
    return file_id


def known_batch(batch: str) -> str:
    """Raises NotFound for what can be no batch's id."""
    if not _BATCH.fullmatch(batch):
        raise NotFound("There is no such batch: the id of a batch is 'vsfb_' and 24 hex digits.", param="batch_id")
    return batch


def new_batch() -> str:
    return f"vsfb_{secrets.token_hex(12)}"


def named_store(store: str) -> str:
    """Raises NotFound for what can be neither a store's id nor its name."""
    if not store or len(store) > _LONGEST_NAME or "\0" in store:
        raise NotFound("There is no such vector store.", param="vector_store_id")
    return store


async def store_id_of(corpus: Corpus, tenant: str, store: str) -> str:
    """Of a store that is named by its id or its name. Raises NotFound."""
    if _STORE.fullmatch(store):
        return store
    return (await corpus.store(tenant, named_store(store))).id
