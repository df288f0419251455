"""What a worker is given by the parent that forked it: a door to listen on, and a line to the parent.

The line is a pair of connected sockets. What one end says is a line of text each time; that the other end is gone
is seen as the end of input, however it went.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import orjson

from router.server import listen

Word = Literal["reload", "publish"]
"""What workers ask of each other: read the configuration again, write your metrics down."""

_BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Station:
    """The place of one of several workers. `replaces`: another one stood here before, and died."""

    worker: int
    workers: int
    door: socket.socket
    line: socket.socket
    replaces: bool

    def tell(self, word: Word) -> None:
        """Have all other workers do so."""
        self._say(word)

    def listening(self, url: str) -> None:
        """Say that requests are taken now."""
        self._say("listening", url)

    def failed(self, reason: str) -> None:
        """Say why this worker cannot serve."""
        self._say("failed", reason)

    def attend(self, acts: Mapping[Word, Callable[[], None]], *, end: Callable[[], None]) -> None:
        """Do what is told, in the running loop, and `end` when the parent is gone."""
        loop = asyncio.get_running_loop()

        def hear() -> None:
            try:
                heard = self.line.recv(4096)
            except ConnectionResetError:  # the parent died without having read all that it was told
                heard = b""
            for word, act in acts.items():
                if word.encode() in heard.split():  # once, if it was said twice
                    act()
            if not heard:
                loop.remove_reader(self.line)
                end()

        loop.add_reader(self.line, hear)

    def _say(self, word: str, text: str = "") -> None:
        with suppress(OSError):  # the parent is gone, and soon this worker will be
            self.line.sendall(orjson.dumps([word, text], option=orjson.OPT_APPEND_NEWLINE))


def doors(host: str, port: int, number: int) -> list[socket.socket]:
    """A listening socket for each worker, all on one address. Raises OSError with advice.

    The first is bound alone, so that an address which another Weir shares among its workers counts as taken. Where
    the system does not spread connections over the sockets of one address, all workers accept from the same.
    """
    first = listen(host, port)
    if not sys.platform.startswith("linux"):
        return [first] * number
    first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    address, family = first.getsockname(), first.family
    more = (
        socket.create_server(address, family=family, backlog=_BACKLOG, reuse_port=True) for _ in range(1, number)
    )
    return [first, *more]
