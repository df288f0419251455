"""Storages that share a database, and a clock that tests move."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from rag.ports import Limits, Storage


class Clock:
    """Stands still between calls of `pass_by`, but for a millisecond each time it is asked."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 5, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.pass_by(0.001)
        return self.at

    def pass_by(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Opened:
    def __init__(self, make: Callable[[Limits], Storage]) -> None:
        self._make = make
        self._storages: list[Storage] = []

    async def storage(self, limits: Limits | None = None) -> Storage:
        storage = self._make(limits or Limits())
        self._storages.append(storage)
        await storage.prepare()
        return storage

    async def close(self) -> None:
        for storage in self._storages:
            await storage.close()
