"""What only PostgreSQL has: pgvector, several replicas, a server that goes away, partitions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import make_url

from contracts.errors import NotFound, RetrievalUnavailable
from rag.ports import StorageUnusable
from rag.storage.postgres import PostgresStorage
from tests.rag.storage.postgres_server import PostgresServer
from tests.rag.storage.preparing import prepared, put, vector

_TABLES = ("rag_chunks", "rag_words", "rag_having", "rag_indexes", "rag_gone")


@pytest.fixture
async def replicas(postgres_url: str) -> AsyncIterator[tuple[PostgresStorage, PostgresStorage]]:
    """Two of Weir's, on one database."""
    both = PostgresStorage(postgres_url), PostgresStorage(postgres_url)
    yield both
    for storage in both:
        await storage.close()


async def test_two_that_start_at_once_prepare_an_empty_database_together(postgres_server: PostgresServer) -> None:
    name = await postgres_server.create()
    both = [PostgresStorage(postgres_server.url(name)) for _ in range(2)]
    await asyncio.gather(*(storage.prepare() for storage in both))
    await both[0].prepare()
    assert (await both[0].create_store("acme", "docs")).name == "docs"
    for storage in both:
        await storage.close()
    await postgres_server.drop(name)


async def test_without_the_right_to_add_pgvector_it_says_what_to_do(postgres_server: PostgresServer) -> None:
    name = await postgres_server.create()
    await postgres_server.execute("CREATE ROLE visitor LOGIN")
    await postgres_server.execute("GRANT ALL ON SCHEMA public TO visitor", name)
    storage = PostgresStorage(postgres_server.url(name).replace("postgres:@", "visitor:@"))
    with pytest.raises(StorageUnusable, match="CREATE EXTENSION vector"):
        await storage.prepare()
    await postgres_server.execute("CREATE EXTENSION vector", name)
    await storage.prepare()
    await storage.close()
    await postgres_server.drop(name)
    await postgres_server.execute("DROP ROLE visitor")


async def test_tables_of_a_newer_weir_are_left_alone(postgres_server: PostgresServer, postgres_url: str) -> None:
    name = make_url(postgres_url).database
    await postgres_server.execute("UPDATE rag_schema SET version = 99", str(name))
    storage = PostgresStorage(postgres_url)
    with pytest.raises(StorageUnusable, match="schema 99"):
        await storage.prepare()
    await storage.close()


@pytest.mark.parametrize("url", ["mysql://localhost/docs", "sqlite:///docs.db", "no url"])
def test_a_url_of_something_else_is_refused(url: str) -> None:
    with pytest.raises(StorageUnusable, match="postgresql://"):
        PostgresStorage(url)


async def test_a_server_that_goes_away_is_unavailable_until_it_is_back(
    postgres_server: PostgresServer, replicas: tuple[PostgresStorage, PostgresStorage]
) -> None:
    storage, _ = replicas
    store = await storage.create_store("acme", "docs")
    await storage.change("acme", store.id, [put("a.md", "red fox")], [])
    view = await storage.view("acme", "docs")
    postgres_server.stop()
    try:
        for asked in (
            storage.view("acme", "docs"),
            view.by_words({"red": 1.0}, 5),
            storage.store("acme", "docs"),
            storage.change("acme", store.id, [put("b.md", "hen")], []),
            storage.claim(30),
        ):
            with pytest.raises(RetrievalUnavailable):
                await asyncio.wait_for(asked, 30)
    finally:
        postgres_server.start()
    assert len(await view.by_words({"red": 1.0}, 5)) == 1
    await storage.change("acme", store.id, [put("b.md", "hen")], [])
    assert (await storage.store("acme", "docs")).chunks == 2


async def test_each_document_is_claimed_by_one_replica(
    replicas: tuple[PostgresStorage, PostgresStorage],
) -> None:
    storage, other = replicas
    store = await storage.create_store("acme")
    files = [await storage.add_file("acme", f"{n}.md", b"x") for n in range(6)]
    await storage.attach("acme", store.id, [file.id for file in files])
    works = await asyncio.gather(*(one.claim(30) for one in (storage, other) * 4))
    claimed = [work.file_id for work in works if work is not None]
    assert sorted(claimed) == sorted(file.id for file in files)


async def test_steps_of_one_store_follow_each_other(replicas: tuple[PostgresStorage, PostgresStorage]) -> None:
    store = await replicas[0].create_store("acme")
    # The first step of a tenant also makes its partitions, here on both replicas at once.
    await asyncio.gather(
        *(replicas[n % 2].change("acme", store.id, [put(f"{n}.md", "red fox", f"hen {n}")], []) for n in range(8))
    )
    view = await replicas[0].view("acme", store.id)
    assert view.state.revision == 8
    counts = await view.counts(["red", "hen", "3", "none"])
    assert (counts.chunks, counts.mean_length) == (16, 2.0)
    assert counts.having == {"red": 8, "hen": 8, "3": 1, "none": 0}


async def test_a_lease_is_renewed_while_the_document_is_completed(
    replicas: tuple[PostgresStorage, PostgresStorage], postgres_url: str
) -> None:
    storage, _ = replicas
    store = await storage.create_store("acme")
    file = await storage.add_file("acme", "a.md", b"x")
    await storage.attach("acme", store.id, [file.id])
    work = await storage.claim(30)
    assert work is not None
    holder = await asyncpg.connect(postgres_url)
    async with holder.transaction():
        await holder.execute("SELECT FROM rag_documents FOR UPDATE")  # as a long step does
        await holder.execute("SELECT FROM rag_stores FOR UPDATE")
        assert await asyncio.wait_for(storage.renew(work, 30), 20)
        await asyncio.wait_for(storage.touch("acme", [store.id]), 20)
    await holder.close()
    assert await storage.complete(work, prepared("red fox"))
    assert not await storage.renew(work, 30)


async def test_what_is_deleted_leaves_nothing_behind(
    replicas: tuple[PostgresStorage, PostgresStorage], postgres_url: str
) -> None:
    storage, _ = replicas
    kept, gone = await storage.create_store("acme", "kept"), await storage.create_store("acme", "gone")
    long = put("long.md", *(f"red w{n}" for n in range(600)))
    await storage.change("acme", kept.id, [long, put("b.md", "red hen")], [])
    await storage.change("acme", gone.id, [put("c.md", "red hen", "blue whale")], [])
    held = {holding.filename: holding.file_id for holding in await storage.holdings("acme", kept.id)}
    await storage.change("acme", kept.id, [], [held["long.md"]])
    view = await storage.view("acme", "kept")
    counts = await view.counts(["red", "w7", "hen"])
    assert (counts.chunks, counts.mean_length) == (1, 2.0)
    assert counts.having == {"red": 1, "w7": 0, "hen": 1}
    await storage.delete_store("acme", gone.id)
    with pytest.raises(NotFound):
        await storage.view("acme", "gone")
    await storage.upkeep()
    connection = await asyncpg.connect(postgres_url)
    left = [await connection.fetchval(f"SELECT count(*) FROM {table}") for table in _TABLES]
    await connection.close()
    assert left == [1, 2, 2, 1, 0]


async def test_each_tenant_has_a_partition_of_its_own(
    replicas: tuple[PostgresStorage, PostgresStorage], postgres_url: str
) -> None:
    storage, _ = replicas
    for tenant in ("acme", "o'neil", "x" * 200):
        store = await storage.create_store(tenant, "docs")
        await storage.change(tenant, store.id, [put("a.md", "red fox")], [])
    connection = await asyncpg.connect(postgres_url)
    rows = await connection.fetch("SELECT tableoid, count(DISTINCT tenant) FROM rag_chunks GROUP BY tableoid")
    await connection.close()
    assert [row[1] for row in rows] == [1, 1, 1]


async def test_another_encoder_may_have_vectors_of_another_length(
    replicas: tuple[PostgresStorage, PostgresStorage],
) -> None:
    storage, _ = replicas
    store = await storage.create_store("acme", "docs")
    await storage.change("acme", store.id, [put("a.md", "red fox")], [])
    file = await storage.add_file("acme", "b.md", b"x")
    await storage.attach("acme", store.id, [file.id])
    work = await storage.claim(30)
    assert work is not None
    assert await storage.complete(work, prepared("hen", dimensions=7, encoder="e2"))
    view = await storage.view("acme", "docs")
    assert view.encoder == "e2"
    (found,) = await view.by_meaning(vector("hen", 7), 5)
    assert found.score == pytest.approx(1, abs=1e-3)
    assert len(await view.by_words({"red": 1.0, "hen": 1.0}, 5)) == 2
