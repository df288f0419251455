"""Nodes that hear of each other through a real Redis, which is also killed, emptied and trimmed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from redis.asyncio import Redis

from cache.freshness import EVERYONE, EVERYTHING, Freshness
from cache.sharing.changes import Change, Dropped, Invalidated, Kept, Quarantined, Seen
from cache.sharing.redis_spread import RedisSpread
from cache.sharing.spread import FROM_THE_BEGINNING, Outbox
from tests.redis_process import RedisProcess, redis_program

REDIS = os.environ.get("WEIR_TEST_REDIS", "redis://127.0.0.1:6379")

pytestmark = pytest.mark.redis


class Shared(str):
    """The URL of a Redis, and the name of a cache in it that nobody else uses."""

    name: str


@pytest.fixture
async def url() -> AsyncIterator[Shared]:
    client = Redis.from_url(REDIS, socket_connect_timeout=5)
    shared = Shared(REDIS)
    shared.name = f"weir:test:{uuid4().hex}"
    try:
        await client.ping()
    except (OSError, redis.RedisError) as error:
        await client.aclose()
        unavailable(f"no Redis at {REDIS} ({error}); start one there or set WEIR_TEST_REDIS")
    yield shared
    await client.delete(f"{{{shared.name}}}:changes", f"{{{shared.name}}}:counters")
    await client.aclose()


class Server(RedisProcess):
    """One that a cache's name goes with."""

    @property
    def shared(self) -> Shared:
        url = Shared(self.url)
        url.name = "weir:cache"
        return url


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(redis_program(), tmp_path)
    server.start()
    yield server
    server.kill()


def unavailable(reason: str) -> Any:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class Node:
    """A replica: a spread, what it heard, and what that means for answers."""

    def __init__(self, url: Shared, **options: Any) -> None:
        self.heard: list[Change] = []
        self.position = ""
        self.freshness = Freshness()
        # A deadline that only a dead Redis misses, however busy this machine is.
        self.spread = RedisSpread(url, name=url.name, **{"deadline_s": 1.0, **options})

    def apply(self, change: Change) -> None:
        if isinstance(change, Seen):
            self.position = change.position
            self.freshness.revision = max(self.freshness.revision, change.revision)
            return
        self.heard.append(change)
        if isinstance(change, Invalidated):
            self.freshness.invalidate(change.owner, change.tag, change.revision)

    async def invalidate(self, tag: str) -> Invalidated:
        revision = await self.spread.next_revision()
        self.freshness.invalidate("acme", tag, revision)
        change = Invalidated(owner="acme", tag=tag, revision=revision)
        self.spread.publish(change)
        return change

    def keep(self, key: bytes = b"k", tag: str = "a", size: int = 10) -> Kept:
        """An answer whose request begins now."""
        return Kept(
            key=key,
            body=b"b" * size,
            facts=b"[]",
            stored_at=1.0,
            expires_at=2e9,
            revision=self.freshness.revision,
            owner="acme",
            writer="key_1",
            tags=(tag,),
        )

    def stale(self, kept: Kept) -> bool:
        return self.freshness.is_stale(kept.owner, kept.tags, kept.revision)


@asynccontextmanager
async def node(url: Shared, position: str = "", revision: int = 0, **options: Any) -> AsyncIterator[Node]:
    node = Node(url, **options)
    node.freshness.revision = revision
    node.spread.start(node.apply, position=position, revision=revision)
    try:
        yield node
    finally:
        await node.spread.stop()


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - other tasks make it true
            await asyncio.sleep(0.002)


def everything(change: Change) -> bool:
    return isinstance(change, Invalidated) and (change.owner, change.tag) == (EVERYONE, EVERYTHING)


async def test_others_hear_all_in_order_and_nobody_hears_itself(url: Shared) -> None:
    async with node(url) as one, node(url) as other:
        await until(lambda: one.spread.up and other.spread.up)
        told: list[Change] = [one.keep(), await one.invalidate("a"), Dropped(key=b"k"), Quarantined(key=b"q")]
        told[0], told[1] = told[1], told[0]
        for change in told[1:]:
            one.spread.publish(change)
        await until(lambda: len(other.heard) == 4)
        assert other.heard == told
        back = await other.invalidate("b")
        await until(lambda: one.heard)
        assert one.heard == [back]
        assert (one.spread.sent, one.spread.received, one.spread.lost, one.spread.failed) == (4, 1, 0, 0)


async def test_revisions_are_given_once(url: Shared) -> None:
    async with node(url) as one, node(url) as other:
        await until(lambda: one.spread.up and other.spread.up)
        given = await asyncio.gather(*(spread.next_revision() for spread in (one.spread, other.spread) * 20))
        assert sorted(given) == list(range(1, 41))


async def test_a_fresh_node_is_warm_and_knows_what_was_invalidated(url: Shared) -> None:
    async with node(url) as one:
        await until(lambda: one.spread.up)
        old = one.keep(b"old")
        one.spread.publish(old)
        await one.invalidate("a")
        new = one.keep(b"new")
        one.spread.publish(new)
        await until(lambda: one.spread.sent == 3)
        async with node(url) as fresh:
            await until(lambda: len(fresh.heard) == 3)
            assert fresh.stale(old)
            assert not fresh.stale(new)
            assert not any(everything(change) for change in fresh.heard)


async def test_a_fresh_node_takes_the_last_ones_and_nothing_that_it_cannot_judge(url: Shared) -> None:
    async with node(url) as one:
        await until(lambda: one.spread.up)
        early = one.keep(b"early", tag="a")
        await one.invalidate("a")
        late = one.keep(b"late", tag="a")
        for change in (early, late, *(one.keep(b"%d" % number) for number in range(5))):
            one.spread.publish(change)
        await until(lambda: one.spread.sent == 8)
        async with node(url, replay=7) as fresh:
            await until(lambda: len(fresh.heard) == 7)
            assert everything(fresh.heard[0])
            assert fresh.heard[1] == late
            assert fresh.stale(early)
            assert not any(fresh.stale(change) for change in fresh.heard[1:] if isinstance(change, Kept))


async def test_a_restart_hears_what_was_told_meanwhile_and_no_more(url: Shared) -> None:
    async with node(url) as one:
        await until(lambda: one.spread.up)
        async with node(url) as other:
            first = await one.invalidate("a")
            await until(lambda: first in other.heard)
            mine = other.keep()
        missed = await one.invalidate("b")
        await until(lambda: one.spread.sent == 2)
        async with node(url, position=other.position, revision=other.freshness.revision) as again:
            await until(lambda: again.heard)
            assert again.heard == [missed]
            assert not again.stale(mine)


@pytest.mark.parametrize("known", [True, False])
async def test_who_was_away_too_long_takes_all_for_stale_and_fills_again(url: Shared, known: bool) -> None:
    client = Redis.from_url(REDIS)
    async with node(url) as one:
        await until(lambda: one.spread.up)
        async with node(url) as other:
            first = await one.invalidate("a")
            await until(lambda: first in other.heard)
            mine = other.keep()
        await one.invalidate("b")
        async with node(url) as witness:
            await until(lambda: witness.spread.up)
            witness.spread.publish(Dropped(key=b"k"))
            await until(lambda: one.heard)
        await client.xtrim(f"{{{url.name}}}:changes", maxlen=0)
        await client.aclose()
        position = other.position if known else FROM_THE_BEGINNING
        async with node(url, position=position, revision=other.freshness.revision) as again:
            await until(lambda: again.heard)
            assert [everything(change) for change in again.heard] == [True]
            assert again.stale(mine)
            assert again.spread.missed == 1
            await until(lambda: one.freshness.revision == again.freshness.revision)
            fresh = one.keep(b"fresh")
            one.spread.publish(fresh)
            await until(lambda: fresh in again.heard)
            assert not again.stale(fresh)


async def test_who_begins_with_all_of_the_stream_is_not_stale(url: Shared) -> None:
    async with node(url) as one:
        await until(lambda: one.spread.up)
        told = await one.invalidate("a")
        await until(lambda: one.spread.sent)
        async with node(url, position=FROM_THE_BEGINNING) as other:
            await until(lambda: other.heard)
            assert other.heard == [told]
            assert other.spread.missed == 0


async def test_messages_lost_while_listening_make_all_stale(url: Shared) -> None:
    client = Redis.from_url(REDIS)
    async with node(url) as one, node(url) as other:
        await until(lambda: one.spread.up and other.spread.up)
        mine = other.keep()
        # As when the stream is trimmed faster than this node reads: a number is taken, its message never seen.
        await client.hincrby(f"{{{url.name}}}:counters", "number", 1)
        told = await one.invalidate("b")
        await until(lambda: other.spread.missed)
        assert other.stale(mine)
        await until(lambda: one.spread.missed and one.spread.up and other.spread.up)
        later = await one.invalidate("c")
        assert later.revision > told.revision
        await until(lambda: later in other.heard)
    await client.aclose()


async def test_what_nobody_understands_makes_all_stale(url: Shared) -> None:
    client = Redis.from_url(REDIS)
    async with node(url) as one:
        await until(lambda: one.position)
        epoch = one.position.partition("-")[0]
        await client.hset(f"{{{url.name}}}:counters", "number", "1")
        fields: dict[Any, Any] = {"n": "other", "r": "0", "c": b"\xc1"}
        await client.xadd(f"{{{url.name}}}:changes", fields, id=f"{epoch}-1")
        await until(lambda: one.spread.missed)
        assert everything(one.heard[-1])
    await client.aclose()


async def test_large_answers_are_for_one_node_only(url: Shared) -> None:
    async with node(url, max_record_bytes=1_000) as one, node(url) as other:
        await until(lambda: one.spread.up and other.spread.up)
        one.spread.publish(one.keep(size=2_000))
        assert one.spread.lost == 1
        small = one.keep(size=20)
        one.spread.publish(small)
        other.spread.publish(other.keep(size=2_000))
        seen = Dropped(key=b"last")
        other.spread.publish(seen)
        await until(lambda: small in other.heard and seen in one.heard)
        assert one.heard == [seen]


async def test_the_stream_has_a_bound(url: Shared) -> None:
    client = Redis.from_url(REDIS)
    async with node(url, length=1_000) as one, node(url) as other:
        await until(lambda: one.spread.up and other.spread.up)
        for number in range(3_000):
            one.spread.publish(Dropped(key=b"%d" % number))
            if number % 100 == 99:
                await until(lambda number=number: len(other.heard) == number + 1)
        assert await client.xlen(f"{{{url.name}}}:changes") <= 1_200
    await client.aclose()


async def test_a_redis_that_restarts_empty_takes_no_revision_back(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async with node(server.shared) as one, node(server.shared) as other:
        await until(lambda: one.spread.up and other.spread.up)
        for _ in range(5):
            last = await one.invalidate("a")
        await until(lambda: last in other.heard)
        mine = other.keep()
        server.kill()
        await until(lambda: not one.spread.up and not other.spread.up)
        assert not other.stale(mine)
        server.start()
        await until(lambda: one.spread.up and other.spread.up)
        assert one.spread.missed == other.spread.missed == 1
        assert other.stale(mine)
        later = await one.invalidate("b")
        assert later.revision > last.revision
        await until(lambda: later in other.heard)
        await until(lambda: one.freshness.revision == other.freshness.revision)
        fresh = one.keep(b"fresh")
        one.spread.publish(fresh)
        await until(lambda: fresh in other.heard)
        assert not other.stale(fresh)
    messages = [record.getMessage() for record in caplog.records if "cannot be reached" in record.getMessage()]
    assert len(messages) == 2  # once for each node


async def test_a_dead_redis_stops_nobody_and_what_was_told_is_heard_later(server: Server) -> None:
    server.kill()
    async with node(server.shared) as one, node(server.shared) as other:
        mine = other.keep()
        told = await one.invalidate("a")
        assert told.revision == 1
        one.spread.publish(one.keep())
        assert one.spread.lost == 1
        assert not one.spread.up
        server.start()
        await until(lambda: any(isinstance(change, Invalidated) and change.tag == "a" for change in other.heard))
        assert other.stale(mine)
        assert [everything(change) for change in one.heard] == [True]


async def test_a_revision_counted_alone_hides_none_of_another_node(url: Shared) -> None:
    """Both come to 1, for different tags; one has an answer of after its own and of before the other's."""
    async with node(url) as one:
        await until(lambda: one.spread.up)
        assert (await one.invalidate("a")).revision == 1
        await until(lambda: one.spread.sent)
        async with node(url) as other:
            assert not other.spread.up  # there was no time to be
            assert (await other.invalidate("b")).revision == 1
            mine = other.keep(tag="a")
            assert mine.revision == 1
            await until(lambda: other.stale(mine))


async def test_a_redis_that_hangs_meets_the_deadline(server: Server) -> None:
    async with node(server.shared, deadline_s=0.05) as one:
        await until(lambda: one.spread.up)
        server.send(signal.SIGSTOP)
        told = Dropped(key=b"k")
        one.spread.publish(told)
        await until(lambda: not one.spread.up)
        assert await one.spread.next_revision() == 1
        server.send(signal.SIGCONT)
        await until(lambda: one.spread.sent)


async def test_too_much_to_tell_becomes_one_invalidation_of_everything(server: Server) -> None:
    server.kill()
    async with node(server.shared, outbox=Outbox(most=10)) as one, node(server.shared) as other:
        mine = other.keep()
        for number in range(100):
            one.spread.publish(Dropped(key=b"%d" % number))
        server.start()
        await until(lambda: any(everything(change) for change in other.heard))
        assert other.stale(mine)


async def test_who_never_reached_redis_has_no_position(server: Server) -> None:
    server.kill()
    async with node(server.shared) as one:
        pass
    assert one.position == ""


async def test_stopping_tells_what_waits(url: Shared) -> None:
    async with node(url) as other:
        async with node(url) as one:
            await until(lambda: one.spread.up and other.spread.up)
            told = Dropped(key=b"k")
            one.spread.publish(told)
        await until(lambda: told in other.heard)


def test_a_url_that_is_none_says_so() -> None:
    with pytest.raises(ValueError, match="URL"):
        RedisSpread("localhost:6379")
