"""What is wrong with a request about stores is told with the field's name; what is not there is not found."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
import pytest
import pytest_asyncio

from tests.router.web.shelves import (
    ACME,
    MOST_BODY_BYTES,
    NO_BATCH,
    NO_FILE,
    NO_STORE,
    STAFF,
    Shelf,
    file_of,
    send,
    shelf_in,
)
from tests.router.web.wire import Wire

pytestmark = pytest.mark.asyncio(loop_scope="module")


def nested(depth: int) -> dict[str, Any]:
    filters: dict[str, Any] = {"type": "eq", "key": "n", "value": 1}
    for _ in range(depth):
        filters = {"type": "and", "filters": [filters]}
    return filters


STATIC = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51}}
BAD: Sequence[tuple[str, str, object, str | None]] = [
    ("POST", "", {"name": 5}, "name"),
    ("POST", "", {"name": "x" * 2000}, "name"),
    ("POST", "", {"name": "a\nb"}, "name"),
    ("POST", "", {"wish": 1}, "wish"),
    ("POST", "", [], None),
    ("POST", "", None, None),
    ("POST", "", b'{"name": "x"', None),
    ("POST", "", b'{"name": NaN}', None),
    ("POST", "", b'{"name": "\\ud800"}', None),
    ("POST", "", b'{"name": "\\u0000"}', "name"),
    ("POST", "", b"[" * 90_000, None),
    ("POST", "", {"metadata": {str(number): "x" for number in range(17)}}, "metadata"),
    ("POST", "", {"metadata": {"a": 1}}, "metadata"),
    ("POST", "", {"metadata": {"": "x"}}, "metadata"),
    ("POST", "", {"metadata": {"a": "x" * 513}}, "metadata"),
    ("POST", "", {"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after.anchor"),
    ("POST", "", {"expires_after": {"anchor": "last_active_at", "days": 0}}, "expires_after"),
    ("POST", "", {"expires_after": {"anchor": "last_active_at", "days": True}}, "expires_after.days"),
    ("POST", "", {"file_ids": "x"}, "file_ids"),
    ("POST", "", {"file_ids": [NO_FILE] * 501}, "file_ids"),
    ("POST", "/STORE", {"expires_after": {"anchor": "last_active_at", "days": 10**9}}, "expires_after"),
    ("POST", "/STORE", {"file_ids": []}, "file_ids"),
    ("POST", "/STORE/files", {}, "file_id"),
    ("POST", "/STORE/files", {"file_id": "FILE", "attributes": {str(n): n for n in range(17)}}, "attributes"),
    ("POST", "/STORE/files", {"file_id": "FILE", "attributes": {"n": None}}, "attributes"),
    ("POST", "/STORE/files", {"file_id": "FILE", "attributes": {"n": {"m": 1}}}, "attributes"),
    ("POST", "/STORE/files", {"file_id": "FILE", "attributes": {"n": 2**60}}, "attributes"),
    ("POST", "/STORE/files", b'{"file_id": "FILE", "attributes": {"n": "\\u0000"}}', "attributes"),
    ("POST", "/STORE/files", {"file_id": "FILE", "attributes": [1]}, "attributes"),
    ("POST", "/STORE/files", {"file_id": "FILE", "chunking_strategy": STATIC}, "chunking_strategy"),
    ("POST", "/STORE/files", {"file_id": "FILE", "chunking_strategy": {"type": "big"}}, "chunking_strategy"),
    ("GET", "/STORE/files?filter=done", None, "filter"),
    ("GET", "/STORE/files?limit=101", None, "limit"),
    ("GET", f"/STORE/files?after={NO_FILE}", None, "after"),
    ("GET", "/STORE/files?before=STORE", None, "before"),
    ("POST", "/STORE/files/FILE", {}, "attributes"),
    ("POST", "/STORE/file_batches", {}, None),
    ("POST", "/STORE/file_batches", {"file_ids": []}, "file_ids"),
    ("POST", "/STORE/file_batches", {"file_ids": ["FILE"], "files": [{"file_id": "FILE"}]}, None),
    ("POST", "/STORE/file_batches", {"file_ids": ["file-x"] * 9_000}, "file_ids"),
    ("POST", "/STORE/file_batches", {"files": [{"attributes": {}}]}, "files.0.file_id"),
    ("POST", "/STORE/search", {}, "query"),
    ("POST", "/STORE/search", {"query": ""}, "query.0"),
    ("POST", "/STORE/search", {"query": []}, "query"),
    ("POST", "/STORE/search", {"query": 5}, "query"),
    ("POST", "/STORE/search", {"query": "x" * 20_000}, "query.0"),
    ("POST", "/STORE/search", b'{"query": "\\u0000"}', "query.0"),
    ("POST", "/STORE/search", {"query": "x", "max_num_results": 51}, "max_num_results"),
    ("POST", "/STORE/search", {"query": "x", "max_num_results": 1.5}, "max_num_results"),
    ("POST", "/STORE/search", {"query": "x", "rewrite_query": "yes"}, "rewrite_query"),
    ("POST", "/STORE/search", {"query": "x", "filters": "x"}, "filters"),
    ("POST", "/STORE/search", {"query": "x", "filters": {}}, "filters.type"),
    ("POST", "/STORE/search", {"query": "x", "filters": nested(50)}, "filters"),
    ("POST", "/STORE/search", b'{"query": "x", "filters": ' + b'{"a": ' * 900 + b"1" + b"}" * 901, "filters.type"),
    ("POST", "/STORE/search", b'{"query": "x", "filters": ' + b'{"a": ' * 9000 + b"1" + b"}" * 9001, None),
    ("POST", "/STORE/search", {"query": "x", "filters": {"type": "or", "filters": [nested(0)] * 1001}}, "filters"),
    ("POST", "/STORE/search", {"query": "x", "filters": {"type": "is", "key": "n", "value": 1}}, "filters.type"),
    (
        "POST",
        "/STORE/search",
        b'{"query": "x", "filters": {"type": "eq", "key": "n", "value": "\\u0000"}}',
        "filters.value",
    ),
    ("POST", "/STORE/search", {"query": "x", "ranking_options": {"ranker": "best"}}, "ranking_options.ranker"),
    (
        "POST",
        "/STORE/search",
        {"query": "x", "ranking_options": {"score_threshold": 2}},
        "ranking_options.score_threshold",
    ),
    (
        "POST",
        "/STORE/search",
        {"query": "x", "ranking_options": {"hybrid_search": {"embedding_weight": 0, "text_weight": 0}}},
        "ranking_options.hybrid_search",
    ),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stocked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Shelf, str, str]]:
    async with shelf_in(tmp_path_factory.mktemp("stocked")) as shelf:
        store = await shelf.acme.vector_stores.create(name="docs")
        file_id = await file_of(shelf, b"Refunds are paid within a week.")
        await shelf.acme.vector_stores.files.create(store.id, file_id=file_id)
        await shelf.ingest()
        yield shelf, store.id, file_id


@pytest.mark.parametrize(("method", "path", "body", "param"), BAD)
async def test_what_is_wrong_is_told_with_its_name(
    stocked: tuple[Shelf, str, str], method: str, path: str, body: object, param: str | None
) -> None:
    shelf, store_id, file_id = stocked
    raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
    raw = raw.replace(b'"FILE"', f'"{file_id}"'.encode())
    wire = await send(shelf, method, path.replace("STORE", store_id).replace("FILE", file_id), raw)
    assert (wire.status, wire.error["type"]) == (400, "invalid_request_error"), wire.body
    assert wire.error["param"] == param, wire.error
    assert len(wire.body) < 1000


@pytest.mark.parametrize("store", [NO_STORE, "never", "vs_x", NO_FILE, "%00", "🙂", "x" * 5000, "vs_" + "0" * 25])
async def test_a_store_that_is_not_there_is_not_found(stocked: tuple[Shelf, str, str], store: str) -> None:
    shelf, _, file_id = stocked
    store = store.replace("%00", "\0")
    asked: Sequence[tuple[str, str, object]] = [
        ("GET", "", None),
        ("POST", "", {"name": "x"}),
        ("DELETE", "", None),
        ("POST", "/search", {"query": "x"}),
        ("GET", "/files", None),
        ("POST", "/files", {"file_id": file_id}),
        ("GET", f"/files/{file_id}", None),
        ("POST", f"/files/{file_id}", {"attributes": {}}),
        ("DELETE", f"/files/{file_id}", None),
        ("GET", f"/files/{file_id}/content", None),
        ("POST", "/file_batches", {"file_ids": [file_id]}),
        ("GET", f"/file_batches/{NO_BATCH}", None),
        ("POST", f"/file_batches/{NO_BATCH}/cancel", None),
        ("GET", f"/file_batches/{NO_BATCH}/files", None),
    ]
    for method, tail, body in asked:
        wire = await send(shelf, method, f"/{store}{tail}", body)
        told = (wire.status, wire.error["code"], wire.error["param"])
        assert told == (404, "not_found", "vector_store_id"), (method, tail)


@pytest.mark.parametrize("thing", [NO_FILE, NO_STORE, "file-x", "x" * 300, "🙂", "\0"])
async def test_nor_is_what_is_not_in_it(stocked: tuple[Shelf, str, str], thing: str) -> None:
    shelf, store_id, _ = stocked
    for method, tail, body in (
        ("GET", f"/files/{thing}", None),
        ("POST", f"/files/{thing}", {"attributes": {}}),
        ("DELETE", f"/files/{thing}", None),
        ("GET", f"/files/{thing}/content", None),
        ("GET", f"/file_batches/{thing}", None),
        ("POST", f"/file_batches/{thing}/cancel", None),
        ("GET", f"/file_batches/{thing}/files", None),
    ):
        wire = await send(shelf, method, f"/{store_id}{tail}", body)
        assert (wire.status, wire.error["code"]) == (404, "not_found"), (method, tail)


@pytest.mark.parametrize(("key", "status"), [("", 401), ("sk-unknown", 503), (STAFF, 403)])
async def test_whoever_has_no_tenants_key_is_not_read(
    stocked: tuple[Shelf, str, str], key: str, status: int
) -> None:
    """503: the database of keys was never read, so that it may be a good one."""
    shelf, store_id, file_id = stocked
    for operation in shelf.app.openapi()["paths"].items():
        path, methods = operation
        path = path.replace("{store}", store_id).replace("{file_id}", file_id).replace("{batch}", NO_BATCH)
        for method in methods:
            wire = await Wire(b"{", b"}", path=path, method=method.upper(), key=key).through(shelf.app)
            assert wire.status == status, (method, path)
            assert len(wire.unread) == 2


async def test_a_large_body_is_refused_before_it_is_read(stocked: tuple[Shelf, str, str]) -> None:
    shelf, _, _ = stocked
    wire = Wire(b"{", b"}", path="/v1/vector_stores", key=ACME, content_length=str(MOST_BODY_BYTES + 1))
    await wire.through(shelf.app)
    assert (wire.status, wire.error["code"], len(wire.unread)) == (413, "request_too_large", 2)
    wire = await Wire(*[b" " * 20_000] * 10, path="/v1/vector_stores", key=ACME).through(shelf.app)
    assert (wire.status, wire.error["code"]) == (413, "request_too_large")
    assert len(wire.unread) == 4


async def test_a_client_that_leaves_leaves_nothing(stocked: tuple[Shelf, str, str]) -> None:
    shelf, _, _ = stocked
    before = [store.id async for store in shelf.acme.vector_stores.list()]
    wire = Wire(b'{"name": ', b'"x"}', path="/v1/vector_stores", key=ACME, content_type="application/json")
    wire.leave_after(1)
    await wire.through(shelf.app)
    assert wire.status == 499
    assert [store.id async for store in shelf.acme.vector_stores.list()] == before
