"""The client of `streams.py`: holds many streams open in one process, and notes when each token comes.

It reads no JSON: a token is a stamp of the mock upstream, found by its pattern, and an answer ends with `[DONE]`.
So it costs so little that its own delay, which is in all figures, stays small; `lag_ms` says how late it has been
itself.
"""

from __future__ import annotations

import asyncio
import gc
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import cast

import uvloop

from benchmarks.load import quantile
from benchmarks.mock_upstream import STAMP

STALL_MS = 100

_DONE = b"[DONE]"
_LAST_CHUNK = b"0\r\n\r\n"
_TAIL = 32
"""Longer than a stamp or the end: what a read may have cut in two."""
_HEARTBEAT_S = 0.005
_MS = 1_000_000


@dataclass(frozen=True)
class Order:
    """A stream for each of `requests`, begun evenly over `ramp_s`, that shall hold `tokens` tokens.

    What has not ended `within_s` after the start is given up.
    """

    host: str
    port: int
    requests: list[bytes]
    tokens: int
    ramp_s: float
    within_s: float


@dataclass(frozen=True)
class Spread:
    p50: float
    p99: float
    most: float


@dataclass(frozen=True)
class Report:
    """What came of an order: time to the first token, gaps between tokens, and how long tokens were on their way.

    `at_once` is how many streams were open at one time, `upstream_gap_ms` the longest that the mock upstream itself
    let one wait.
    """

    held: int
    failures: dict[str, int]
    at_once: int
    tokens: int
    first_ms: Spread
    gap_ms: Spread
    token_ms: Spread
    stalls: int
    stalled_streams: int
    upstream_gap_ms: float
    lag_ms: float
    took_s: float
    cpu_s: float


@dataclass
class Notes:
    """Of all streams together, in nanoseconds."""

    firsts: array[int] = field(default_factory=lambda: array("q"))
    gaps: array[int] = field(default_factory=lambda: array("q"))
    delays: array[int] = field(default_factory=lambda: array("q"))
    upstream_gap: int = 0
    lag: int = 0
    open: int = 0
    at_once: int = 0


class Stream(asyncio.Protocol):
    """One request on a connection of its own, and its streamed answer."""

    def __init__(self, request: bytes, notes: Notes) -> None:
        self._request = request
        self._notes = notes
        self._sent = self._arrived = self._stamped = 0
        self._rest = b""
        self._status = b""
        self._done = False
        self.over = asyncio.get_running_loop().create_future()
        self.tokens = 0
        self.stalls = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._sent = time.perf_counter_ns()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter_ns()
        self._status = self._status or data[9:12]
        data = self._rest + data
        read_to = 0
        for stamp in STAMP.finditer(data):
            self._note(now, int(stamp[1]))
            read_to = stamp.end()
        self._done = self._done or data.find(_DONE, read_to) >= 0
        if self._done and data.endswith(_LAST_CHUNK):
            self._transport.close()
        self._rest = data[max(read_to, len(data) - _TAIL) :]

    def connection_lost(self, error: Exception | None) -> None:
        if self.tokens:
            self._notes.open -= 1
        if not self.over.done():
            self.over.set_result(None)

    def _note(self, now: int, stamp: int) -> None:
        notes = self._notes
        notes.delays.append(now - stamp)
        if self.tokens:
            gap = now - self._arrived
            notes.gaps.append(gap)
            self.stalls += gap > STALL_MS * _MS
            notes.upstream_gap = max(notes.upstream_gap, stamp - self._stamped)
        else:
            notes.firsts.append(now - self._sent)
            notes.open += 1
            notes.at_once = max(notes.at_once, notes.open)
        self.tokens += 1
        self._arrived, self._stamped = now, stamp

    def failure(self, tokens: int) -> str:
        """Why this stream was not held, or nothing."""
        if self._status not in (b"", b"200"):
            return f"status {self._status.decode(errors='replace')}"
        if not self.over.done():
            return "too late"
        if not self._done:
            return "cut off" if self._status else "no answer"
        return "" if self.tokens == tokens else "tokens missing"


def hold(order: Order) -> Report:
    """Carry out an order. To be called in a process of its own."""
    gc.disable()  # it takes seconds, and a collection would be taken for the system's delay
    try:
        return uvloop.run(_hold(order))
    finally:
        gc.enable()


async def _hold(order: Order) -> Report:
    notes = Notes()
    spent_s = time.process_time()
    heart = asyncio.create_task(_beat(notes))
    streams = [Stream(request, notes) for request in order.requests]
    began = time.perf_counter()
    calls = []
    for index, stream in enumerate(streams):
        await asyncio.sleep(began + index * order.ramp_s / len(streams) - time.perf_counter())
        calls.append(asyncio.create_task(_call(stream, order)))
    await asyncio.wait(calls, timeout=began + order.within_s - time.perf_counter())
    took_s = time.perf_counter() - began
    heart.cancel()
    failures = Counter(stream.failure(order.tokens) for stream in streams)
    held = failures.pop("", 0)
    return Report(
        held=held,
        failures=dict(failures),
        at_once=notes.at_once,
        tokens=len(notes.delays),
        first_ms=_spread(notes.firsts),
        gap_ms=_spread(notes.gaps),
        token_ms=_spread(notes.delays),
        stalls=sum(stream.stalls for stream in streams),
        stalled_streams=sum(stream.stalls > 0 for stream in streams),
        upstream_gap_ms=notes.upstream_gap / _MS,
        lag_ms=notes.lag / _MS,
        took_s=took_s,
        cpu_s=time.process_time() - spent_s,
    )


async def _call(stream: Stream, order: Order) -> None:
    try:
        await asyncio.get_running_loop().create_connection(lambda: stream, order.host, order.port)
    except OSError as error:
        stream.connection_lost(error)
    await stream.over


async def _beat(notes: Notes) -> None:
    """Notes how late this process wakes up."""
    while True:
        due = time.perf_counter_ns() + round(_HEARTBEAT_S * 1000) * _MS
        await asyncio.sleep(_HEARTBEAT_S)
        notes.lag = max(notes.lag, time.perf_counter_ns() - due)


def _spread(nanoseconds: array[int]) -> Spread:
    ordered = [value / _MS for value in sorted(nanoseconds)]
    return Spread(quantile(ordered, 0.5), quantile(ordered, 0.99), ordered[-1] if ordered else 0.0)
