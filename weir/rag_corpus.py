"""How verbs of `weir rag` reach a tenant's documents: the storage of the configuration, an encoder of their own.

Whatever keeps a verb from its work is said with what to do about it.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from contracts.errors import NotFound, WeirError
from contracts.retrieval import Page, Store
from ledger.stored_tenants import list_tenants
from router.config.load import ConfigError, Loaded
from router.librarian import documents_folder, encoder_folder, limits_of
from weir.encoding import encode_with, session_of
from weir.state import ask_ledger, state_dir

if TYPE_CHECKING:
    from encoder.session import Session
    from rag.ingesting.preparing import Workshop
    from rag.ports import Storage

_Came = TypeVar("_Came")
STOPPED = 130
_PAGE = 100
_INSTALL = "pip install 'weir[rag,semantic]'"

tenant_option = click.option("--tenant", required=True, help="Whose documents.")
store_option = click.option("--store", required=True, help="The store, by name or id.")


def encoder_version(loaded: Loaded) -> str:
    """Empty where no encoder is built."""
    from encoder.card import EncoderFault, read_card

    try:
        return read_card(encoder_folder(loaded)).version
    except EncoderFault:
        return ""


def encoder_session(loaded: Loaded) -> Session:
    """Raises click.ClickException with advice."""
    return session_of(encoder_folder(loaded), loaded.config.encoder.backend)


def known_tenants(loaded: Loaded) -> list[str]:
    """Those of the configuration, and those of the ledger's database that are open."""
    stored = ask_ledger(loaded, list_tenants)
    return sorted(loaded.config.tenants.keys() | {tenant.name for tenant in stored if tenant.closed_at is None})


def check_tenant(loaded: Loaded, tenant: str) -> None:
    """Raises click.UsageError for one that there is not."""
    if tenant not in loaded.config.tenants and tenant not in (known := known_tenants(loaded)):
        raise click.UsageError(f"There is no tenant '{tenant}'. There are: {', '.join(known)}.")


def check_undeclared(loaded: Loaded, tenant: str, store: str, folder: Path | None = None) -> None:
    """Raises click.ClickException for a store that the configuration keeps in step with another folder."""
    declared = loaded.config.stores.get(store)
    if declared is None or tenant not in declared.tenants:
        return
    kept = loaded.folder / declared.folder
    if folder is None or folder.resolve() != kept.resolve():
        raise click.ClickException(
            f"The configuration keeps the store '{store}' in step with {kept} (stores.{store}): change the files "
            "there, or name another store."
        )


def with_storage(loaded: Loaded, work: Callable[[Storage], Coroutine[Any, Any, _Came]]) -> _Came:
    """What `work` returns of the storage. Raises click.ClickException with advice, and click's Exit where it was
    stopped."""
    with _told(), _heeding():
        return asyncio.run(_opened(loaded, work))


async def _opened(loaded: Loaded, work: Callable[[Storage], Awaitable[_Came]]) -> _Came:
    from rag.storage.opening import open_storage

    url = loaded.secret(loaded.config.rag.url) if loaded.config.rag.url else ""
    storage = open_storage(url, documents_folder(state_dir()), limits_of(loaded.config.rag))
    try:
        await storage.prepare()
        return await work(storage)
    finally:
        await storage.close()


@contextmanager
def _told() -> Iterator[None]:
    """What can go wrong, as errors of a command."""
    try:
        from rag.ingesting.scanning import FolderUnusable
        from rag.ports import StorageUnusable, StoreChanged
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error}: {_INSTALL}") from error
    try:
        yield
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error}: {_INSTALL}") from error
    except WeirError as error:
        raise click.ClickException(error.message) from error
    except (FolderUnusable, StorageUnusable, StoreChanged, ConfigError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise click.ClickException(f"{where}{error.strerror or error}") from error


@contextmanager
def _heeding() -> Iterator[None]:
    """SIGTERM ends a verb as Ctrl-C does. Raises click's Exit."""
    before = None
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    except KeyboardInterrupt:
        click.echo("Stopped. The store is as it was; what was encoded is kept for the next try.", err=True)
        raise click.exceptions.Exit(STOPPED) from None
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


@asynccontextmanager
async def workshop_on(loaded: Loaded, storage: Storage) -> AsyncIterator[Workshop]:
    """What makes files into documents. Raises click.ClickException where there is no encoder."""
    from rag.ingesting.embedding import Embedding
    from rag.ingesting.preparing import Workshop
    from rag.ingesting.reading import Reading

    session = encoder_session(loaded)
    reading = Reading(limits_of(loaded.config.rag), context=loaded.config.rag.context == "headings")
    card = session.card
    try:
        yield Workshop(reading, Embedding(storage, encode_with(session), card.version, card.dimensions))
    finally:
        await reading.close()


async def store_of(storage: Storage, tenant: str, name: str) -> Store:
    """Raises click.ClickException that names the stores there are."""
    try:
        return await storage.store(tenant, name)
    except NotFound as error:
        names = [store.name or store.id for store in await stores_of(storage, tenant)]
        there = f"There are: {', '.join(names)}." if names else "There are none yet: weir rag sync makes one."
        raise click.ClickException(f"{tenant} has no store '{name}'. {there}") from error


async def stores_of(storage: Storage, tenant: str) -> list[Store]:
    """All of a tenant, the oldest first."""
    found: list[Store] = []
    while True:
        after = found[-1].id if found else ""
        page = await storage.stores(tenant, Page(limit=_PAGE, after=after, newest_first=False))
        found += page
        if len(page) < _PAGE:
            return found


def one_or_more(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def advice_lines(failures: Mapping[str, str]) -> Sequence[str]:
    """A line for each file that was not taken in."""
    return [f"{filename}: {advice}" for filename, advice in sorted(failures.items())]
