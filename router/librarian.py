"""What a configuration says of documents, as concrete objects: their storage, their search, what ingests them.

Beside `composition`, and for it and `main`. The non-obvious decision: nothing of the room is imported before it is
needed, so that a Weir without documents starts as quickly as before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from encoder.card import BUILT, EncoderFault, read_card
from router.config import schema
from router.config.load import Loaded
from router.config.retrieval import Rag
from router.documents import Opened, is_installed

if TYPE_CHECKING:
    from contracts.ports import Encoder
    from contracts.retrieval import Library
    from rag.ingesting.settings import WatchedStore
    from rag.ports import Limits
    from system.kept_process import KeptProcess


def looks_up(config: schema.Config) -> bool:
    """Whether it says that documents will be needed."""
    routes = config.routes.values()
    return bool(config.stores or config.rag.url) or any(route.retrieval is not None for route in routes)


def searched(config: schema.Config) -> list[tuple[str, str]]:
    """The tenants that may use routes which search, and the stores of these."""
    pairs = {
        (tenant, store): None
        for name, route in config.routes.items()
        if route.retrieval is not None
        for store in route.retrieval.stores
        for tenant, settings in config.tenants.items()
        if settings.routes is None or name in settings.routes
    }
    return list(pairs)


def documents_folder(state: Path) -> Path:
    return state / "rag"


def encoder_folder(loaded: Loaded) -> Path:
    """Where the encoder is built, in Weir's own place or in that of the configuration."""
    path = loaded.config.encoder.path
    return loaded.folder / path if path else BUILT


def documents_of(
    loaded: Loaded, state: Path, encoder: Callable[[], Encoder | None]
) -> Callable[[], Awaitable[tuple[Opened, Library]]] | None:
    """Opens the storage of documents and what searches it; None where these are not installed."""
    if not is_installed():
        return None

    async def open_documents() -> tuple[Opened, Library]:
        from rag.retrieval.search import StoredLibrary  # imports what a Weir without documents need not have
        from rag.storage.opening import open_storage

        rag = loaded.config.rag
        url = loaded.secret(rag.url) if rag.url else ""
        storage = open_storage(url, documents_folder(state), limits_of(rag))
        await storage.prepare()
        return storage, StoredLibrary(storage, encoder())

    return open_documents


def ingest_of(loaded: Loaded, state: Path) -> KeptProcess | None:
    """The process that ingests; None where its encoder cannot be had, which `encoder_of` has told."""
    from rag.ingesting.process import ingest_process
    from rag.ingesting.settings import IngestSettings

    config = loaded.config
    folder = encoder_folder(loaded)
    try:
        read_card(folder)
    except EncoderFault:
        return None
    return ingest_process(
        IngestSettings(
            url=loaded.secret(config.rag.url) if config.rag.url else "",
            folder=str(documents_folder(state).absolute()),
            encoder=str(folder.absolute()),
            lock=str((state / "ingest.lock").absolute()),
            backend=config.encoder.backend,
            limits=limits_of(config.rag),
            context=config.rag.context == "headings",
            stores=tuple(_watched(loaded)),
        )
    )


def _watched(loaded: Loaded) -> Iterator[WatchedStore]:
    """Each tenant's own of each declared store."""
    from rag.ingesting.settings import WatchedStore

    for name, store in loaded.config.stores.items():
        for tenant in store.tenants:
            folder = str((loaded.folder / store.folder).absolute())
            yield WatchedStore(tenant=tenant, name=name, folder=folder, look_s=store.look_seconds)


def limits_of(rag: Rag) -> Limits:
    from rag.ports import Limits

    return Limits(
        file_bytes=rag.max_file_bytes,
        store_chunks=rag.max_store_chunks,
        stores=rag.max_stores,
        tenant_bytes=rag.max_tenant_bytes,
        read_s=rag.read_seconds,
        read_bytes=rag.read_bytes,
    )
