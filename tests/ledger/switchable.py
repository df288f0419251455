"""A database whose server can be away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.database import Database


class Switchable(Database):
    away = False

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        if self.away:
            raise ConnectionRefusedError("away")
        async with super().reading() as connection:
            yield connection
