"""Documents come to life when somebody needs them, once, and are let go at the end."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from contracts.errors import NotFound, RetrievalUnavailable
from contracts.retrieval import Library
from router.documents import Documents, Opened, is_installed
from tests.router.plain import ticks
from tests.router.plain_library import PlainLibrary


class Closable:
    """As much of a storage as is looked at."""

    def __init__(self) -> None:
        self.closed = 0
        self.viewed: list[tuple[str, str]] = []

    async def view(self, tenant: str, store: str) -> object:
        if store == "unread":
            raise NotFound("There is no vector store 'unread'.")
        self.viewed.append((tenant, store))
        return object()

    async def close(self) -> None:
        self.closed += 1


class Opening:
    """Fails with each of `faults` before it opens; waits for the `gate`."""

    def __init__(self, *faults: Exception) -> None:
        self.storage = Closable()
        self.times = 0
        self.gate = asyncio.Event()
        self._faults = list(faults)

    async def __call__(self) -> tuple[Opened, Library]:
        self.times += 1
        await self.gate.wait()
        if self._faults:
            raise self._faults.pop(0)
        return cast(Any, self.storage), PlainLibrary()


async def test_they_are_opened_once_for_all_who_wait_and_closed(tmp_path: Path) -> None:
    opening, woken = Opening(), list[int]()
    documents = Documents(opening, folder=tmp_path / "rag", wake=lambda: woken.append(1))
    documents.start(in_use=False)
    hasty = asyncio.create_task(documents.open_library())
    patient = [asyncio.create_task(documents.open_corpus()) for _ in range(3)]
    await ticks(lambda: opening.times == 1)
    hasty.cancel()  # spoils it for nobody
    opening.gate.set()
    assert all([await each is cast(Any, opening.storage) for each in patient])
    assert (opening.times, woken) == (1, [1])
    await documents.close()
    assert opening.storage.closed == 1


async def test_what_routes_search_is_loaded_before_it_is_asked_for(tmp_path: Path) -> None:
    opening = Opening()
    opening.gate.set()
    documents = Documents(opening, folder=tmp_path / "rag")
    documents.start(in_use=True, searched=[("acme", "unread"), ("acme", "help"), ("globex", "help")])
    await ticks(lambda: opening.storage.viewed == [("acme", "help"), ("globex", "help")])
    await documents.close()
    assert opening.storage.closed == 1


async def test_what_fails_to_open_is_tried_again(tmp_path: Path) -> None:
    opening = Opening(RetrievalUnavailable("down"), ValueError("a bad URL: postgresql://secret"))
    opening.gate.set()
    documents = Documents(opening, folder=tmp_path)
    with pytest.raises(RetrievalUnavailable, match="down"):
        await documents.open_library()
    with pytest.raises(RetrievalUnavailable, match="set up") as refused:
        await documents.open_library()
    assert "secret" not in refused.value.message
    assert isinstance(await documents.open_library(), PlainLibrary)
    await documents.close()


async def test_another_process_that_makes_some_wakes_them(tmp_path: Path) -> None:
    woken = list[int]()
    folder = tmp_path / "rag"
    sleeping = Documents(Opening(), folder=folder, wake=lambda: woken.append(1))
    sleeping.start(in_use=False)
    await asyncio.sleep(0)
    assert not woken
    await sleeping.close()
    folder.mkdir()
    later = Documents(Opening(), folder=folder, wake=lambda: woken.append(2))
    later.start(in_use=False)
    assert woken == [2]
    await later.close()


@pytest.mark.parametrize("package", ["faiss", "snowballstemmer", "python_multipart", "markdown_it", "docx"])
def test_all_that_files_go_through_is_needed(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else an upload would end in a fault, or wait for ever to be ingested."""
    assert is_installed()
    monkeypatch.setitem(sys.modules, package, None)
    assert not is_installed()


async def test_without_the_extra_nothing_starts_and_advice_is_given(tmp_path: Path) -> None:
    documents = Documents(None, folder=tmp_path, wake=lambda: pytest.fail("woken"))
    documents.start(in_use=True)
    for opened in (documents.open_corpus, documents.open_library):
        with pytest.raises(RetrievalUnavailable, match="pip install"):
            await opened()
    await documents.close()
