"""Ready or not, and which part says no; each part is really in that state here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from contracts.errors import ConnectionRefused, UpstreamFailure
from ledger.database import Database, sqlite_url
from ledger.keys import MemoryKeyring
from ledger.spool import Spool
from router.health import Health
from router.permits import Permits
from tests.router.plain import ACME, PlainUpstream, whole


class Probed(PlainUpstream):
    """Counts its probes; answers them, fails, or (with a `gate`) waits."""

    def __init__(self, name: str, fault: UpstreamFailure | None = None, gate: asyncio.Event | None = None) -> None:
        super().__init__(name, whole(), gate=gate)
        self.fault = fault
        self.probes = 0

    async def probe(self) -> None:
        self.probes += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.fault is not None:
            raise self.fault


@dataclass
class Parts:
    health: Health
    keys: MemoryKeyring
    spool: Spool
    permits: Permits
    upstreams: dict[str, Probed]
    database: dict[str, bool] = field(default_factory=lambda: {"up": True})
    budgets: dict[str, bool] = field(default_factory=lambda: {"up": True})


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    """Everything well, over one upstream."""
    database = Database(sqlite_url(tmp_path))
    await database.prepare()
    keys = MemoryKeyring([ACME], ["acme"], database)
    await keys.refresh()
    spool, permits, upstreams = Spool(tmp_path / "spool"), Permits(1), {"one": Probed("one")}
    state, budgets = {"up": True}, {"up": True}
    health = Health(
        keys=keys,
        events=spool,
        permits=permits,
        upstreams=lambda: upstreams,
        database_up=lambda: state["up"],
        budgets_up=lambda: budgets["up"],
    )
    yield Parts(health, keys, spool, permits, upstreams, state, budgets)
    spool.close()
    await database.close()


async def test_all_is_well(parts: Parts) -> None:
    assert await parts.health.report() == {
        "ready": True,
        "parts": dict.fromkeys(("keys", "spool", "upstreams", "server", "database", "budgets"), "ok"),
        "upstreams": {"one": "ok"},
    }


async def test_keys_that_were_never_read_are_not_ready(tmp_path: Path, parts: Parts) -> None:
    unread = MemoryKeyring([ACME], ["acme"], Database(sqlite_url(tmp_path)))
    health = Health(
        keys=unread,
        events=parts.spool,
        permits=parts.permits,
        upstreams=lambda: parts.upstreams,
        database_up=lambda: True,
    )
    report = await health.report()
    assert not report["ready"]
    assert [part for part, state in report["parts"].items() if state != "ok"] == ["keys"]


async def test_nor_is_a_spool_that_takes_nothing(parts: Parts) -> None:
    parts.spool.close()
    report = await parts.health.report()
    assert not report["ready"]
    assert [part for part, state in report["parts"].items() if state != "ok"] == ["spool"]


async def test_nor_is_a_server_that_shuts_down(parts: Parts) -> None:
    parts.permits.close()
    report = await parts.health.report()
    assert not report["ready"]
    assert [part for part, state in report["parts"].items() if state != "ok"] == ["server"]


async def test_a_full_house_is_still_ready(parts: Parts) -> None:
    parts.permits.take()
    assert (await parts.health.report())["ready"]


async def test_a_database_that_is_down_is_said_and_waited_for(parts: Parts) -> None:
    parts.database["up"] = False
    report = await parts.health.report()
    assert report["ready"]
    assert report["parts"]["database"] == "down: events wait on disk"


async def test_counters_out_of_reach_are_said_and_requests_without_a_budget_go_on(parts: Parts) -> None:
    parts.budgets["up"] = False
    report = await parts.health.report()
    assert report["ready"]
    assert report["parts"]["budgets"] == "their counters are out of reach"


async def test_one_upstream_that_answers_is_enough(parts: Parts) -> None:
    parts.upstreams["two"] = Probed("two", ConnectionRefused("nobody there"))
    report = await parts.health.report()
    assert report["ready"]
    assert report["upstreams"] == {"one": "ok", "two": "upstream_refused_connection"}


async def test_none_is_not(parts: Parts) -> None:
    parts.upstreams["one"].fault = ConnectionRefused("nobody there")
    report = await parts.health.report()
    assert not report["ready"]
    assert report["parts"]["upstreams"] == "none answers"


async def test_one_that_says_nothing_is_waited_for_briefly(parts: Parts) -> None:
    parts.upstreams["two"] = Probed("two", gate=asyncio.Event())
    assert (await parts.health.report())["upstreams"] == {"one": "ok", "two": "no answer"}


async def test_health_checks_do_not_become_load(parts: Parts) -> None:
    await asyncio.gather(*(parts.health.report() for _ in range(50)))
    await parts.health.report()
    assert parts.upstreams["one"].probes == 1
