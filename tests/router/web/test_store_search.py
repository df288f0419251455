"""A search of a store: what is asked travels to the library, and what it found comes back in OpenAI's words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from contracts.retrieval import Findings, Passage, Search, StoreState, Turn
from ledger.database import Database, sqlite_url
from ledger.keys import MemoryKeyring
from router.web.app import pages_app
from router.web.store_pages import store_pages
from tests.router.plain import ACME as ACME_KEY
from tests.router.web.shelves import NO_FILE, NO_STORE, RETURNS, SHIPPING, Shelf, found, send, shelf_in, store_with
from tests.router.web.wire import Wire


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Shelf]:
    async with shelf_in(tmp_path) as shelf:
        yield shelf


class PlainLibrary:
    """Finds one passage, whatever it is asked, and remembers that."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Search]] = []

    async def search(self, tenant: str, search: Search) -> Findings:
        self.asked.append((tenant, search))
        moment = datetime(2026, 3, 1, tzinfo=UTC)
        passage = Passage(
            store_id=NO_STORE,
            file_id=NO_FILE,
            filename="a.md",
            revision=3,
            updated_at=moment,
            start=7,
            end=11,
            text="text",
            score=0.5,
            words=2.5,
            attributes={"n": 1},
        )
        states = (StoreState(id=NO_STORE, revision=4, version="v"),)
        return Findings(
            passages=(passage,),
            stores=states,
            answerable=0.75,
            queries=("asked",),
            rewritten=True,
            degraded="encoder",
        )

    async def current(self, tenant: str, basis: Sequence[str]) -> bool:
        return True

    async def rewrite(self, tenant: str, turns: Sequence[Turn]) -> str | None:
        return None


class TestSearch:
    async def _asked(self, folder: Path, **body: Any) -> tuple[Search, Wire]:
        library = PlainLibrary()

        async def plain() -> Any:
            return library

        keyring = MemoryKeyring([ACME_KEY], ["acme"], Database(sqlite_url(folder)))
        app = pages_app([store_pages(keyring, plain, plain, max_body_bytes=10_000)])
        path = "/v1/vector_stores/docs/search"
        wire = await Wire(orjson.dumps(body), path=path, content_type="application/json").through(app)
        assert wire.status == 200, wire.body
        ((tenant, search),) = library.asked
        assert tenant == "acme"
        return search, wire

    async def test_what_is_asked_is_what_is_searched(self, tmp_path: Path) -> None:
        search, _ = await self._asked(
            tmp_path,
            query=["how long?", "return period"],
            filters={"type": "eq", "key": "n", "value": 1},
            max_num_results=3,
            ranking_options={
                "ranker": "none",
                "score_threshold": 0.25,
                "hybrid_search": {"embedding_weight": 3, "text_weight": 1},
            },
            rewrite_query=True,
        )
        assert search == Search(
            stores=("docs",),
            turns=(Turn("user", "how long?"),),
            more=("return period",),
            most=3,
            filters={"type": "eq", "key": "n", "value": 1},
            score_threshold=0.25,
            word_weight=0.25,
            meaning_weight=0.75,
            rerank=False,
            rewriting="history",
        )

    async def test_what_is_not_said_is_as_tuned(self, tmp_path: Path) -> None:
        search, _ = await self._asked(tmp_path, query="how long?")
        assert search == Search(stores=("docs",), turns=(Turn("user", "how long?"),), most=10, rewriting="off")

    async def test_what_was_found_is_told_in_openais_words(self, tmp_path: Path) -> None:
        _, wire = await self._asked(tmp_path, query="how long?")
        assert wire.headers["x-weir-degraded"] == "encoder"
        assert wire.json == {
            "object": "vector_store.search_results.page",
            "search_query": ["asked"],
            "data": [
                {
                    "file_id": NO_FILE,
                    "filename": "a.md",
                    "score": 0.5,
                    "attributes": {"n": 1},
                    "content": [{"type": "text", "text": "text"}],
                    "weir": {
                        "start": 7,
                        "end": 11,
                        "context": None,
                        "updated_at": "2026-03-01T00:00:00+00:00",
                        "revision": 3,
                        "words": 2.5,
                        "meaning": None,
                    },
                }
            ],
            "has_more": False,
            "next_page": None,
            "weir": {
                "answerable": 0.75,
                "rewritten": True,
                "degraded": "encoder",
                "stores": [{"id": NO_STORE, "revision": 4, "version": "v"}],
            },
        }

    async def test_a_store_is_searched_by_its_name_too(self, shelf: Shelf) -> None:
        await store_with(shelf, RETURNS, SHIPPING)
        assert (await found(shelf, "docs", "parcels shipped", max_num_results=1)) == [SHIPPING.decode()]

    async def test_without_an_encoder_words_alone_are_compared_and_it_says_so(self, shelf: Shelf) -> None:
        store, _ = await store_with(shelf, RETURNS, SHIPPING)
        shelf.encoder.up = False
        wire = await send(shelf, "POST", f"/{store.id}/search", {"query": "parcels shipped"})
        assert (wire.status, wire.headers["x-weir-degraded"]) == (200, "encoder")
        assert wire.json["data"][0]["content"][0]["text"] == SHIPPING.decode()
