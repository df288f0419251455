"""Files and stores of this Weir, opened when they are first needed, by whoever needs them first.

The non-obvious decision: a Weir that looks nothing up pays nothing for it. Storage, encoder and what ingests come
to life with the first upload, the first search, or the first sign in the state folder that another process has made
some: a worker, or the command line.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from contracts.errors import NotFound, RetrievalUnavailable
from contracts.retrieval import Corpus, Library

log = logging.getLogger("weir.rag")

_NEEDED = ("faiss", "numpy", "snowballstemmer", "python_multipart", "markdown_it", "lxml", "pypdf", "docx")
"""What searching documents, uploading files and reading them cannot do without."""
MISSING = "What keeps and searches documents is not installed here: pip install 'weir[rag,semantic]'."
_UNUSABLE = "Documents cannot be kept or searched as this Weir is set up; its log says why."
_LOOK_S = 1.0


def is_installed() -> bool:
    """Whether what keeps and searches documents is there. Imports nothing of it."""
    return all(find_spec(package) is not None for package in _NEEDED)


class Opened(Corpus, Protocol):
    """A storage that can be closed. A `view` loads what a store is searched by."""

    async def view(self, tenant: str, store: str) -> object: ...

    async def close(self) -> None: ...


class Documents:
    """`opening` gives a storage that is ready, and what searches it; None: that is not installed.

    `wake` is called once, before the first opening: from then on documents are in use. `folder` is made by whoever
    uses them.
    """

    def __init__(
        self,
        opening: Callable[[], Awaitable[tuple[Opened, Library]]] | None,
        *,
        folder: Path,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._opening = opening
        self._folder = folder
        self._wake = wake
        self._awake = False
        self._opened: asyncio.Task[tuple[Opened, Library]] | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def installed(self) -> bool:
        return self._opening is not None

    async def open_corpus(self) -> Corpus:
        """Raises RetrievalUnavailable."""
        return (await self._open())[0]

    async def open_library(self) -> Library:
        """Raises RetrievalUnavailable."""
        return (await self._open())[1]

    def start(self, *, in_use: bool, searched: Sequence[tuple[str, str]] = ()) -> None:
        """`in_use`: they will be needed, says the configuration. Else it is watched for that. `searched` are the
        tenants and stores of routes, loaded now and not by the first request."""
        if not self.installed:
            return
        if in_use or self._folder.exists():
            self._rouse()
            if searched:
                self._watch = asyncio.create_task(self._load(searched), name="documents")
        else:
            self._watch = asyncio.create_task(self._await_signs(), name="documents")

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        if self._opened is None:
            return
        if not self._opened.done():
            self._opened.cancel()
        await asyncio.wait([self._opened])
        if not self._opened.cancelled() and self._opened.exception() is None:
            await self._opened.result()[0].close()

    async def _open(self) -> tuple[Opened, Library]:
        if self._opening is None:
            raise RetrievalUnavailable(MISSING)
        self._rouse()
        if self._opened is None:
            self._opened = asyncio.ensure_future(self._opening())
        task = self._opened
        try:
            return await asyncio.shield(task)  # who gives up waiting must not spoil it for the others
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if self._opened is task:
                self._opened = None
                if not isinstance(error, RetrievalUnavailable):
                    log.error("the documents cannot be opened: %s", error)  # noqa: TRY400 - said in full
            if isinstance(error, RetrievalUnavailable):
                raise
            raise RetrievalUnavailable(_UNUSABLE, retry_after_s=5) from error

    async def _load(self, searched: Sequence[tuple[str, str]]) -> None:
        try:
            storage, _ = await self._open()
            for tenant, store in searched:
                with suppress(NotFound):  # its folder was not read yet
                    await storage.view(tenant, store)
        except RetrievalUnavailable as error:
            log.warning("what routes search could not be loaded: %s", error.message)

    def _rouse(self) -> None:
        if not self._awake:
            self._awake = True
            self._wake()

    async def _await_signs(self) -> None:
        while not self._awake:
            if await asyncio.to_thread(self._folder.exists):
                self._rouse()
            await asyncio.sleep(_LOOK_S)
