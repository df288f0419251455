"""The documents that an evaluation in this process searches: those of the real state folder, as they are now.

The non-obvious decision: it works on a copy, so that it can bring a declared store in step with its folder without
changing what clients find meanwhile. A PostgreSQL is searched where it is, and nothing is brought in step there:
the Weir that serves must have done it.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from contracts.errors import RetrievalUnavailable
from evals.targets.port import TargetFailure
from router.config.load import Loaded
from router.config.retrieval import DeclaredStore

if TYPE_CHECKING:
    from rag.ports import Storage
    from router.main import House

_DATABASE = "corpus.db"
_STEP_S = 300.0
"""How long a declared store may take until it is in step with its folder."""
_LOOK_S = 0.25
_SEARCH_S = 30.0


def searching(loaded: Loaded, route: str) -> dict[str, Any]:
    """Sections of the configuration as a target needs them: the declared stores of its route, no other route that
    looks things up, and time enough, so that a busy machine does not change what is found."""
    config = loaded.config
    routes = {
        name: each if name == route else each.model_copy(update={"retrieval": None})
        for name, each in config.routes.items()
    }
    if not _looks_up(loaded, route):
        return {"stores": {}, "routes": routes}
    return {
        "routes": routes,
        "stores": _stores(loaded, route),
        "rag": config.rag.model_copy(update={"deadline_seconds": _SEARCH_S}),
        "encoder": config.encoder.model_copy(update={"deadline_seconds": _SEARCH_S}),
    }


def copy_corpora(state: Path, own: Path) -> None:
    """Each tenant's documents, as one moment had them, from one state folder to another. Raises OSError."""
    for database in sorted((state / "rag").glob(f"[!.]*/{_DATABASE}")):
        folder = own / "rag" / database.parent.name
        folder.mkdir(parents=True, mode=0o700)
        try:
            with (
                closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as source,
                closing(sqlite3.connect(folder / _DATABASE)) as target,
            ):
                source.backup(target)
        except sqlite3.Error as error:
            raise OSError(f"{database} cannot be read: {error}") from error


def corpora_version(loaded: Loaded, route: str, state: Path) -> str:
    """A hash that changes where what a route finds may change; empty where it looks nothing up."""
    if not _looks_up(loaded, route):
        return ""
    said = hashlib.blake2b(digest_size=8)
    for store in _stores(loaded, route).values():
        folder = loaded.folder / store.folder
        for path in _files(folder):
            said.update(f"{path.relative_to(folder)}\0{hashlib.blake2b(path.read_bytes()).hexdigest()}\n".encode())
    for path in sorted((state / "rag").glob(f"[!.]*/{_DATABASE}*")):
        facts = path.stat()
        said.update(f"{path.parent.name}/{path.name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return said.hexdigest()


async def await_step(house: House, loaded: Loaded, tenant: str) -> None:
    """Until the declared stores of a tenant are in step with their folders. Raises TargetFailure, fatal."""
    stores = {name: store for name, store in loaded.config.stores.items() if tenant in store.tenants}
    if not stores or house.encoder is None:
        return
    from rag.ingesting.folder import is_in_step

    try:
        storage = cast("Storage", await house.documents.open_corpus())
    except RetrievalUnavailable as error:
        raise TargetFailure("cannot_start", error.message, fatal=True) from error
    context = loaded.config.rag.context == "headings"
    until = asyncio.get_running_loop().time() + _STEP_S
    for name, store in stores.items():
        folder = loaded.folder / store.folder
        while not await is_in_step(storage, tenant, name, folder, house.encoder.version, context=context):
            if asyncio.get_running_loop().time() > until:
                raise TargetFailure(
                    "cannot_start",
                    f"The store '{name}' was not in step with {folder} within {_STEP_S:g} seconds. "
                    "`weir rag status` tells why, and `weir check` what is missing.",
                    fatal=True,
                )
            await asyncio.sleep(_LOOK_S)


def _looks_up(loaded: Loaded, route: str) -> bool:
    found = loaded.config.routes.get(route)
    return found is not None and found.retrieval is not None


def _stores(loaded: Loaded, route: str) -> Mapping[str, DeclaredStore]:
    config = loaded.config
    retrieval = config.routes[route].retrieval
    if retrieval is None or config.rag.url:
        return {}
    return {name: store for name, store in config.stores.items() if name in retrieval.stores}


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())
