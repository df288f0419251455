"""A fresh database for every test, on both engines, and a maker of usage events."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from contracts.records import UsageEvent
from contracts.usage import TokenUsage
from ledger.database import Database, sqlite_url
from ledger.spool import Spool

POSTGRES = os.environ.get("WEIR_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "sqlite":
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
    await server.execute(f"CREATE DATABASE {name} TEMPLATE template0")
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
