"""A fresh PostgreSQL database for a test, where there is a server."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest

POSTGRES = os.environ.get("WEIR_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432")


@pytest.fixture
async def postgres() -> AsyncIterator[str]:
    """The URL of a fresh PostgreSQL database."""
    try:
        server = await asyncpg.connect(f"{POSTGRES}/postgres", timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no PostgreSQL at {POSTGRES} ({error})")
    name = f"weir_e2e_{uuid4().hex[:12]}"
    await server.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    yield f"{POSTGRES}/{name}"
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.close()
