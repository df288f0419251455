"""`/v1/vector_stores`: what tenants search, as OpenAI has it.

The non-obvious decision: wherever OpenAI has a store's id, its name will do, so that a store that the configuration
declares can be searched and watched without looking its id up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Response
from fastapi.routing import APIRoute

from contracts.errors import WeirError
from contracts.ports import Keyring
from contracts.retrieval import Corpus, Library, Search, Turn
from router.web.admin import joined
from router.web.document_pages import checked_files, document_pages
from router.web.listing import ShortPage, listed, with_one_more
from router.web.store_bodies import NewSearch, NewStore, StoreChanges, rules_of
from router.web.store_names import named_store, store_id_of
from router.web.store_views import deleted_view, findings_view, store_view
from router.web.tenant import Tenant, tenant_route


def store_pages(
    keys: Keyring,
    open_corpus: Callable[[], Awaitable[Corpus]],
    library: Callable[[], Awaitable[Library]],
    *,
    max_body_bytes: int,
) -> APIRouter:
    """Stores, files in them, and search. Both ports are asked for each time, so that they may be opened late."""
    route = tenant_route(keys, max_body_bytes)
    return joined(_stores(route, open_corpus), _search(route, library), document_pages(route, open_corpus))


def _stores(route: type[APIRoute], open_corpus: Callable[[], Awaitable[Corpus]]) -> APIRouter:
    pages = APIRouter(prefix="/v1/vector_stores", route_class=route)

    @pages.post("", summary="Make a vector store")
    async def create_store(new: NewStore, tenant: Tenant) -> dict[str, Any]:
        corpus = await open_corpus()
        file_ids = await checked_files(corpus, tenant, new.file_ids, "file_ids")
        days = new.expires_after.days if new.expires_after else None
        store = await corpus.create_store(
            tenant, new.name or "", metadata=new.metadata or {}, expires_after_days=days
        )
        if not file_ids:
            return store_view(store)
        try:
            await corpus.attach(tenant, store.id, file_ids, rules=rules_of(new.chunking_strategy))
        except WeirError:  # a file went just now, or too much is kept: a request that fails leaves nothing
            await corpus.delete_store(tenant, store.id)
            raise
        return store_view(await corpus.store(tenant, store.id))

    @pages.get("", summary="Vector stores of this tenant")
    async def list_stores(tenant: Tenant, page: ShortPage) -> dict[str, Any]:
        return listed(await (await open_corpus()).stores(tenant, with_one_more(page)), page, store_view)

    @pages.get("/{store}", summary="One vector store, by its id or name")
    async def get_store(store: str, tenant: Tenant) -> dict[str, Any]:
        return store_view(await (await open_corpus()).store(tenant, named_store(store)))

    @pages.post("/{store}", summary="Change a vector store's name, metadata or expiry")
    async def change_store(store: str, changes: StoreChanges, tenant: Tenant) -> dict[str, Any]:
        corpus = await open_corpus()
        store_id = await store_id_of(corpus, tenant, store)
        return store_view(await corpus.change_store(tenant, store_id, changes.given()))

    @pages.delete("/{store}", summary="Delete a vector store; its files stay")
    async def delete_store(store: str, tenant: Tenant) -> dict[str, Any]:
        corpus = await open_corpus()
        store_id = await store_id_of(corpus, tenant, store)
        await corpus.delete_store(tenant, store_id)
        return deleted_view(store_id, "vector_store.deleted")

    return pages


def _search(route: type[APIRoute], library: Callable[[], Awaitable[Library]]) -> APIRouter:
    pages = APIRouter(prefix="/v1/vector_stores", route_class=route)

    @pages.post("/{store}/search", summary="Passages of a vector store, the best first")
    async def search_store(store: str, search: NewSearch, tenant: Tenant, response: Response) -> dict[str, Any]:
        findings = await (await library()).search(tenant, _asked(named_store(store), search))
        if findings.degraded:
            response.headers["x-weir-degraded"] = findings.degraded
        return findings_view(findings)

    return pages


def _asked(store: str, search: NewSearch) -> Search:
    first, *more = search.query
    ranking = search.ranking_options
    meaning = ranking.hybrid_search.meaning_share if ranking.hybrid_search is not None else None
    return Search(
        stores=(store,),
        turns=(Turn("user", first),),
        more=tuple(more),
        most=search.max_num_results,
        filters=search.filters,
        score_threshold=ranking.score_threshold,
        word_weight=None if meaning is None else 1 - meaning,
        meaning_weight=meaning,
        rerank=ranking.ranker != "none",
        rewriting="history" if search.rewrite_query else "off",
    )
