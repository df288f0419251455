"""A fresh database for every test, on both engines, and a maker of usage events."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from shutil import copyfile
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from contracts.records import UsageEvent
from contracts.usage import TokenUsage
from ledger.database import Database, sqlite_url
from ledger.spool import Spool
from tests.ledger.switchable import Switchable

POSTGRES = os.environ.get("WEIR_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432")


class Prepared:
    """A prepared database on each engine, made when it is first asked for: tests get copies, which is quicker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.template = ""

    async def sqlite(self) -> Path:
        if not (self.folder / "weir.db").exists():
            await _prepare(sqlite_url(self.folder))
        return self.folder / "weir.db"

    async def postgresql(self, server: asyncpg.Connection) -> str:
        if not self.template:
            self.template = f"weir_test_{uuid4().hex[:12]}"
            await server.execute(f"CREATE DATABASE {self.template} TEMPLATE template0")
            await _prepare(f"{POSTGRES}/{self.template}")
        return self.template


async def _prepare(url: str) -> None:
    database = Database(url)
    await database.prepare()
    await database.close()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    databases = Prepared(tmp_path_factory.mktemp("prepared"))
    yield databases
    if databases.template:
        with ThreadPoolExecutor(1) as thread:  # where no event loop is
            thread.submit(asyncio.run, _drop(databases.template)).result()


async def _drop(name: str) -> None:
    server = await asyncpg.connect(f"{POSTGRES}/postgres", timeout=5)
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def url(request: pytest.FixtureRequest, tmp_path: Path, prepared: Prepared) -> AsyncIterator[str]:
    """Empty, unless the test asks for `database` too, which is the same one."""
    ready = "database" in request.fixturenames
    if request.param == "sqlite":
        if ready:
            copyfile(await prepared.sqlite(), tmp_path / "weir.db")
        yield sqlite_url(tmp_path)
        return
    try:
        server = await asyncpg.connect(f"{POSTGRES}/postgres", timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        reason = f"no PostgreSQL at {POSTGRES} ({error}); start one there or set WEIR_TEST_POSTGRES"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    name = f"weir_test_{uuid4().hex[:12]}"
    template = await prepared.postgresql(server) if ready else "template0"
    await server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield f"{POSTGRES}/{name}"
    finally:
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    await database.prepare()
    yield database
    await database.close()


@pytest.fixture
async def switchable(url: str) -> AsyncIterator[Switchable]:
    database = Switchable(url)
    yield database
    await database.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def spool(folder: Path) -> Iterator[Spool]:
    spool = Spool(folder)
    yield spool
    spool.close()


@pytest.fixture
def make_event() -> Callable[..., UsageEvent]:
    """Events with ids r0, r1, ... that cost 0.0001 dollars each, unless told otherwise."""
    numbers = count()

    def make(**changes: Any) -> UsageEvent:
        values: dict[str, Any] = {
            "request_id": f"r{next(numbers)}",
            "at": datetime(2026, 11, 5, 12, tzinfo=UTC),
            "tenant": "acme",
            "key_id": "key_1",
            "route": "support",
            "endpoint": "chat/completions",
            "requested_model": "support",
            "model": "large",
            "usage": TokenUsage(prompt=100, completion=10),
            "cost": Decimal("0.0001"),
        }
        return UsageEvent(**(values | changes))

    return make
