"""Every implementation of the port `contracts.budgets.Budgets`, ready to be put through the suite.

To add one: write an async context manager that yields a `Subject`, and name it in `SUBJECTS`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
import redis
from redis.asyncio import Redis

from contracts.budgets import Budget, Crossing
from ledger.budgets.local import LocalBudgets
from ledger.budgets.shared import SharedBudgets

REDIS = os.environ.get("WEIR_TEST_REDIS", "redis://127.0.0.1:6379")
Engine = LocalBudgets | SharedBudgets


@dataclass
class Subject:
    """Makes engines: `make` one that counts from nothing, with whatever it told in `alerts`.

    `again` makes one that finds what another has counted; None where that is gone with it.
    """

    build: Callable[..., Engine]
    again: Callable[..., Engine] | None = None
    alerts: list[Crossing] = field(default_factory=list)
    engines: list[Engine] = field(default_factory=list)

    async def make(self, *budgets: Budget, **options: Any) -> Engine:
        return await self._started(self.build, budgets, options)

    async def replica(self, *budgets: Budget, **options: Any) -> Engine:
        if self.again is None:
            pytest.skip("it counts in one process only")
        return await self._started(self.again, budgets, options)

    async def _started(self, build: Callable[..., Engine], budgets: Sequence[Budget], options: Any) -> Engine:
        engine = build(**{"alert": self.alerts.append, **options})
        self.engines.append(engine)
        engine.configure(budgets)
        await engine.start()
        return engine


async def counted(engine: Engine) -> None:
    """Until all that was settled is counted, and what that crossed is told."""
    await until(lambda: not engine.waiting)


async def known(engine: Engine) -> None:
    """Until it knows of all budgets what was spent."""
    await until(lambda: engine.up)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - engines tell nobody
            await asyncio.sleep(0.002)


@asynccontextmanager
async def local() -> AsyncIterator[Subject]:
    subject = Subject(LocalBudgets)
    yield subject
    for engine in subject.engines:
        await engine.stop()


@asynccontextmanager
async def shared() -> AsyncIterator[Subject]:
    client = Redis.from_url(REDIS, socket_connect_timeout=5)
    try:
        await client.ping()
    except (OSError, redis.RedisError) as error:
        await client.aclose()
        reason = f"no Redis at {REDIS} ({error}); start one there or set WEIR_TEST_REDIS"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    prefix = f"weir:test:{uuid4().hex}"
    last = ""

    def build(**options: Any) -> SharedBudgets:
        nonlocal last
        last = f"{prefix}:{uuid4().hex}"
        return again(**options)

    def again(**options: Any) -> SharedBudgets:
        # A deadline that only a dead Redis misses, however busy this machine is.
        return SharedBudgets(REDIS, **{"name": last, "deadline_s": 5.0, "settling_s": 0.05, **options})

    subject = Subject(build, again)
    try:
        yield subject
    finally:
        for engine in subject.engines:
            await engine.stop()
        async for key in client.scan_iter(f"{{{prefix}*", count=1000):
            await client.delete(key)
        await client.aclose()


SUBJECTS: Mapping[str, Callable[[], AbstractAsyncContextManager[Subject]]] = {"local": local, "shared": shared}
