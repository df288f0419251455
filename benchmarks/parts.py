"""What each part of a request's way costs by itself, in microseconds of CPU, beside what it stands in for.

    .venv/bin/python benchmarks/parts.py
    .venv/bin/python benchmarks/parts.py --json

For those who change the way of a request: `overhead.py` says whether it became cheaper, this where. No two parts
run at a time, and none waits, so CPU time is told and not the clock. docs/decisions/0002 quotes these figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import uvloop
import yaml

from benchmarks.load import closed
from benchmarks.mock_upstream import chat_chunk, chat_completion, whole
from benchmarks.processes import usage
from benchmarks.systems import ROOT, SYSTEMS, WEIR_KEY, Command, free_port, process, require_programs, weir_config
from contracts.ports import AnswerStream, UpstreamCall, WholeAnswer
from contracts.sse import DONE, event
from router.config.load import load
from router.exchange import Incoming
from router.main import House
from router.trail import new_request_id
from router.upstreams.openai_http import OpenAIUpstream
from router.web.asgi import App, Receive, Scope, Send

_REQUESTS = 10_000
_TOKENS = 2_000
_AT_A_TIME = 32
_LOAD_S = 4
_HEADERS = {"authorization": f"Bearer {WEIR_KEY}", "content-type": "application/json"}


@dataclass(frozen=True)
class Cost:
    """`us` microseconds of CPU for one; `beside` is the yardstick's, where there is one."""

    part: str
    us: float
    yardstick: str = ""
    beside: float | None = None


# --- HTTP in and out -----------------------------------------------------------------------------------


async def app(_: Scope, receive: Receive, send: Send) -> None:
    """Answers the same to all, after it has read the request."""
    await receive()
    body = chat_completion()
    length = str(len(body)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


_SERVE = """\
import asyncio, sys, uvloop
from benchmarks.parts import app
from router.server import Server, listen
server = Server(app, host="127.0.0.1", shutdown_s=1, listening=print, reload=id, closing=lambda: None)
uvloop.run(server.serve(listen("127.0.0.1", int(sys.argv[1]))))
"""
_UVICORN = "--http httptools --loop uvloop --lifespan off --no-access-log --log-level warning --port"


def http_in_and_out() -> Cost:
    weir = [sys.executable, "-c", _SERVE]
    uvicorn = [sys.executable, "-m", "uvicorn", "benchmarks.parts:app", *_UVICORN.split()]
    return Cost("an HTTP request in and out", _served(weir), "uvicorn", _served(uvicorn))


def _served(arguments: list[str]) -> float:
    """CPU of a server that serves `app`, per request; its port is the last argument."""
    port = free_port()
    url, body = f"http://127.0.0.1:{port}/v1/chat/completions", SYSTEMS["weir"].body("Hello")
    with tempfile.TemporaryDirectory() as folder:
        command = Command([*arguments, str(port)], {"PYTHONPATH": str(ROOT)})
        with process(command, Path(folder)) as started:
            _wait_for(port)
            closed(url, _HEADERS, body, connections=_AT_A_TIME, seconds=1)
            before = usage(started.pid).cpu_s
            load = closed(url, _HEADERS, body, connections=_AT_A_TIME, seconds=_LOAD_S)
            return (usage(started.pid).cpu_s - before) / load.requests * 1e6


def _wait_for(port: int) -> None:
    async def try_again() -> None:
        async with asyncio.timeout(20):
            while True:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return
                await asyncio.sleep(0.05)

    asyncio.run(try_again())


# --- a call to a model ---------------------------------------------------------------------------------


def call_to_a_model() -> Cost:
    with whole() as url:
        return Cost("a call to a model", uvloop.run(_by_weir(url)), "aiohttp", uvloop.run(_by_aiohttp(url)))


async def _by_weir(url: str) -> float:
    upstream = OpenAIUpstream("mock", f"{url}/v1")
    body = orjson.loads(SYSTEMS["weir"].body("Hello"))

    async def one() -> None:
        call = UpstreamCall(
            endpoint="chat/completions", body=body, request_id=new_request_id(), first_byte_s=10, stall_s=10
        )
        await upstream.send(call)

    try:
        return await _each(one)
    finally:
        await upstream.close()


async def _by_aiohttp(url: str) -> float:
    body = orjson.loads(SYSTEMS["weir"].body("Hello"))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1024), headers=_HEADERS) as session:

        async def one() -> None:
            async with (
                asyncio.timeout(10),
                session.post(f"{url}/v1/chat/completions", data=orjson.dumps(body)) as answer,
            ):
                orjson.loads(await answer.read())

        return await _each(one)


async def _each(one: Callable[[], Awaitable[None]]) -> float:
    """CPU of this process per call of `one`, `_AT_A_TIME` at a time."""

    async def several(number: int) -> None:
        for _ in range(number):
            await one()

    async def all_of(number: int) -> None:
        await asyncio.gather(*(several(number // _AT_A_TIME) for _ in range(_AT_A_TIME)))

    await all_of(_REQUESTS // 10)
    began = time.process_time()
    await all_of(_REQUESTS)
    return (time.process_time() - began) / _REQUESTS * 1e6


# --- the pipeline and its streams ----------------------------------------------------------------------


class _Memory:
    """An upstream that costs nothing: a whole answer, or a stream of `chunks`."""

    name = "memory"

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    async def start(self) -> None: ...

    async def send(self, call: UpstreamCall) -> WholeAnswer:
        return WholeAnswer(body=chat_completion(), data=orjson.loads(chat_completion()))

    async def open(self, call: UpstreamCall) -> AnswerStream:
        return _Chunks(iter(self._chunks))

    async def probe(self) -> None: ...

    async def close(self) -> None: ...


class _Chunks:
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    async def read(self) -> bytes:
        return next(self._chunks, b"")

    async def close(self) -> None: ...


def pipeline(requests: int = _REQUESTS, tokens: int = _TOKENS) -> list[Cost]:
    """Of so many requests, and of streams of so many tokens."""
    with tempfile.TemporaryDirectory(prefix="bench-parts-") as folder:
        return uvloop.run(_pipeline(Path(folder), requests, tokens))


async def _pipeline(folder: Path, requests: int, tokens: int) -> list[Cost]:
    config = folder / "weir.yaml"
    config.write_text(yaml.safe_dump(weir_config("http://127.0.0.1:9")), encoding="utf-8")
    house = House(load(config), config, state=folder / "state", bound_to="127.0.0.1")
    front = await house.open()
    try:
        misses = [SYSTEMS["weir"].body(f"Question {number}") for number in range(requests)]
        over(house, [])
        passed = await answered(house, misses)
        hit = await answered(house, misses[:1] * requests)
        ending = [event(orjson.dumps(chat_chunk({}, "stop"))), event(DONE)]
        alike = [event(orjson.dumps(chat_chunk({"content": f" word {n}"}))) for n in range(tokens)]
        unlike = [event(orjson.dumps(chat_chunk({"content": " word"}) | {"n": n})) for n in range(tokens)]
        over(house, alike + ending)
        token = await _streamed(front) / tokens
        over(house, unlike + ending)
        other = await _streamed(front) / tokens
    finally:
        await house.close()
    return [
        Cost("the pipeline, bytes to settled event", passed),
        Cost("the same, exact hit", hit, "pass-through", passed),
        Cost("a token of a stream, without sockets", token, "chunks unlike each other", other),
    ]


def over(house: House, chunks: list[bytes]) -> None:
    """Have `house` answer from memory."""
    setup = house.pipeline.setup
    deployments = {name: replace(each, upstream=_Memory(chunks)) for name, each in setup.deployments.items()}
    house.pipeline.setup = replace(setup, deployments=deployments)


async def answered(house: House, bodies: list[bytes]) -> float:
    """CPU of this thread per request."""
    began = time.thread_time()
    for body in bodies:
        incoming = Incoming(
            endpoint="chat/completions",
            key=house.pipeline.recognise(_HEADERS),
            body=body,
            headers=_HEADERS,
            request_id=new_request_id(),
            arrived=time.perf_counter(),
        )
        await house.pipeline.answer(incoming)
    return (time.thread_time() - began) / len(bodies) * 1e6


async def _streamed(front: App, streams: int = 10) -> float:
    """CPU per stream, from the second one on."""

    async def send(message: Any) -> None: ...

    costs = []
    for number in range(streams + 1):
        asked = [
            {"type": "http.request", "body": SYSTEMS["weir"].body(f"Talk {number} {time.time()}", stream=True)}
        ]

        async def receive(asked: list[Any] = asked) -> Any:
            return asked.pop() if asked else await asyncio.Event().wait()

        headers = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers}
        began = time.thread_time()
        await front(scope, receive, send)
        costs.append(time.thread_time() - began)
    return sum(costs[1:]) / streams * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON line per part")
    args = parser.parse_args()
    require_programs()
    costs = [http_in_and_out(), call_to_a_model(), *pipeline()]
    for cost in costs:
        ratio = f"{cost.us / cost.beside:.2f} of {cost.yardstick}'s {cost.beside:.1f}" if cost.beside else ""
        told = {"benchmark": "parts", **asdict(cost)} if args.json else None
        print(json.dumps(told) if told else f"{cost.us:7.1f} us  {cost.part:<40} {ratio}".rstrip())


if __name__ == "__main__":
    main()
