"""Whether several Weirs are one in the books: what answers said, against what the ledger says, to the last digit.

Every answer names its cost and its cache's verdict, and holds its tokens. Added up, they must be what
`weir report costs` finds for the same tenant, however many processes have answered. A hit bills no tokens.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from itertools import cycle
from typing import Any

import aiohttp

from benchmarks.scale_setups import Weir
from benchmarks.slow_upstream import SlowUpstream
from contracts.money import plain

_AT_A_TIME = 16


@dataclass(frozen=True)
class Totals:
    """What some requests add up to; `cost` in dollars."""

    requests: int = 0
    hits: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: Decimal = Decimal(0)

    def __add__(self, other: Totals) -> Totals:
        return Totals(**{name: value + getattr(other, name) for name, value in asdict(self).items()})

    def shown(self) -> dict[str, Any]:
        return {**asdict(self), "cost": plain(self.cost)}


async def asked(urls: Sequence[str], headers: Mapping[str, str], bodies: Sequence[bytes]) -> Totals:
    """Send `bodies`, to each of `urls` in turn, and add up what the answers say. Raises where one is none."""
    found: list[Totals] = []
    waiting = zip(cycle(urls), bodies, strict=False)

    async def work(session: aiohttp.ClientSession) -> None:
        for url, body in waiting:
            async with session.post(url, data=body, headers=headers) as answer:
                answer.raise_for_status()
                found.append(_said(answer.headers, await answer.json()))

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(work(session) for _ in range(_AT_A_TIME)))
    return sum(found, start=Totals())


def _said(headers: Mapping[str, str], answer: Mapping[str, Any]) -> Totals:
    cost = Decimal(headers["x-weir-cost"])
    if headers["x-weir-cache"] == "exact":
        return Totals(requests=1, hits=1, cost=cost)
    usage = answer["usage"]
    return Totals(1, 0, usage["prompt_tokens"], usage["completion_tokens"], cost)


def booked(weir: Weir) -> dict[str, Totals]:
    """What its ledger has for each tenant."""
    command = f"{sys.executable} -m weir report costs --config {weir.config} --by tenant --json".split()
    output = subprocess.run(command, check=True, capture_output=True, env={**os.environ, **weir.variables}).stdout
    return {
        row["tenant"]: Totals(
            row["requests"], row["hits"], row["prompt_tokens"], row["completion_tokens"], Decimal(row["cost"])
        )
        for row in json.loads(output)["rows"]
    }


# --- how many at a time --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Crowd:
    """What became of requests that all came at once. `most` is how many the upstream saw at a time."""

    most: int
    answered: int
    refused: int
    other: int


async def crowd(
    upstream: SlowUpstream, url: str, headers: Mapping[str, str], waves: Sequence[Sequence[bytes]]
) -> Crowd:
    """Send each wave at once, every request on a connection of its own, so that all workers get some."""
    statuses: list[int] = []

    async def one(session: aiohttp.ClientSession, body: bytes) -> None:
        async with session.post(url, data=body, headers=headers) as answer:
            await answer.read()
            statuses.append(answer.status)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:
        for wave in waves:
            await asyncio.gather(*(one(session, body) for body in wave))
    answered, refused = statuses.count(200), statuses.count(503)
    return Crowd(upstream.most, answered, refused, len(statuses) - answered - refused)
