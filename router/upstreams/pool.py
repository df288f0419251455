"""The connections to one server: never more than the bound, the one used last first, calls without one in a row.

The non-obvious decision: a place in the bound belongs to a socket until that is really gone. So nobody counts on
the way out of a failed call, and the next in the row is served by the very event that makes room.
"""

from __future__ import annotations

import asyncio
from collections import deque

from router.upstreams.dialling import Dialler
from router.upstreams.http1 import Connection, NotConnected


class Pool:
    """At most `limit` connections made by `dialler`; one that is not used for `keep_s` seconds is closed.

    It belongs to the loop that runs when it is made.
    """

    def __init__(self, dialler: Dialler, limit: int, keep_s: float = 30.0) -> None:
        self._loop = asyncio.get_running_loop()
        self._dialler = dialler
        self._limit = limit
        self._keep_s = keep_s
        self._open = 0
        """Places taken: by connections, by those being made, and by those about to be."""
        self._all: set[Connection] = set()
        self._idle: list[Connection] = []
        """The one used last at the end. Those that broke stay until somebody looks."""
        self._row: deque[asyncio.Future[Connection | None]] = deque()
        """Who waits: for a connection, or for None, which is a place to make one in."""
        self._pruning: asyncio.TimerHandle | None = None
        self._closed = False
        self._emptied: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        """Connections that are open or being made."""
        return self._open

    async def ask(self, head: bytes, body: bytes, due: float) -> Connection:
        """Send a request; returns the connection, which is to be released, once its answer's headers are in.

        `due`, a moment of the loop's clock, also ends the wait for a connection. Raises TimeoutError, NotConnected,
        NotHTTP, or another OSError where the connection broke: a kept one may have been closed just then.
        """
        connection = self._unused() or await self._take(due)
        try:
            await connection.ask(head, body, due)
        except BaseException:
            self.release(connection)
            raise
        return connection

    def release(self, connection: Connection) -> None:
        """Whoever asked is done. The connection is used again only if its answer came whole."""
        if not connection.reusable:
            connection.abort()  # a place becomes free in _lost
            return
        waiter = self._next_in_row()
        if waiter is not None:
            waiter.set_result(connection)
            return
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        if self._pruning is None:
            self._pruning = self._loop.call_later(self._keep_s, self._prune)

    async def close(self) -> None:
        """Close all connections, also those in use. Returns when their sockets are closed."""
        self._closed = True
        if self._pruning is not None:
            self._pruning.cancel()
        while waiter := self._next_in_row():
            waiter.set_exception(NotConnected("The pool was closed."))
        for connection in list(self._all):
            connection.abort()
        if self._all:
            self._emptied = self._emptied or self._loop.create_future()
            await asyncio.shield(self._emptied)

    def _unused(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.alive:
                return connection
        return None

    async def _take(self, due: float) -> Connection:
        """A connection that had to be made or waited for."""
        while not self._closed:
            if self._open < self._limit:
                self._open += 1
                return await self._dial(due)
            handed = await self._turn(due)
            if handed is None:
                return await self._dial(due)
            if handed.alive:
                return handed
        raise NotConnected("The pool was closed.")

    async def _dial(self, due: float) -> Connection:
        """A new connection, in a place already taken."""
        connection = Connection(self._lost)
        try:
            await self._dialler.dial(connection, due)
        except BaseException:
            self._leave()
            raise
        if self._closed:
            connection.abort()
        if connection.alive:
            self._all.add(connection)
        else:
            self._leave()  # and whoever gets the connection finds out by asking
        return connection

    async def _turn(self, due: float) -> Connection | None:
        """Wait in the row."""
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        self._row.append(waiter)
        try:
            async with asyncio.timeout_at(due):
                return await waiter
        except BaseException:
            if waiter in self._row:
                self._row.remove(waiter)
            elif waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._decline(waiter.result())  # served and cancelled in the same moment
            raise

    def _decline(self, handed: Connection | None) -> None:
        if handed is None:
            self._leave()
        else:
            self.release(handed)

    def _next_in_row(self) -> asyncio.Future[Connection | None] | None:
        while self._row:
            waiter = self._row.popleft()
            if not waiter.done():
                return waiter
        return None

    def _lost(self, connection: Connection) -> None:
        if connection not in self._all:
            return  # it never got as far as being used
        self._all.remove(connection)
        self._leave()
        if self._emptied is not None and not self._all and not self._emptied.done():
            self._emptied.set_result(None)

    def _leave(self) -> None:
        """A place is free: for the first in the row, if there is one."""
        waiter = self._next_in_row()
        if waiter is None:
            self._open -= 1
        else:
            waiter.set_result(None)

    def _prune(self) -> None:
        """Drop what was unused for too long, and look again when the next could be."""
        self._pruning = None
        expired = self._loop.time() - self._keep_s
        old = [connection for connection in self._idle if connection.idle_since <= expired]
        del self._idle[: len(old)]
        for connection in old:
            connection.abort()
        if self._idle:
            self._pruning = self._loop.call_at(self._idle[0].idle_since + self._keep_s, self._prune)
