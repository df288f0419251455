"""Takes connections, looks after them, and ends in good order: signals, the address, the shutdown.

The non-obvious decision: connections are accepted here, as many as wait. The event loop's own server takes one in
each round, so that of many clients who come at once the last would see the first ones answered many times before
its turn came.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address

from router.web.asgi import App
from router.web.connection import Connection
from router.web.turn import Turn

log = logging.getLogger("weir")

_BACKLOG = 2048
_MOST_AT_ONCE = 64
_LOOK_S = 1.0
_PAUSE_S = 0.05
_NO_FILES_PAUSE_S = 0.5
_LONGEST_WAIT_S = 0.001
"""That an answer waits for a thread, of which there are few with much to do (5 ms is Python's default)."""


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine only. A name, localhost apart, may stand for any address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 picks a free one. Raises OSError with advice."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        raise OSError(f"{host}:{port} cannot be had: {reason}. Choose others with --host and --port.") from error


def allow_open_files() -> None:
    """As many as the system lets this process have: each stream takes two, and the usual 1,024 are soon used up."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS names a limit that it does not grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Server:
    """Serves `app` at one door until SIGTERM or SIGINT, or `end`; SIGHUP means reload.

    `listening` is told the URL once requests are taken, `closing` that no more will be. Answers under way then have
    `shutdown_s` to end; a second signal ends them at once.
    """

    def __init__(
        self,
        app: App,
        *,
        host: str,
        shutdown_s: float,
        listening: Callable[[str], None],
        reload: Callable[[], None],
        closing: Callable[[], None],
    ) -> None:
        self._app = app
        self._host = host
        self._shutdown_s = shutdown_s
        self._listening = listening
        self._reload = reload
        self._closing = closing
        self._connections: set[Connection] = set()
        self._turns: set[Turn] = set()
        self._welcoming: set[asyncio.Task[object]] = set()
        self._ending = asyncio.Event()
        self._hurrying = False

    def end(self) -> None:
        """Stop in good order; told twice, at once."""
        self._hurrying = self._ending.is_set()
        self._ending.set()

    async def serve(self, door: socket.socket) -> None:
        """Until told to end. `door` listens, and is closed afterwards."""
        loop = asyncio.get_running_loop()
        door.setblocking(False)
        sys.setswitchinterval(_LONGEST_WAIT_S)
        with self._signals(loop):
            gc.collect()
            gc.freeze()  # what a server is made of stays for good: no collection needs to walk through it again
            loop.add_reader(door, self._welcome, door)
            looking = asyncio.create_task(self._look_after())
            self._listening(self._url(door))
            await self._ending.wait()
            self._closing()
            loop.remove_reader(door)
            door.close()
            await self._see_off()
            looking.cancel()

    @contextmanager
    def _signals(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        acts = {signal.SIGTERM: self.end, signal.SIGINT: self.end, signal.SIGHUP: self._reload}
        for number, act in acts.items():
            loop.add_signal_handler(number, act)
        try:
            yield
        finally:
            for number in acts:
                loop.remove_signal_handler(number)

    def _url(self, door: socket.socket) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{door.getsockname()[1]}"

    # --- who comes

    def _welcome(self, door: socket.socket) -> None:
        """Take those who wait at the door, but not so many that those inside would wait for long."""
        loop = asyncio.get_running_loop()
        for _ in range(_MOST_AT_ONCE):
            try:
                client, _ = door.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no file is left: it would be tried again and again
                log.error("no more connections can be taken for now: %s", error)  # noqa: TRY400 - no fault of Weir's
                loop.remove_reader(door)
                loop.call_later(_NO_FILES_PAUSE_S, self._open_again, door)
                return
            client.setblocking(False)
            welcoming = loop.create_task(self._let_in(client))
            self._welcoming.add(welcoming)
            welcoming.add_done_callback(self._welcoming.discard)

    def _open_again(self, door: socket.socket) -> None:
        if not self._ending.is_set():
            asyncio.get_running_loop().add_reader(door, self._welcome, door)

    async def _let_in(self, client: socket.socket) -> None:
        with suppress(OSError):  # gone again
            await asyncio.get_running_loop().connect_accepted_socket(self._connection, client)

    def _connection(self) -> Connection:
        return Connection(self._app, self._connections, self._turns)

    # --- who is there

    async def _look_after(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_S)
            now = loop.time()
            for connection in tuple(self._connections):
                connection.look_over(now)

    async def _see_off(self) -> None:
        """Let answers end, within limits. An answer whose client has left is still read for its bill."""
        for connection in tuple(self._connections):
            connection.end()
        clock = asyncio.get_running_loop().time
        until = clock() + self._shutdown_s
        while self._turns and not self._hurrying and clock() < until:  # noqa: ASYNC110 - one turn may begin another
            await asyncio.sleep(_PAUSE_S)
        tasks = [turn.task for turn in self._turns if turn.task is not None]
        if tasks:
            log.warning("%d answers are cut off: they took too long to end", len(tasks))
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for connection in tuple(self._connections):
            connection.transport.close()
