"""Files: what was uploaded comes back, page by page, until it is deleted or has expired."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from contracts.errors import InvalidRequest, NotFound, RequestTooLarge, StoreFull
from contracts.retrieval import Page
from rag.ports import Limits, Storage, digest_of
from tests.rag.storage.opening import Clock, Opened


async def test_a_file_is_what_was_uploaded(storage: Storage, clock: Clock) -> None:
    changed = datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    added = await storage.add_file("acme", "höhe/a b.md", b"\x00\xff text", purpose="user_data", updated_at=changed)
    assert added == await storage.file("acme", added.id)
    assert await storage.content("acme", added.id) == b"\x00\xff text"
    assert (added.filename, added.purpose, added.bytes) == ("höhe/a b.md", "user_data", 7)
    assert (added.digest, added.updated_at, added.expires_at) == (digest_of(b"\x00\xff text"), changed, None)
    assert abs(added.created_at - clock.at) < timedelta(seconds=1)
    assert added.id.startswith("file-") and len(added.id) == 29


async def test_pages_are_in_order_of_creation_in_both_directions(storage: Storage) -> None:
    ids = [(await storage.add_file("acme", f"{n}.md", b"")).id for n in range(5)]
    other = await storage.add_file("acme", "other.md", b"", purpose="vision")

    async def listed(**page: object) -> list[str]:
        return [file.id for file in await storage.files("acme", Page(**page), purpose="assistants")]  # type: ignore[arg-type]

    assert await listed() == ids[::-1]
    assert await listed(newest_first=False, limit=2) == ids[:2]
    assert await listed(newest_first=False, limit=2, after=ids[1]) == ids[2:4]
    assert await listed(newest_first=False, limit=2, before=ids[3]) == ids[1:3]
    assert await listed(limit=2, after=ids[3]) == [ids[2], ids[1]]
    assert await listed(limit=2, before=ids[1]) == [ids[3], ids[2]]
    assert await listed(newest_first=False, after=ids[0], before=ids[3]) == ids[1:3]
    assert await listed(newest_first=False, after=other.id) == []
    assert len(await storage.files("acme", Page(limit=10_001))) == 6


async def test_a_page_that_cannot_be_is_refused(storage: Storage) -> None:
    for page in (Page(after="file-" + "0" * 24), Page(before="x"), Page(limit=0), Page(limit=10_002)):
        with pytest.raises(InvalidRequest):
            await storage.files("acme", page)


async def test_a_filename_that_cannot_be_is_refused(storage: Storage) -> None:
    for filename in ("", "a\nb", "a\0b", "x" * 1025, "\ud800"):
        with pytest.raises(InvalidRequest, match="filename"):
            await storage.add_file("acme", filename, b"")


async def test_what_has_expired_is_not_there(storage: Storage, clock: Clock) -> None:
    file = await storage.add_file("acme", "a.md", b"a", expires_after_s=3600)
    assert file.expires_at == file.created_at + timedelta(hours=1)
    assert await storage.file("acme", file.id) == file
    clock.pass_by(3600)
    for asking in (storage.file, storage.content, storage.delete_file):
        with pytest.raises(NotFound):
            await asking("acme", file.id)
    assert await storage.files("acme", Page()) == []
    await storage.upkeep()
    clock.pass_by(-3600)
    with pytest.raises(NotFound):
        await storage.file("acme", file.id)


async def test_a_deleted_file_is_gone(storage: Storage) -> None:
    file = await storage.add_file("acme", "a.md", b"a")
    await storage.delete_file("acme", file.id)
    for asking in (storage.file, storage.content, storage.delete_file):
        with pytest.raises(NotFound, match=file.id):
            await asking("acme", file.id)


async def test_bounds_are_refused_and_leave_nothing_behind(opened: Opened) -> None:
    storage = await opened.storage(Limits(file_bytes=10, tenant_bytes=15))
    with pytest.raises(RequestTooLarge, match="max_file_bytes"):
        await storage.add_file("acme", "a.md", b"x" * 11)
    file = await storage.add_file("acme", "a.md", b"x" * 10)
    with pytest.raises(StoreFull, match="max_tenant_bytes"):
        await storage.add_file("acme", "b.md", b"x" * 10)
    assert [one.id for one in await storage.files("acme", Page())] == [file.id]
    await storage.add_file("other", "b.md", b"x" * 10)
    await storage.delete_file("acme", file.id)
    await storage.add_file("acme", "b.md", b"x" * 10)
