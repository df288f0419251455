"""What a soak is judged by: slopes, outcomes, counts and leftovers. Its clients meet a server that is made up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.soak import soak_config
from benchmarks.soak_results import (
    Sample,
    due,
    left_over,
    logged,
    markdown,
    miscounted,
    outcomes,
    slope,
    sparkline,
    targets,
    unexpected,
)
from benchmarks.soak_traffic import KINDS, LEFT, Kind, Traffic, outcome
from router.config.load import load

REST = Sample(at_s=0.0, requests=0, rss_mb=100.0, pss_mb=90.0, sockets=8, tasks=7)


# --- slopes


def noisy(slope_mb: float, count: int, *, seed: int = 1) -> list[tuple[float, float]]:
    """`slope_mb` per 100,000 requests, 1,000 requests apart, with noise of half a MB."""
    noise = random.Random(seed)
    return [(n * 1000.0, 100 + slope_mb * n / 100 + noise.gauss(0, 0.5)) for n in range(count)]


def test_a_slope_is_in_mb_per_100_000_requests() -> None:
    found = slope([(n * 1000.0, 50 + 0.03 * n) for n in range(100)])
    assert (found.low, found.middle, found.high) == pytest.approx((3, 3, 3))


def test_steps_and_outliers_do_not_bend_a_slope() -> None:
    points = noisy(2.0, 240)
    bent = [(x, y + 300) if n in (3, 4, 120, 200, 239) else (x, y) for n, (x, y) in enumerate(points)]
    assert slope(bent).middle == pytest.approx(2.0, abs=0.3)


def test_the_interval_holds_the_true_slope_about_as_often_as_it_says() -> None:
    found = [slope(noisy(1.0, 240, seed=seed)) for seed in range(200)]
    held = sum(each.low <= 1.0 <= each.high for each in found)
    assert 180 <= held < 200
    assert all(each.low <= each.middle <= each.high for each in found)


def test_no_slope_without_two_moments() -> None:
    with pytest.raises(ValueError, match="two samples"):
        slope([(10.0, 1.0), (10.0, 2.0)])


def test_the_sparkline_runs_from_the_least_to_the_most() -> None:
    samples = [Sample(0, 0, rss_mb, 0, 0, 0) for rss_mb in (100.0, 101.0, 104.0)]
    assert sparkline(samples) == "▁▃█"
    assert sparkline(samples[:1]) == "▁"


# --- outcomes and counts


@pytest.mark.parametrize(
    ("status", "ending", "stream", "told"),
    [
        (200, b'{"choices": []}', False, "200"),
        (200, b"data: {}\n\ndata: [DONE]\n\n", True, "200"),
        (200, b"data: {}\n\n", True, "200, then nothing"),
        (200, b'data: {"error": {"message": "x", "code": "upstream_cut"}}\n\n', True, "200, then upstream_cut"),
        (502, b'{"error":{"message":"x","code":"upstream_reset"}}', False, "502 upstream_reset"),
        (502, b"", True, "502 nothing"),
    ],
)
def test_outcomes_are_told_in_words(status: int, ending: bytes, stream: bool, told: str) -> None:
    assert outcome(status, ending, stream=stream) == told


SURE = Kind("sure", 1, models=("mock",))
MAYBE = Kind("maybe", 1, (LEFT,), models=("mock",), leaves="early")
REFUSED = Kind("refused", 1, ("401 invalid_api_key",))
THREE = (SURE, MAYBE, REFUSED)
COUNTS = {("sure", "200"): 5, ("sure", "502 nothing"): 1, ("maybe", LEFT): 3, ("refused", "401 invalid_api_key"): 4}


def test_what_was_not_asked_for_is_unexpected() -> None:
    assert unexpected(COUNTS, THREE) == ["sure: 1 times 502 nothing"]


def test_every_request_that_was_let_in_is_due_a_usage_event() -> None:
    assert due(COUNTS, THREE) == {"sure": 6}
    assert not miscounted(COUNTS, {"sure": 6, "maybe": 2}, THREE)


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ({"sure": 5}, "sure: 5 usage events for 6 requests"),
        ({"sure": 7}, "sure: 7 usage events for 6 requests"),
        ({}, "sure: 0 usage events for 6 requests"),
        ({"sure": 6, "maybe": 4}, "maybe: 4 usage events for 3 requests"),
    ],
)
def test_events_lost_and_written_twice_are_told(events: dict[str, int], told: str) -> None:
    assert miscounted(COUNTS, events, THREE) == [told]


def test_what_is_more_than_before_is_left_over() -> None:
    assert not left_over(REST, REST)
    more = Sample(9.0, 100, 100.0, 90.0, sockets=9, tasks=8)
    assert left_over(REST, more) == ["8 sockets before, 9 after", "7 tasks before, 8 after"]
    assert not left_over(more, REST)


def test_errors_in_the_log_are_told() -> None:
    good = "2026-01-01 INFO weir: the changed configuration is in force\n"
    assert logged(good) == []
    assert logged(f"{good}2026-01-01 ERROR weir.web: it failed\nTraceback (most recent call last):\n") == [
        "2 errors in the log, the first: 2026-01-01 ERROR weir.web: it failed"
    ]


def test_markdown_tells_the_figures_and_the_problems() -> None:
    rest = {"rss_mb": 100.0, "pss_mb": 90.0, "sockets": 8, "tasks": 7}
    result: dict[str, Any] = {"seconds": 60.0, "requests": 90_000, "warm_up_requests": 20_000, "problems": []}
    result |= {"before": rest, "warm": rest | {"rss_mb": 111.0}, "after": rest | {"sockets": 9}}
    result |= {"most": {"sockets": 200, "tasks": 99}, "events": {"due": 80_000, "found": 79_999}}
    result |= {"reloads": {"asked_for": 30, "refused": 0}, "outcomes": outcomes({("cached", "200"): 7})}
    result |= {"slope_mb_per_100k": {"rss_mb": (1.5, 0.5, 2.5), "pss_mb": (-0.25, -1.0, 1.0)}}
    text = markdown([result])
    assert "| RSS per 100,000 requests | +1.50 MB (+0.50 to +2.50) |" in text
    assert "| open sockets before, at most, after | 8, 200, 9 |" in text
    assert "| usage events due, found | 80,000, 79,999 |" in text
    assert "| cached | 7 x 200 |" in text
    assert "Nothing went wrong" in text
    assert "- **1 socket**" in markdown([result | {"problems": ["1 socket"]}])
    assert [target.met for target in targets([result])] == [False]
    steady = result | {"slope_mb_per_100k": {"rss_mb": (0.5, 0.0, 1.0), "pss_mb": (0.5, 0.0, 1.0)}}
    assert [target.met for target in targets([steady])] == [True]


# --- configuration and clients


def test_the_configuration_has_a_route_for_each_kind_that_reaches_a_model(tmp_path: Path) -> None:
    path = tmp_path / "weir.yaml"
    path.write_text(yaml.safe_dump(soak_config("http://127.0.0.1:1", "http://127.0.0.1:2")), encoding="utf-8")
    config = load(path, {}).config
    assert config.routes.keys() == {"auto", *(kind.name for kind in KINDS if kind.models)}
    for kind in KINDS:
        if kind.models:
            assert config.routes[kind.name].candidates == kind.models
    assert config.models["mock"].upstream == "mock"
    assert {model.upstream for name, model in config.models.items() if name != "mock"} == {"scripted"}


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[str]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def received(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of one request."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    return head, await reader.readexactly(length)


async def sent(url: str, kind: Kind, clients: int = 1) -> Traffic:
    """What came of one request of each client."""
    traffic = Traffic(url, {"tenant": "sk-tenant", "admin": "sk-admin", "wrong": "sk-wrong"}, [kind])
    await traffic.run(0, clients)
    return traffic


async def test_a_client_sends_what_its_kind_says_and_counts_the_answer() -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await received(reader))
        body = b'{"error": {"message": "x", "code": "model_not_found"}}'
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        await reader.read()
        writer.close()

    kind = Kind("padded", 1, padding=3, texts=1, key="wrong")
    async with served(answer) as url:
        traffic = await sent(url, kind)
    assert traffic.counts == {("padded", "404 model_not_found"): 1}
    assert traffic.done == 1
    ((head, body),) = seen
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert b"authorization: Bearer sk-wrong\r\n" in head
    assert yaml.safe_load(body) == {
        "model": "padded",
        "messages": [{"role": "user", "content": "xxxWhat about order number 0?"}],
    }


async def test_a_client_that_cuts_a_stream_is_gone_before_its_end() -> None:
    gone = asyncio.Event()

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await received(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while not gone.is_set():  # without end: who waits for it would never be counted
            writer.write(b"a\r\ndata: {}\n\n\r\n")
            await asyncio.sleep(0.001)
            if reader.at_eof():
                gone.set()
        writer.close()

    async with served(stream) as url:
        traffic = await sent(url, Kind("cut", 1, models=("mock",), stream=True, leaves="mid-stream"))
        await gone.wait()
    assert traffic.counts == {("cut", LEFT): 1}


async def test_a_connection_that_breaks_is_no_answer() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await received(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
        writer.close()

    async with served(hang_up) as url:
        traffic = await sent(url, SURE, clients=3)
    assert traffic.counts == {("sure", "connection lost"): 3}
    assert unexpected(traffic.counts, [SURE]) == ["sure: 3 times connection lost"]


async def test_texts_are_unlike_each_other_unless_they_are_counted() -> None:
    assert len({SURE.content() for _ in range(50)}) == 50
    assert len({Kind("cached", 1, texts=2).content() for _ in range(50)}) == 2
