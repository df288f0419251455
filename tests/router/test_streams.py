"""A relayed stream settles once, and before its end; whatever becomes of the client, the model or the ledger."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from contracts.errors import Abandoned, LedgerUnavailable, StreamCut, WeirError
from router.delivery import Tee
from router.exchange import Exchange
from router.streams import Relayed, Replayed
from tests.router.plain import (
    DONE,
    HELLO_STREAM,
    USAGE,
    PlainUpstream,
    Script,
    chat,
    chunk,
    exchange_for,
    setup_over,
)

TWO, THREE = chunk("llo"), chunk("!")


@dataclass
class Settling:
    """Notes how the request was settled; `fault` is raised then, as a ledger would."""

    fault: WeirError | None = None
    seen: list[WeirError | None] = field(default_factory=list)

    def __call__(self, failure: WeirError | None) -> None:
        self.seen.append(failure)
        if self.fault is not None:
            raise self.fault


@dataclass
class Relay:
    stream: Relayed
    script: Script
    settling: Settling
    exchange: Exchange

    @property
    def settled(self) -> list[type[WeirError] | None]:
        return [type(failure) if failure else None for failure in self.settling.seen]


async def relay(
    *steps: bytes | BaseException | asyncio.Event,
    usage_wanted: bool = False,
    drain_s: float = 60,
    ledger: WeirError | None = None,
) -> Relay:
    """A stream that has reached its first token, as the caller hands it over."""
    script = Script(*steps)
    tee = Tee(script, choices=1, usage_wanted=usage_wanted, keep_bytes=1000)
    exchange = exchange_for(setup_over({"good": PlainUpstream("plain")}), chat(stream=True))
    settling = Settling(ledger)
    return Relay(
        Relayed(exchange, tee, await tee.begin(), drain_s=drain_s, settle=settling), script, settling, exchange
    )


async def test_what_was_read_goes_first_then_what_comes() -> None:
    relayed = await relay(*HELLO_STREAM)
    assert await relayed.stream.next() == chunk("He")
    assert await relayed.stream.next() == chunk("llo")
    assert relayed.settled == []


@pytest.mark.parametrize(("wanted", "usage"), [(True, USAGE), (False, b"")])
async def test_the_ending_is_sent_once_the_request_is_settled(wanted: bool, usage: bytes) -> None:
    relayed = await relay(*HELLO_STREAM, usage_wanted=wanted)
    for _ in range(2):
        await relayed.stream.next()
    assert relayed.settled == []
    assert await relayed.stream.next() == chunk(finish="stop") + usage + DONE
    assert relayed.settled == [None]


async def test_after_the_end_there_is_nothing_and_nothing_is_settled_again() -> None:
    relayed = await relay(*HELLO_STREAM)
    while await relayed.stream.next():
        pass
    assert await relayed.stream.next() == b""
    relayed.stream.hang_up()
    await relayed.stream.close()
    assert relayed.settled == [None]
    assert not relayed.exchange.trail.hung_up
    assert relayed.script.closed == 1


async def test_a_failure_settles_before_it_is_raised_and_only_once() -> None:
    relayed = await relay(chunk("He"), StreamCut("The connection was lost."))
    await relayed.stream.next()
    with pytest.raises(StreamCut):
        await relayed.stream.next()
    assert relayed.settled == [StreamCut]
    assert await relayed.stream.next() == b""
    await relayed.stream.close()
    assert relayed.settled == [StreamCut]
    assert relayed.script.closed == 1


async def test_after_a_hang_up_the_rest_is_read_for_the_bill() -> None:
    relayed = await relay(*HELLO_STREAM)
    await relayed.stream.next()
    relayed.stream.hang_up()
    while await relayed.stream.next():
        pass
    assert relayed.exchange.trail.hung_up
    assert relayed.settled == [None]


async def test_but_not_beyond_the_cap() -> None:
    relayed = await relay(chunk("He"), TWO, THREE, *HELLO_STREAM, drain_s=-1)
    await relayed.stream.next()
    relayed.stream.hang_up()
    with pytest.raises(Abandoned):
        await relayed.stream.next()
    assert relayed.settled == [Abandoned]
    assert await relayed.stream.next() == b""


async def test_an_end_that_comes_as_the_cap_passes_is_still_the_end() -> None:
    relayed = await relay(*HELLO_STREAM, drain_s=-1)
    await relayed.stream.next()
    await relayed.stream.next()
    relayed.stream.hang_up()
    assert (await relayed.stream.next()).endswith(DONE)
    assert relayed.settled == [None]


async def test_a_stream_that_is_given_up_is_settled_as_abandoned_and_closed() -> None:
    relayed = await relay(chunk("He"), asyncio.Event())
    await relayed.stream.next()
    reading = asyncio.create_task(relayed.stream.next())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert relayed.settled == []
    await relayed.stream.close()
    assert relayed.settled == [Abandoned]
    assert relayed.script.closed == 1


async def test_without_a_ledger_there_is_an_error_and_no_ending() -> None:
    relayed = await relay(*HELLO_STREAM, ledger=LedgerUnavailable("No room."))
    sent = b""
    with pytest.raises(LedgerUnavailable):
        while part := await relayed.stream.next():
            sent += part
    assert sent == chunk("He") + chunk("llo")
    await relayed.stream.close()
    assert relayed.settled == [None]


async def test_without_a_ledger_the_upstream_is_let_go_all_the_same() -> None:
    relayed = await relay(chunk("He"), TWO, ledger=LedgerUnavailable("No room."))
    with pytest.raises(LedgerUnavailable):
        await relayed.stream.close()
    assert relayed.script.closed == 1


async def test_a_replay_is_sent_in_one_go() -> None:
    stream = Replayed(b"events")
    stream.hang_up()
    assert [await stream.next(), await stream.next()] == [b"events", b""]
    await stream.close()
