"""Calls of scripts in Redis: some that requests wait for, and some that only this process does.

The non-obvious decision: those that requests make at the same time travel together, over one connection. A burst of
requests costs a few round trips, not one each, and no request waits for a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from functools import cache
from hashlib import sha1
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis.asyncio import Redis

_MOST_TOGETHER = 64


class Calls:
    """Raises what redis-py raises, and TimeoutError: after `deadline_s` where a request waits, or `patience_s`."""

    def __init__(self, url: str, *, deadline_s: float, patience_s: float) -> None:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        self._quick, self.patient = (
            Redis.from_url(
                url, socket_timeout=patience_s, socket_connect_timeout=patience_s, retry=Retry(NoBackoff(), 0)
            )
            for _ in range(2)
        )
        self._deadline_s = deadline_s
        self.patience_s = patience_s
        self._waiting: list[tuple[list[Any], asyncio.Future[Any]]] = []
        self._travelling: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Open the connection that requests use before one needs it: to open it may take longer than they may."""
        async with asyncio.timeout(self.patience_s):
            await self._quick.ping()

    async def run(self, text: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """The reply of a script, for nobody who waits."""
        async with asyncio.timeout(self.patience_s):
            (reply,) = await _sent(self.patient, [[text, len(keys), *keys, *args]])
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def together(self, text: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """The reply of a script, for a request that waits."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(([text, len(keys), *keys, *args], answer))
        if self._travelling is None or self._travelling.done():
            self._travelling = asyncio.create_task(self._travel(), name="budgets: calls")
        return await answer

    async def close(self) -> None:
        if self._travelling is not None:
            await asyncio.wait([self._travelling], timeout=self._deadline_s)
        for client in (self._quick, self.patient):
            await client.aclose()

    async def _travel(self) -> None:
        while self._waiting:
            some, self._waiting = self._waiting[:_MOST_TOGETHER], self._waiting[_MOST_TOGETHER:]
            try:
                replies = await _within(self._deadline_s, _sent(self._quick, [call for call, _ in some]))
            except Exception as error:  # noqa: BLE001 - it is raised to each that waits
                some, self._waiting = some + self._waiting, []
                replies = [error] * len(some)
            for (_, answer), reply in zip(some, replies, strict=True):
                if answer.done():
                    continue
                if isinstance(reply, Exception):
                    answer.set_exception(reply)
                else:
                    answer.set_result(reply)


async def _within(deadline_s: float, sending: Coroutine[Any, Any, list[Any]]) -> list[Any]:
    """Raises TimeoutError. The last part of the time is waited on its own.

    So a process that was not let run for as long as the deadline still looks whether the answer has come meanwhile.
    """
    task = asyncio.create_task(sending, name="budgets: call")
    for part in (0.8, 0.2):
        done, _ = await asyncio.wait([task], timeout=part * deadline_s)
        if done:
            return task.result()
    task.cancel()
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    raise TimeoutError(f"no answer within {deadline_s:g} s")


async def _sent(client: Redis, calls: Sequence[list[Any]]) -> list[Any]:
    """The replies or errors of `calls`, in one round trip; two where Redis does not know a script yet."""
    from redis.exceptions import NoScriptError

    pipe = client.pipeline(transaction=False)
    for text, *rest in calls:
        pipe.evalsha(_sha(text), *rest)
    replies = await pipe.execute(raise_on_error=False)
    unknown = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if unknown:
        pipe = client.pipeline(transaction=False)
        for place in unknown:
            pipe.eval(*calls[place])
        for place, reply in zip(unknown, await pipe.execute(raise_on_error=False), strict=True):
            replies[place] = reply
    return list(replies)


@cache
def _sha(text: str) -> str:
    return sha1(text.encode()).hexdigest()  # noqa: S324 - how Redis names scripts
