"""The server's side of the encoder: texts go out over one connection, vectors come back in whatever order.

The encoder is an aid and never a reason to wait: where there is no vector in time there is an EncoderUnavailable,
and after a few of them in a row for a moment there is one at once, so that no request pays for a part that is down.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from contracts.errors import EncoderUnavailable
from encoder.card import EncoderCard
from encoder.recent import RecentVectors
from encoder.wire import Answers, Garbled, Outcome, question

if TYPE_CHECKING:
    from contracts.ports import Vector

log = logging.getLogger("weir.encoder")

_SHORTEST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
_CONNECT_S = 2.0
_FAILURES = 3
"""In a row, of a connected encoder; then it gets a rest."""
_REST_S = 1.0
_MOST_UNSENT = 1 << 20
"""Bytes that an encoder which reads nothing is given."""
_FLOAT = np.dtype("<f4")
_WHY = {
    Outcome.TOO_MANY: "Too many texts are waiting for the encoder.",
    Outcome.LATE: "The encoder has no time for it.",
    Outcome.FAILED: "The encoder failed on the batch that the text was in.",
}


class EncoderClient:
    """The `Encoder` of `contracts.ports`, for the encoder that `card` describes and that listens at `socket`.

    A text waits for `deadline_s` seconds at most, and of this client at most `waiting` texts wait. The vectors of
    recent texts are kept in `recent_bytes` of memory. Belongs to the event loop it is started in.
    """

    def __init__(
        self,
        card: EncoderCard,
        socket: Path,
        *,
        deadline_s: float,
        waiting: int = 128,
        recent_bytes: int = 16 << 20,
    ) -> None:
        self._card = card
        self._socket = socket
        self._deadline_s = deadline_s
        self._most_waiting = waiting
        self._recent = RecentVectors(recent_bytes)
        self._line: _Line | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._rest = _Rest()
        self.encoded = 0
        """Vectors that the encoder sent."""
        self.cached = 0
        """Vectors that were there already."""
        self.failed = 0
        """Texts that got none."""

    @property
    def version(self) -> str:
        return self._card.version

    @property
    def dimensions(self) -> int:
        return self._card.dimensions

    @property
    def up(self) -> bool:
        """Whether a text sent now can be expected to get its vector."""
        return self._line is not None and self._line.ready and not self._rest.resting

    @property
    def waiting(self) -> int:
        return 0 if self._line is None else len(self._line.waiting)

    def start(self) -> None:
        """Returns at once; the encoder is connected to in the background, and again whenever it was lost."""
        self._keeper = asyncio.create_task(self._keep_connected(), name="encoder's connection")

    async def close(self) -> None:
        """Whoever waits is told that there is no encoder."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper

    async def encode(self, text: str) -> Vector:
        """Float32 (dimensions,), read-only. Raises EncoderUnavailable, after `deadline_s` at the latest."""
        text = self._card.readable(text)
        known = self._recent.find(text)
        if known is not None:
            self.cached += 1
            return known
        try:
            vector = await self._ask(text)
        except EncoderUnavailable:
            self.failed += 1
            raise
        self.encoded += 1
        self._recent.keep(text, vector)
        return vector

    async def _ask(self, text: str) -> Vector:
        line = self._line
        if line is None or not line.ready:
            raise EncoderUnavailable("There is no connection to the encoder.")
        if len(line.waiting) >= self._most_waiting:
            raise EncoderUnavailable(_WHY[Outcome.TOO_MANY])
        trial = self._rest.begin()
        try:
            vector = await line.ask(text, self._deadline_s)
        except EncoderUnavailable:
            self._rest.failure()
            raise
        else:
            self._rest.success()
            return vector
        finally:
            if trial:
                self._rest.trial_over()

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s = _SHORTEST_PAUSE_S
        while True:
            line = _Line(self._card)
            try:
                async with asyncio.timeout(_CONNECT_S):
                    await loop.create_unix_connection(partial(_same, line), str(self._socket))
                self._line = line
                await line.lost.wait()
            except OSError:  # a timeout is one too
                pass  # it is starting, or gone; whoever asks is told so
            finally:
                self._line = None
                line.close()
            if line.ready:
                pause_s = _SHORTEST_PAUSE_S
                self._rest.success()  # what failed was the one that is gone
            await asyncio.sleep(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)


class _Line(asyncio.Protocol):
    """One connection, for as long as it holds."""

    def __init__(self, card: EncoderCard) -> None:
        self.waiting: dict[int, asyncio.Future[Vector]] = {}
        self.lost = asyncio.Event()
        self._answers = Answers(card)
        self._numbers = count()
        self._transport: asyncio.Transport | None = None

    @property
    def ready(self) -> bool:
        """Whether it is, or was, the right encoder's."""
        return self._answers.greeted

    async def ask(self, text: str, deadline_s: float) -> Vector:
        """Raises EncoderUnavailable."""
        if self._transport is None:
            raise EncoderUnavailable("The connection to the encoder was lost.")
        if self._transport.get_write_buffer_size() > _MOST_UNSENT:
            raise EncoderUnavailable(_WHY[Outcome.TOO_MANY])
        number = next(self._numbers)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Vector] = loop.create_future()
        self.waiting[number] = answer
        clock = loop.call_later(
            deadline_s, _refuse, answer, f"The encoder did not answer within {1000 * deadline_s:g} ms."
        )
        self._transport.write(question(number, time.monotonic() + deadline_s, text))
        try:
            return await answer
        finally:
            clock.cancel()
            del self.waiting[number]

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            for number, outcome, vector in self._answers.feed(data):
                answer = self.waiting.get(number)  # none, where it came too late
                if answer is None or answer.done():
                    continue
                if outcome is Outcome.VECTOR:
                    answer.set_result(np.frombuffer(vector, _FLOAT))
                else:
                    _refuse(answer, _WHY[outcome])
        except (Garbled, ValueError) as error:
            log.warning("the encoder's socket cannot be used: %s", error)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.lost.set()
        for answer in self.waiting.values():
            _refuse(answer, "The connection to the encoder was lost.")


class _Rest:
    """The breaker: after a few failures in a row nothing is asked for a moment, then one text is, as a trial."""

    def __init__(self) -> None:
        self._failures = 0
        self._until = 0.0
        self._trial = False

    @property
    def resting(self) -> bool:
        return self._failures >= _FAILURES and time.monotonic() < self._until

    def begin(self) -> bool:
        """Whether what begins now is the trial. Raises EncoderUnavailable where nothing may begin."""
        if self._failures < _FAILURES:
            return False
        if self._trial or self.resting:
            raise EncoderUnavailable(
                f"The encoder failed {_FAILURES} times in a row and is not asked for a moment.",
                retry_after_s=_REST_S,
            )
        self._trial = True
        return True

    def trial_over(self) -> None:
        self._trial = False

    def success(self) -> None:
        self._failures = 0

    def failure(self) -> None:
        self._failures += 1
        self._until = time.monotonic() + _REST_S


def _same(line: _Line) -> _Line:
    return line


def _refuse(answer: asyncio.Future[Vector], why: str) -> None:
    if not answer.done():
        answer.set_exception(EncoderUnavailable(why))
