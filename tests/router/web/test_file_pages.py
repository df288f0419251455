"""`/v1/files`: what is uploaded comes back as it was, and whatever is wrong is told before it costs anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import openai
import orjson
import pytest
import pytest_asyncio

from contracts.errors import RetrievalUnavailable
from contracts.retrieval import Corpus
from ledger.database import Database, sqlite_url
from ledger.keys import MemoryKeyring
from router.web.app import pages_app
from router.web.file_pages import file_pages
from tests.router.plain import ACME as ACME_KEY
from tests.router.web.shelves import ACME, MOST_FILE_BYTES, NO_FILE, STAFF, Shelf, shelf_in
from tests.router.web.wire import Wire

BOUNDARY = "----b0undary"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shelf]:
    async with shelf_in(tmp_path_factory.mktemp("shelf")) as shelf:
        yield shelf


@pytest_asyncio.fixture(loop_scope="module")
async def shelf(opened: Shelf) -> AsyncIterator[Shelf]:
    """Without files."""
    yield opened
    async for file in opened.acme.files.list():
        await opened.acme.files.delete(file.id)


def form(*fields: tuple[str, bytes | str], filename: str = "a.md", closed: bool = True) -> bytes:
    """A body of multipart/form-data. A field of bytes is a file."""
    parts = []
    for name, value in fields:
        named = f'; filename="{filename}"' if isinstance(value, bytes) else ""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
        parts.append(head.encode() + (value if isinstance(value, bytes) else value.encode()) + b"\r\n")
    return b"".join(parts) + (f"--{BOUNDARY}--\r\n".encode() if closed else b"")


def posted(*pieces: bytes, key: str = ACME, **headers: str) -> Wire:
    headers.setdefault("content_type", f"multipart/form-data; boundary={BOUNDARY}")
    return Wire(*pieces, path="/v1/files", key=key, **headers)


class TestLife:
    async def test_a_file_comes_back_as_it_was(self, shelf: Shelf) -> None:
        content = b"\r\n--" + bytes(range(256)) * 9 + b"\r\n"
        made = await shelf.acme.files.create(file=("Rückgabe 退.md", content), purpose="assistants")
        assert (made.object, made.bytes, made.filename) == ("file", len(content), "Rückgabe 退.md")
        assert (made.purpose, made.status, made.expires_at) == ("assistants", "processed", None)
        assert await shelf.acme.files.retrieve(made.id) == made
        assert (await shelf.acme.files.content(made.id)).content == content
        deleted = await shelf.acme.files.delete(made.id)
        assert (deleted.id, deleted.deleted, deleted.object) == (made.id, True, "file")
        with pytest.raises(openai.NotFoundError):
            await shelf.acme.files.retrieve(made.id)
        with pytest.raises(openai.NotFoundError):
            await shelf.acme.files.content(made.id)

    async def test_it_expires_when_it_was_asked_to(self, shelf: Shelf) -> None:
        made = await shelf.acme.files.create(
            file=("a.txt", b"x"), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600}
        )
        assert made.expires_at == made.created_at + 3600

    async def test_lists_are_walked_page_by_page_in_both_orders(self, shelf: Shelf) -> None:
        made = [
            (await shelf.acme.files.create(file=(f"{number}.txt", b"x"), purpose="assistants")).id
            for number in range(5)
        ]
        assert [file.id async for file in shelf.acme.files.list(limit=2)] == made[::-1]
        assert [file.id async for file in shelf.acme.files.list(limit=2, order="asc")] == made
        assert [file.id async for file in shelf.acme.files.list()] == made[::-1]
        page = await shelf.acme.files.list(limit=2, order="asc", extra_query={"before": made[4]})
        assert ([file.id for file in page.data], page.has_more) == (made[2:4], True)
        page = await shelf.acme.files.list(limit=2, order="asc", extra_query={"before": made[2]})
        assert ([file.id for file in page.data], page.has_more) == (made[:2], False)

    async def test_a_list_has_the_purpose_that_was_asked_for(self, shelf: Shelf) -> None:
        await shelf.acme.files.create(file=("a.txt", b"x"), purpose="assistants")
        other = await shelf.acme.files.create(file=("b.txt", b"x"), purpose="user_data")
        assert [file.id async for file in shelf.acme.files.list(purpose="user_data")] == [other.id]

    async def test_a_download_is_a_download(self, shelf: Shelf) -> None:
        made = await shelf.acme.files.create(file=("guides/a b.html", b"<script>"), purpose="assistants")
        reply = (await shelf.acme.files.content(made.id)).response
        assert reply.headers["content-disposition"] == "attachment; filename*=UTF-8''a%20b.html"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["content-type"] == "application/octet-stream"


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "param"),
        [
            (form(("purpose", "assistants")), "file"),
            (form(("file", "no file"), ("purpose", "assistants")), "file"),
            (form(("file", b""), ("purpose", "assistants")), "file"),
            (form(("file", b"x")), "purpose"),
            (form(("file", b"x"), ("purpose", "pleasure")), "purpose"),
            (form(("file", b"x"), ("purpose", "batch"), ("wish", "x")), "wish"),
            (form(("file", b"x"), ("purpose", b"batch")), None),
            (form(("file", b"x"), ("purpose", "batch"), ("expires_after", "x")), "expires_after"),
            (form(("file", b"x"), ("purpose", "batch"), ("expires_after[anchor]", "x")), "expires_after.anchor"),
            (
                form(
                    ("file", b"x"),
                    ("purpose", "batch"),
                    ("expires_after[anchor]", "created_at"),
                    ("expires_after[seconds]", "59"),
                ),
                "expires_after.seconds",
            ),
            (form(("file", b"x"), ("purpose", "assistants"), closed=False)[:-9], "purpose"),
            (b"", "file"),
            (b"no form", None),
            (form(*(("purpose", "batch") for _ in range(9))), None),
            (form(("file", b"x"), ("purpose", "x" * 70_000)), None),
        ],
    )
    async def test_a_bad_form_is_told_what_is_wrong(self, shelf: Shelf, body: bytes, param: str | None) -> None:
        wire = await posted(body).through(shelf.app)
        assert (wire.status, wire.error["type"], wire.error["param"]) == (400, "invalid_request_error", param)
        assert not [file async for file in shelf.acme.files.list()]

    @pytest.mark.parametrize(
        "filename",
        [
            "",
            "/etc/passwd",
            "../a.md",
            "a/../b.md",
            "a//b.md",
            "a/",
            ".",
            "a\\b.md",
            "a\tb.md",
            "a\x7f.md",
            "x" * 2000,
        ],
    )
    async def test_a_name_that_is_none_is_refused(self, shelf: Shelf, filename: str) -> None:
        body = form(("file", b"x"), ("purpose", "assistants"), filename=filename)
        wire = await posted(body).through(shelf.app)
        assert (wire.status, wire.error["code"]) == (400, "invalid_request")
        assert wire.error["param"] in ("file", "filename")

    @pytest.mark.parametrize("filename", ["guides/returns.md", "no suffix", "..a", "x" * 255, "🙂.md"])
    async def test_other_names_are_taken(self, shelf: Shelf, filename: str) -> None:
        made = await shelf.acme.files.create(file=(filename, b"x"), purpose="assistants")
        assert made.filename == filename

    @pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data", "text/plain", ""])
    async def test_another_kind_of_body_is_refused(self, shelf: Shelf, content_type: str) -> None:
        wire = await posted(b'{"purpose": "assistants"}', content_type=content_type).through(shelf.app)
        assert wire.status == 400

    async def test_a_large_one_is_refused_before_it_is_read(self, shelf: Shelf) -> None:
        wire = await posted(b"x", b"x", content_length=str(10**9)).through(shelf.app)
        assert (wire.status, wire.error["code"]) == (413, "request_too_large")
        assert len(wire.unread) == 2

    async def test_one_that_does_not_say_its_length_is_read_no_further_than_the_bound(self, shelf: Shelf) -> None:
        start = form(("purpose", "assistants"), ("file", b""), closed=False)
        wire = await posted(start, *[b"x" * 50_000] * 20).through(shelf.app)
        assert (wire.status, wire.error["code"]) == (413, "request_too_large")
        assert len(wire.unread) >= 14

    async def test_the_bound_is_the_files(self, shelf: Shelf) -> None:
        most = b"x" * MOST_FILE_BYTES
        await shelf.acme.files.create(file=("a.md", most), purpose="assistants")
        wire = await posted(form(("file", most + b"x"), ("purpose", "assistants"))).through(shelf.app)
        assert (wire.status, wire.error["code"], wire.error["param"]) == (413, "request_too_large", "file")

    @pytest.mark.parametrize(("key", "status"), [("", 401), ("sk-unknown", 503), (STAFF, 403)])
    async def test_whoever_has_no_tenants_key_is_not_read(self, shelf: Shelf, key: str, status: int) -> None:
        """503: the database was never read, so that it may be a good key."""
        wire = await posted(b"x", b"x", key=key).through(shelf.app)
        assert wire.status == status
        assert len(wire.unread) == 2

    async def test_a_client_that_leaves_leaves_nothing(self, shelf: Shelf) -> None:
        wire = posted(form(("purpose", "assistants"), ("file", b"half"), closed=False), b"more")
        wire.leave_after(1)
        await wire.through(shelf.app)
        assert wire.status == 499
        assert not [file async for file in shelf.acme.files.list()]

    @pytest.mark.parametrize(
        "file_id", [NO_FILE, "vs_" + "0" * 24, "file-x", "file-%00", "🙂", "file-" + "0" * 5000]
    )
    @pytest.mark.parametrize(("method", "tail"), [("GET", ""), ("DELETE", ""), ("GET", "/content")])
    async def test_what_is_not_there_is_not_found(self, shelf: Shelf, file_id: str, method: str, tail: str) -> None:
        wire = await Wire(path=f"/v1/files/{file_id}{tail}", method=method, key=ACME).through(shelf.app)
        assert (wire.status, wire.error["code"]) == (404, "not_found")

    @pytest.mark.parametrize(
        ("query", "param"),
        [
            ("limit=0", "limit"),
            ("limit=10001", "limit"),
            ("order=up", "order"),
            ("after=x", "after"),
            ("after=" + NO_FILE, "after"),
            ("before=%00", "before"),
        ],
    )
    async def test_a_page_that_cannot_be_is_refused(self, shelf: Shelf, query: str, param: str) -> None:
        wire = Wire(path="/v1/files", method="GET", key=ACME)
        wire.scope["query_string"] = query.encode()
        await wire.through(shelf.app)
        assert (wire.status, wire.error["param"]) == (400, param)

    async def test_ten_thousand_may_be_asked_for(self, shelf: Shelf) -> None:
        assert (await shelf.acme.files.list(limit=10_000)).data == []


async def test_where_there_is_no_storage_each_request_says_so(tmp_path: Path) -> None:
    async def corpus() -> Corpus:
        raise RetrievalUnavailable("Install the extra: pip install 'weir[rag]'.", retry_after_s=60)

    keyring = MemoryKeyring([ACME_KEY], ["acme"], Database(sqlite_url(tmp_path)))
    app = pages_app([file_pages(keyring, corpus, max_file_bytes=100)])
    for wire in (
        posted(b"x", b"x"),
        Wire(path="/v1/files", method="GET"),
        Wire(path=f"/v1/files/{NO_FILE}", method="GET"),
    ):
        await wire.through(app)
        assert (wire.status, wire.error["code"]) == (503, "retrieval_unavailable")
        assert "weir[rag]" in wire.error["message"]
        assert wire.headers["retry-after"] == "60"


async def test_the_form_is_described(shelf: Shelf) -> None:
    schema = shelf.app.openapi()["paths"]["/v1/files"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert set(schema["schema"]["required"]) == {"file", "purpose"}
    assert orjson.dumps(schema)
