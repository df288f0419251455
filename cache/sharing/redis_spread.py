"""Changes among nodes on many machines, through a stream in Redis. A fresh node is warm from its last messages.

The non-obvious decision: a missed invalidation is worse than a cold cache. Whatever may have been missed (the
stream was trimmed before this node read it, Redis lost it, revisions were counted here while Redis could not be
reached) makes all that this node has stale, with a revision above all others. What must be told is kept until it
can be; answers that could not be told at once are not.

What Redis may hold: `length` messages of at most `max_record_bytes`. It needs no persistence, but a Redis that
starts empty makes every node's cache stale once.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

from cache.freshness import EVERYONE, EVERYTHING
from cache.sharing.changes import Change, Invalidated, Kept, Seen
from cache.sharing.redis_stream import Message, Missed, RedisStream
from cache.sharing.spread import Outbox, Position, apply_safely

log = logging.getLogger("weir.cache")

_BATCH, _BATCH_BYTES = 64, 512 * 1024
_READ_MOST = 64
_MOST_GRANTED = 10_000
_WAIT_MS = 1_000
_SEEN_S = 1.0
_CONNECT_S = 1.0
_PATIENCE_S = 2.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 5.0


class RedisSpread:
    """A `Spread`. `url` as redis-py takes it; `name` is that of the cache which nodes share.

    `replay` messages are read by a node that has nothing yet; `deadline_s` is how long telling a batch may take.
    `missed` counts how often all became stale here, `failed` faults of the connection.

    Raises ModuleNotFoundError without the extra `redis`, ValueError for a URL that is none.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str = "weir:cache",
        replay: int = 10_000,
        length: int = 20_000,
        max_record_bytes: int = 256 * 1024,
        deadline_s: float = 0.05,
        outbox: Outbox | None = None,
    ) -> None:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError

        self.sent = 0
        self.received = 0
        self.failed = 0
        self.missed = 0
        self._replay = replay
        self._max_record_bytes = max_record_bytes
        self._deadline_s = deadline_s
        self._outbox = Outbox() if outbox is None else outbox
        self._faults = (RedisError, OSError, TimeoutError, Missed)
        writer, reader = (
            Redis.from_url(
                url,
                socket_timeout=timeout_s,
                socket_connect_timeout=_CONNECT_S,
                retry=Retry(NoBackoff(), 0),
            )
            for timeout_s in (_CONNECT_S, _WAIT_MS / 1000 + _CONNECT_S)
        )
        self._clients = (writer, reader)
        self._stream = RedisStream(writer, reader, name, length=length)
        self._writing = asyncio.Lock()
        """One after the other on one connection: opening another may take longer than a deadline."""
        self._node = uuid4().hex
        self._apply: Callable[[Change], None] = lambda _: None
        self._position: Position | None = None
        self._revision = 0
        self._floor = 0
        """Answers whose requests began before this revision are of before something that was missed."""
        self._first = False
        """The next message is the first of those that a fresh node is warmed with, wherever the stream begins."""
        self._alone = 0
        """How many revisions were counted here since others could be asked."""
        self._missed = False
        self._broken = False
        self._granted: set[int] = set()
        self._joined = asyncio.Event()
        self._hurry = asyncio.Event()
        self._said = Seen(position="", revision=0)
        self._said_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def up(self) -> bool:
        return self._joined.is_set()

    @property
    def lost(self) -> int:
        return self._outbox.lost

    def start(self, apply: Callable[[Change], None], *, position: str = "", revision: int = 0) -> None:
        self._apply = apply
        self._revision = revision
        self._position = Position.parse(position) if position else None
        self._tasks = [
            asyncio.create_task(self._listen(), name="cache spread: listen"),
            asyncio.create_task(self._tell(), name="cache spread: tell"),
        ]

    def publish(self, change: Change) -> None:
        numbered = False
        if isinstance(change, Invalidated):
            numbered = change.revision in self._granted
            self._granted.discard(change.revision)
            self._revision = max(self._revision, change.revision)
        elif isinstance(change, Kept) and (not self.up or self._refuses(change)):
            self._outbox.lost += 1
            return
        if self._outbox.put(change, numbered=numbered):
            self._hurry.set()

    async def next_revision(self) -> int:
        """Where Redis was reached until now, it is asked once more before revisions are counted here."""
        if self.up:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_S):
                    return await self._granted_revision()
        self._alone += 1
        self._revision += 1
        return self._revision

    async def stop(self) -> None:
        running = set(self._tasks)
        while running:  # redis-py may swallow a cancellation that meets one of its own timeouts
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=self._deadline_s)
        await self._tell_waiting()
        self._said_at = -_SEEN_S
        self._say_seen()
        self._joined.clear()
        for client in self._clients:
            with suppress(*self._faults):
                await client.aclose()

    async def _granted_revision(self) -> int:
        while True:
            await self._joined.wait()
            assert self._position is not None  # noqa: S101 - joining sets it
            try:
                async with self._writing, asyncio.timeout(self._deadline_s):
                    given = await self._stream.next_revision(self._position.epoch, self._revision)
            except self._faults as error:
                self._failed(error)
                continue
            if len(self._granted) >= _MOST_GRANTED:  # and never told; what is, gets a new number then
                self._granted.clear()
            self._granted.add(given)
            self._revision = max(self._revision, given)
            return given

    def _refuses(self, kept: Kept) -> bool:
        size = len(kept.body) + len(kept.facts) + len(kept.vector) + len(kept.text)
        return size > self._max_record_bytes or kept.revision < self._floor

    # --- to others

    async def _tell(self) -> None:
        while True:
            await self._hurry.wait()
            await self._joined.wait()
            self._hurry.clear()
            await self._tell_waiting()
            if self._outbox:
                self._hurry.set()

    async def _tell_waiting(self) -> None:
        while self._outbox and self.up and self._position is not None:
            async with self._writing:
                parcels = self._outbox.take(_BATCH, _BATCH_BYTES)
                try:
                    async with asyncio.timeout(self._deadline_s):
                        revision = await self._stream.tell(
                            parcels, self._node, self._position.epoch, self._revision
                        )
                except self._faults as error:
                    self._outbox.put_back(parcels)
                    self._failed(error)
                except asyncio.CancelledError:
                    self._outbox.put_back(parcels)
                    raise
                else:
                    self._revision = max(self._revision, revision)
                    self.sent += len(parcels)

    # --- from others

    async def _listen(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                await self._join()
                while self.up:
                    await self._read()
                    pause_s = _FIRST_PAUSE_S
            except self._faults as error:
                self._missed = self._missed or isinstance(error, Missed)
                self._failed(error)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - nodes do not come back all at once
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _join(self) -> None:
        alone, missed = self._alone, self._missed
        async with self._writing, asyncio.timeout(_CONNECT_S):
            found = await self._stream.join(self._position, self._revision, missed=missed or alone > 0)
        self._alone -= alone
        self._missed = False
        self._revision = max(self._revision, found.revision)
        self._outbox.put_back([])
        if found.missed:
            self.missed += 1
            self._position, self._floor, self._first = found.end, found.revision, False
            apply_safely(self._apply, Invalidated(owner=EVERYONE, tag=EVERYTHING, revision=found.revision))
            # So that what the others keep from now on counts as fresh here.
            self._outbox.put(Seen(position="", revision=found.revision))
            self._hurry.set()
        elif self._position is None:
            self._position = Position(found.end.epoch, max(0, found.end.number - self._replay))
            self._first = self._position.number < found.end.number
        elif self._position.epoch != found.end.epoch:  # from the beginning
            self._position = Position(found.end.epoch, self._position.number)
        self._say_seen()
        if self._alone:  # meanwhile
            return
        if self._broken:
            self._broken = False
            log.warning("other nodes' caches are reached through Redis again")
        self._joined.set()

    async def _read(self) -> None:
        assert self._position is not None  # noqa: S101 - joining sets it
        messages = await self._stream.read(self._position, _READ_MOST, _WAIT_MS)
        for message in messages:
            self._hear(message)
        self._say_seen()

    def _hear(self, message: Message) -> None:
        position, before = message.position, self._position
        if before is None or position.epoch != before.epoch:
            raise Missed
        if self._first:
            self._first = False
            if position.number > 1:  # what was invalidated before is not known here
                self._floor = message.revision
                apply_safely(self._apply, Invalidated(owner=EVERYONE, tag=EVERYTHING, revision=message.revision))
        elif position.number != before.number + 1:
            raise Missed
        self._position = position
        self._revision = max(self._revision, message.revision)
        if message.node == self._node:
            return
        change = message.change
        if change is None:
            raise Missed  # of a later Weir: whatever it says, this one cannot do it
        if isinstance(change, Seen):
            return  # for its revision alone
        if isinstance(change, Kept) and self._refuses(change):
            return
        self.received += 1
        apply_safely(self._apply, change)

    def _say_seen(self) -> None:
        """Once a second at most, unless there is a new revision: who starts anew from earlier hears some again."""
        if self._position is None:
            return
        seen = Seen(position=str(self._position), revision=self._revision)
        now = asyncio.get_running_loop().time()
        if seen.revision > self._said.revision or (seen != self._said and now - self._said_at >= _SEEN_S):
            self._said, self._said_at = seen, now
            apply_safely(self._apply, seen)

    def _failed(self, error: BaseException) -> None:
        self.failed += 1
        self._joined.clear()
        if isinstance(error, Missed):
            log.warning("changes of other nodes were missed: what is cached here counts as stale")
        elif not self._broken:
            self._broken = True
            log.error("other nodes' caches cannot be reached through Redis; tried again until they can: %s", error)
