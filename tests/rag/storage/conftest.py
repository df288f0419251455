"""A storage of each kind for the tests that both have to pass; a PostgreSQL, and a database in it for each test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rag.ports import Storage
from rag.storage.postgres import PostgresStorage
from rag.storage.sqlite import SqliteStorage
from tests.rag.storage.opening import Clock, Opened
from tests.rag.storage.postgres_server import PostgresServer, postgres_program


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    server = PostgresServer(postgres_program())
    with ThreadPoolExecutor(1) as thread:  # where no event loop is
        thread.submit(asyncio.run, _prepare(server)).result()
    yield server
    server.end()


async def _prepare(server: PostgresServer) -> None:
    """Nothing of it has to outlive a crash of the machine."""
    await server.execute("ALTER SYSTEM SET fsync = off")
    await server.execute("SELECT pg_reload_conf()")
    server.prepared = await server.create()
    storage = PostgresStorage(server.url(server.prepared))
    await storage.prepare()
    await storage.close()


@pytest.fixture
async def postgres_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """Of a database that is prepared."""
    name = await postgres_server.create(postgres_server.prepared)
    yield postgres_server.url(name)
    await postgres_server.drop(name)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def opened(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Opened]:
    """Storages of one empty database, each as another process would open it."""
    if request.param == "sqlite":
        opened = Opened(lambda limits: SqliteStorage(tmp_path / "rag", limits, clock=clock))
        yield opened
        await opened.close()
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = await server.create(server.prepared)
    opened = Opened(lambda limits: PostgresStorage(server.url(name), limits, clock))
    yield opened
    await opened.close()
    await server.drop(name)


@pytest.fixture
async def storage(opened: Opened) -> Storage:
    return await opened.storage()
