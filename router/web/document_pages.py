"""Files in a vector store, one at a time and in batches, as OpenAI has them.

The non-obvious decision: all files of a request are looked up before the first is attached. A batch whose files
have settings of their own is attached in groups, and one that is not there must not leave half a batch behind.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.routing import APIRoute

from contracts.errors import NotFound
from contracts.retrieval import Attributes, ChunkRules, Corpus, Page, Status
from router.web.admin import joined
from router.web.listing import ShortPage, listed, with_one_more
from router.web.store_bodies import NewAttributes, NewBatch, NewDocument, rules_of
from router.web.store_names import known_batch, known_file, named_store, new_batch, store_id_of
from router.web.store_views import batch_view, deleted_view, document_view, text_view
from router.web.tenant import Tenant

POLL_AFTER_MS = "250"
"""When a client that waits for a document may look again; OpenAI's heed this header, and else wait for a second."""

_Filter = Annotated[Status | None, Query(alias="filter", description="Only those with this status.")]
_FIRST = Page(limit=1, newest_first=False)


def document_pages(route: type[APIRoute], open_corpus: Callable[[], Awaitable[Corpus]]) -> APIRouter:
    """`/v1/vector_stores/{store}/files` and `/file_batches`."""
    return joined(_documents(route, open_corpus), _document(route, open_corpus), _batches(route, open_corpus))


def _documents(route: type[APIRoute], open_corpus: Callable[[], Awaitable[Corpus]]) -> APIRouter:
    pages = APIRouter(prefix="/v1/vector_stores/{store}/files", route_class=route)

    @pages.post("", summary="Attach a file to a vector store")
    async def attach_file(store: str, new: NewDocument, tenant: Tenant, response: Response) -> dict[str, Any]:
        corpus = await open_corpus()
        store_id = (
            await corpus.store(tenant, named_store(store))
        ).id  # before files: a 404 names what is not there
        with about("file_id"):
            (document,) = await corpus.attach(
                tenant,
                store_id,
                [known_file(new.file_id)],
                attributes=new.attributes,
                rules=rules_of(new.chunking_strategy),
            )
        response.headers["openai-poll-after-ms"] = POLL_AFTER_MS
        return document_view(document)

    @pages.get("", summary="Files in a vector store")
    async def list_documents(store: str, tenant: Tenant, page: ShortPage, status: _Filter = None) -> dict[str, Any]:
        corpus = await open_corpus()
        store_id = await store_id_of(corpus, tenant, store)
        documents = await corpus.documents(tenant, store_id, with_one_more(page), status=status)
        return listed(documents, page, document_view)

    return pages


def _document(route: type[APIRoute], open_corpus: Callable[[], Awaitable[Corpus]]) -> APIRouter:
    pages = APIRouter(prefix="/v1/vector_stores/{store}/files/{file_id}", route_class=route)

    @pages.get("", summary="One file in a vector store")
    async def get_document(store: str, file_id: str, tenant: Tenant, response: Response) -> dict[str, Any]:
        corpus = await open_corpus()
        store_id = await store_id_of(corpus, tenant, store)
        document = await corpus.document(tenant, store_id, known_file(file_id))
        if document.status == "in_progress":
            response.headers["openai-poll-after-ms"] = POLL_AFTER_MS
        return document_view(document)

    @pages.post("", summary="Change the attributes of a file in a vector store")
    async def set_attributes(store: str, file_id: str, new: NewAttributes, tenant: Tenant) -> dict[str, Any]:
        corpus = await open_corpus()
        store_id = await store_id_of(corpus, tenant, store)
        return document_view(
            await corpus.set_attributes(tenant, store_id, known_file(file_id), new.attributes or {})
        )

    @pages.delete("", summary="Take a file out of a vector store; the file itself stays")
    async def detach_file(store: str, file_id: str, tenant: Tenant) -> dict[str, Any]:
        corpus = await open_corpus()
        await corpus.detach(tenant, await store_id_of(corpus, tenant, store), known_file(file_id))
        return deleted_view(file_id, "vector_store.file.deleted")

    @pages.get("/content", summary="The text that was read out of a file")
    async def get_text(store: str, file_id: str, tenant: Tenant) -> dict[str, Any]:
        corpus = await open_corpus()
        return text_view(await corpus.text(tenant, await store_id_of(corpus, tenant, store), known_file(file_id)))

    return pages


def _batches(route: type[APIRoute], open_corpus: Callable[[], Awaitable[Corpus]]) -> APIRouter:
    pages = APIRouter(prefix="/v1/vector_stores/{store}/file_batches", route_class=route)

    @pages.post("", summary="Attach many files to a vector store")
    async def create_batch(store: str, new: NewBatch, tenant: Tenant, response: Response) -> dict[str, Any]:
        corpus = await open_corpus()
        store_id = (await corpus.store(tenant, named_store(store))).id
        param = "files" if new.files is not None else "file_ids"
        groups = _groups(new.documents())
        if len(groups) > 1:
            await checked_files(corpus, tenant, [file_id for _, _, ids in groups for file_id in ids], param)
        batch = new_batch()
        with about(param):
            for attributes, rules, file_ids in groups:
                ids = [known_file(file_id) for file_id in file_ids]
                await corpus.attach(tenant, store_id, ids, attributes=attributes, rules=rules, batch=batch)
        response.headers["openai-poll-after-ms"] = POLL_AFTER_MS
        return await _shown(corpus, tenant, store_id, batch)

    @pages.get("/{batch}", summary="How far a batch is")
    async def get_batch(store: str, batch: str, tenant: Tenant, response: Response) -> dict[str, Any]:
        corpus = await open_corpus()
        store_id = await store_id_of(corpus, tenant, store)
        shown = await _shown(corpus, tenant, store_id, known_batch(batch))
        if shown["status"] == "in_progress":
            response.headers["openai-poll-after-ms"] = POLL_AFTER_MS
        return shown

    @pages.post("/{batch}/cancel", summary="Give up what of a batch is still in progress")
    async def cancel_batch(store: str, batch: str, tenant: Tenant) -> dict[str, Any]:
        corpus = await open_corpus()
        store_id = await store_id_of(corpus, tenant, store)
        await corpus.cancel(tenant, store_id, known_batch(batch))
        return await _shown(corpus, tenant, store_id, batch)

    @pages.get("/{batch}/files", summary="Files of a batch")
    async def list_batch(
        store: str, batch: str, tenant: Tenant, page: ShortPage, status: _Filter = None
    ) -> dict[str, Any]:
        corpus = await open_corpus()
        store_id = await store_id_of(corpus, tenant, store)
        await corpus.batch(tenant, store_id, known_batch(batch))
        documents = await corpus.documents(tenant, store_id, with_one_more(page), status=status, batch=batch)
        return listed(documents, page, document_view)

    return pages


async def checked_files(corpus: Corpus, tenant: str, file_ids: Sequence[str], param: str) -> list[str]:
    """Each once, in order. Raises NotFound where one is not this tenant's."""
    known = [known_file(file_id, param) for file_id in dict.fromkeys(file_ids)]
    with about(param):
        for file_id in known:
            await corpus.file(tenant, file_id)
    return known


@contextmanager
def about(param: str) -> Iterator[None]:
    """What is not there is what this field names."""
    try:
        yield
    except NotFound as error:
        error.param = param
        raise


def _groups(documents: Sequence[NewDocument]) -> list[tuple[Attributes | None, ChunkRules | None, list[str]]]:
    """Files with the same settings together. Of a file that is named twice, the last settings count."""
    groups: dict[tuple[str, ChunkRules | None], tuple[Attributes | None, ChunkRules | None, list[str]]] = {}
    for document in {document.file_id: document for document in documents}.values():
        rules = rules_of(document.chunking_strategy)
        key = (repr(sorted((document.attributes or {}).items())), rules)
        groups.setdefault(key, (document.attributes, rules, []))[2].append(document.file_id)
    return list(groups.values())


async def _shown(corpus: Corpus, tenant: str, store_id: str, batch: str) -> dict[str, Any]:
    """A batch is as old as its first document."""
    counts = await corpus.batch(tenant, store_id, batch)
    first = await corpus.documents(tenant, store_id, _FIRST, batch=batch)
    if not first:  # they went between the two looks
        raise NotFound(f"There is no batch '{batch}' in this vector store.")
    return batch_view(batch, store_id, first[0].created_at, counts)
