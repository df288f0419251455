"""The encoder as a process of its own: a Unix socket, behind it one session, and for it one core.

In the server's process every answer would wait while a text is encoded. Here questions of all workers wait in one
queue, and whatever waits when the session is free makes the next batch: alone it costs nobody any time, and under
load batches grow by themselves. It is all one thread: what comes in during a batch waits in the socket.

It reads its settings as one line of JSON from standard input and goes on until that input ends. There is one for
each socket at a time. A second one stands by, without the network in its memory, and takes over when the first has
ended.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import orjson

from encoder.card import EncoderFault
from encoder.wire import Garbled, Outcome, Question, Questions, answer, greeting
from system.files import try_lock

if TYPE_CHECKING:
    from encoder.session import Session, Vectors

log = logging.getLogger("weir.encoder")

_TURN_S = 0.25
_UNUSABLE = 1
_MOST_CHARACTERS = 4096  # in a batch: about as long as one text may be


def main() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # meant for the server, whose end is this one's too
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = orjson.loads(sys.stdin.buffer.readline())
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    logging.getLogger("weir").setLevel(settings["log_level"])
    try:
        asyncio.run(_work(settings))
    except EncoderFault as error:
        log.error("no text can be encoded: %s", error)  # noqa: TRY400 - the message says it all
        sys.exit(_UNUSABLE)


async def _work(settings: dict[str, Any]) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _look, ended)
    socket = Path(settings["socket"])
    lock = os.open(socket.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while not try_lock(lock):
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), _TURN_S)
        if ended.is_set():
            return
    from encoder.session import Session  # late, for those that stand by: it is most of their memory

    desk = _Desk(Session(Path(settings["folder"]), settings["backend"]), settings["batch"], settings["waiting"])
    os.umask(0o177)
    # One that was killed may have left its socket behind: asyncio clears it away.
    server = await asyncio.get_running_loop().create_unix_server(lambda: _Client(desk), socket)
    async with server:
        await ended.wait()
        _remove(socket)
        desk.close()


def _remove(socket: Path) -> None:
    socket.unlink(missing_ok=True)


def _look(ended: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        ended.set()
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())


class _Desk:
    """The queue of all clients' questions, at most `waiting` of them, and the work on it, `batch` at a time."""

    def __init__(self, session: Session, batch: int, waiting: int) -> None:
        self.card = session.card
        self.clients: set[_Client] = set()
        self._session = session
        self._batch = batch
        self._most_waiting = waiting
        self._queue: deque[tuple[_Client, Question]] = deque()
        self._at_work = False

    def take(self, client: _Client, question: Question) -> None:
        if len(self._queue) >= self._most_waiting:
            client.reply(question.number, Outcome.TOO_MANY)
            return
        self._queue.append((client, question))
        if not self._at_work:
            self._at_work = True
            asyncio.get_running_loop().call_soon(self._work)  # after the other sockets that have something

    def close(self) -> None:
        for client in tuple(self.clients):
            client.close()

    def _work(self) -> None:
        """One batch; then whatever has come in since, before the next."""
        batch = self._next()
        try:
            for places, rows in self._session.parts([question.text for _, question in batch]):
                _hand_out(batch, places, rows)
        except Exception:  # of onnxruntime's own; nobody is to wait for an answer that does not come
            log.exception("a batch of %d texts could not be encoded", len(batch))
            for client, question in batch:
                client.reply(question.number, Outcome.FAILED)
        self._at_work = bool(self._queue)
        if self._at_work:
            asyncio.get_running_loop().call_soon(self._work)

    def _next(self) -> list[tuple[_Client, Question]]:
        """The next that are worth the work: still waited for, and together no longer than the longest text."""
        now = time.monotonic()
        batch: list[tuple[_Client, Question]] = []
        characters = 0
        while self._queue and len(batch) < self._batch:
            client, question = self._queue[0]
            characters += len(question.text)
            if batch and characters > _MOST_CHARACTERS:
                break
            self._queue.popleft()
            if question.until <= now:
                client.reply(question.number, Outcome.LATE)
                characters -= len(question.text)
            else:
                batch.append((client, question))
        return batch


def _hand_out(batch: Sequence[tuple[_Client, Question]], places: Sequence[int], rows: Vectors) -> None:
    for place, row in zip(places, rows.astype("<f4", copy=False), strict=True):
        client, question = batch[place]
        client.reply(question.number, Outcome.VECTOR, row.tobytes())


class _Client(asyncio.Protocol):
    def __init__(self, desk: _Desk) -> None:
        self._desk = desk
        self._questions = Questions(desk.card)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._desk.clients.add(self)
        self._transport.write(greeting(self._desk.card))

    def data_received(self, data: bytes) -> None:
        try:
            for question in self._questions.feed(data):
                self._desk.take(self, question)
        except Garbled as error:
            log.warning("a client sent what is no question (%s) and is let go", error)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._desk.clients.discard(self)
        self._transport = None

    def reply(self, number: int, outcome: Outcome, vector: bytes = b"") -> None:
        if self._transport is not None:
            self._transport.write(answer(number, outcome, vector))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


if __name__ == "__main__":
    main()
