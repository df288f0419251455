"""The model endpoints over plain ASGI: whole replies, streams, hang-ups, errors before and after the first byte."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import orjson
import pytest

from contracts.errors import StreamCut, UpstreamRejected
from contracts.sse import event, payloads
from router.metrics import Metrics
from router.web.hot import ModelEndpoint
from tests.router.plain import (
    DONE,
    HELLO_STREAM,
    PlainUpstream,
    Script,
    Turn,
    Works,
    chat,
    chunk,
    setup_over,
    whole,
    works_over,
)
from tests.router.web.wire import Wire

ASKED = orjson.dumps(chat())
STREAMED = orjson.dumps(chat(stream=True))


class Door:
    """The chat endpoint over one plain upstream, with the metrics it feeds."""

    def __init__(self, works: Works, *, most: int = 10_000) -> None:
        self.metrics = Metrics()
        self.endpoint = ModelEndpoint("chat/completions", works.pipeline, self.metrics, max_body_bytes=most)

    async def answer(self, wire: Wire) -> Wire:
        return await wire.through(self.endpoint)

    @property
    def page(self) -> str:
        return self.metrics.page().decode()


def over(folder: Path, *turns: Turn, drain_s: float = 60) -> AbstractAsyncContextManager[Works]:
    return works_over(setup_over({"good": PlainUpstream("plain", *turns)}), folder, drain_s=drain_s)


async def test_a_whole_answer_passes_as_it_came(tmp_path: Path) -> None:
    answer = whole()
    async with over(tmp_path, answer) as works:
        wire = await Door(works).answer(Wire(ASKED[:10], ASKED[10:]))
        assert (wire.status, wire.body) == (200, answer.body)
        assert wire.headers["content-type"] == "application/json"
        assert wire.headers["content-length"] == str(len(answer.body))
        assert wire.headers["x-weir-request-id"] == works.events[0].request_id
        assert wire.headers["x-weir-cost"] == "0.000007"


async def test_a_stream_passes_piece_by_piece(tmp_path: Path) -> None:
    async with over(tmp_path, Script(*HELLO_STREAM)) as works:
        wire = await Door(works).answer(Wire(STREAMED))
        assert wire.status == 200
        assert wire.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (wire.headers["cache-control"], wire.headers["x-accel-buffering"]) == ("no-cache", "no")
        assert wire.headers["x-weir-model"] == "good"
        assert "content-length" not in wire.headers
        assert [message["body"] for message in wire.sent[1:]] == [
            chunk("He"),
            chunk("llo"),
            chunk(finish="stop") + DONE,
            b"",
        ]
        assert [message.get("more_body", False) for message in wire.sent[1:]] == [True, True, True, False]


async def test_a_stored_answer_is_streamed_too(tmp_path: Path) -> None:
    async with over(tmp_path, Script(*HELLO_STREAM)) as works:
        door = Door(works)
        await door.answer(Wire(STREAMED))
        wire = await door.answer(Wire(STREAMED))
        assert wire.headers["x-weir-cache"] == "exact"
        assert wire.body.endswith(DONE)


async def test_a_client_that_hangs_up_is_noticed_and_the_rest_read_for_the_bill(tmp_path: Path) -> None:
    rest = asyncio.Event()
    script = Script(chunk("He"), rest, *HELLO_STREAM[1:])
    async with over(tmp_path, script) as works:
        wire = Wire(STREAMED)
        answering = asyncio.create_task(Door(works).answer(wire))
        await wire.sent_some.wait()
        wire.hang_up()
        await asyncio.sleep(0.01)
        assert not answering.done()
        rest.set()
        await answering
        (written,) = works.events
        assert (written.outcome, written.hung_up, written.usage.completion) == ("answered", True, 2)
        assert script.closed == 1


async def test_but_not_for_ever(tmp_path: Path) -> None:
    rest = asyncio.Event()
    script = Script(chunk("He"), rest, *HELLO_STREAM[1:])
    async with over(tmp_path, script, drain_s=-1) as works:
        wire = Wire(STREAMED)
        answering = asyncio.create_task(Door(works).answer(wire))
        await wire.sent_some.wait()
        wire.hang_up()
        await asyncio.sleep(0.01)
        rest.set()
        await answering
        assert [(written.outcome, written.error) for written in works.events] == [("cut", "abandoned")]
        assert script.closed == 1


async def test_a_client_that_stays_has_not_hung_up(tmp_path: Path) -> None:
    async with over(tmp_path, Script(*HELLO_STREAM)) as works:
        await Door(works).answer(Wire(STREAMED, b""))
        assert not works.events[0].hung_up


async def test_a_stream_that_breaks_off_ends_with_one_error_event(tmp_path: Path) -> None:
    async with over(tmp_path, Script(chunk("He"), StreamCut("It was cut."))) as works:
        wire = await Door(works).answer(Wire(STREAMED))
        assert wire.status == 200
        first, last = payloads(wire.body)
        assert event(first) == chunk("He")
        assert orjson.loads(last)["error"] == {
            "message": "It was cut.",
            "type": "server_error",
            "param": None,
            "code": "upstream_cut",
        }
        assert wire.sent[-1] == {"type": "http.response.body", "body": b""}
        assert works.events[0].outcome == "cut"


async def test_so_does_one_that_cannot_be_written_down(tmp_path: Path) -> None:
    rest = asyncio.Event()
    async with over(tmp_path, Script(chunk("He"), rest, *HELLO_STREAM[1:])) as works:
        wire = Wire(STREAMED)
        answering = asyncio.create_task(Door(works).answer(wire))
        await wire.sent_some.wait()
        works.spool.close()
        rest.set()
        await answering
        assert orjson.loads(list(payloads(wire.body))[-1])["error"]["code"] == "ledger_unavailable"
        assert DONE not in wire.body


async def test_a_stream_whose_task_is_cancelled_is_settled(tmp_path: Path) -> None:
    script = Script(chunk("He"), asyncio.Event())
    async with over(tmp_path, script) as works:
        wire = Wire(STREAMED)
        answering = asyncio.create_task(Door(works).answer(wire))
        await wire.sent_some.wait()
        answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering
        assert [(written.outcome, written.error) for written in works.events] == [("cut", "abandoned")]
        assert script.closed == 1
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_error_before_the_first_byte_has_its_own_status(tmp_path: Path) -> None:
    async with over(tmp_path, UpstreamRejected("No.", status=422, param="tools")) as works:
        door = Door(works)
        for body in (ASKED, STREAMED):
            wire = await door.answer(Wire(body))
            assert (wire.status, wire.error["code"], wire.error["param"]) == (422, "upstream_rejected", "tools")
            assert wire.headers["x-weir-request-id"] in {written.request_id for written in works.events}
        assert 'weir_refused_total{code="upstream_rejected"} 2.0' in door.page


async def test_a_fault_of_our_own_is_logged_and_not_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with over(tmp_path, KeyError("a secret detail")) as works:
        door = Door(works)
        wire = await door.answer(Wire(ASKED))
        assert (wire.status, wire.error["code"]) == (500, "internal_error")
        assert b"secret detail" not in wire.body
        assert wire.headers["x-weir-request-id"] in caplog.text
        assert "a secret detail" in caplog.text
        assert 'weir_refused_total{code="internal_error"} 1.0' in door.page


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
async def test_another_method_is_told_which_one_works(tmp_path: Path, method: str) -> None:
    async with over(tmp_path, whole()) as works:
        wire = await Door(works).answer(Wire(method=method, key=""))
        assert (wire.status, wire.headers["allow"], wire.error["code"]) == (405, "POST", "method_not_allowed")


async def test_a_stranger_is_refused_before_the_body_is_read(tmp_path: Path) -> None:
    async with over(tmp_path, whole()) as works:
        wire = await Door(works).answer(Wire(ASKED, key=""))
        assert (wire.status, wire.error["code"]) == (401, "key_missing")
        assert wire.headers["www-authenticate"] == "Bearer"
        assert len(wire.unread) == 1


async def test_a_body_that_is_too_large_ends_the_connection(tmp_path: Path) -> None:
    async with over(tmp_path, whole()) as works:
        wire = await Door(works, most=len(ASKED) - 1).answer(Wire(ASKED))
        assert (wire.status, wire.error["code"], wire.headers["connection"]) == (413, "request_too_large", "close")
        assert (await Door(works, most=len(ASKED)).answer(Wire(ASKED))).status == 200


async def test_a_client_that_left_before_it_had_asked_is_answered_nothing(tmp_path: Path) -> None:
    async with over(tmp_path, whole()) as works:
        wire = Wire(ASKED[:10], ASKED[10:])
        wire.leave_after(1)
        door = Door(works)
        await door.answer(wire)
        assert wire.sent == []
        assert works.events == []
        assert "weir_refused_total{" not in door.page
