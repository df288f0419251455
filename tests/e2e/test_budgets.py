"""Budgets on a running Weir, as the official client and whoever is alerted see them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

import openai
import pytest
import yaml

from tests.e2e.redis_server import empty_redis
from tests.e2e.running import RunningWeir, eventually, running_weir, write_config

PRICE = {"input": "1", "output": "4"}
LIMIT = Decimal("0.002")


def asked(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that takes alerts, its address, and what it got."""
    got: list[dict[str, Any]] = []

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """The test says what is wrong."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Taking) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/alerts", got
        server.shutdown()
        thread.join()


@contextmanager
def limited(folder: Path, budgets: dict[str, Any], *, workers: int = 1, **variables: str) -> Iterator[RunningWeir]:
    """A Weir under `budgets`; `HOOK` is where alerts go, `COUNTERS` a Redis that its workers count in."""
    models = {name: {"upstream": "scripted", "name": "echo", "price": PRICE} for name in ("good", "other")}
    more: dict[str, Any] = {"alerts": {"webhook": "${HOOK}"}} if "HOOK" in variables else {}
    if "COUNTERS" in variables:
        more["ledger"] = {"counters": "${COUNTERS}", "counters_deadline_seconds": 10}
    config = write_config(folder, models=models, routes={}, budgets=budgets, **more)
    with running_weir(config, folder / "state", workers=workers, **variables) as weir:
        yield weir


def test_a_limit_by_the_minute_is_told_on_every_answer_and_then_kept(tmp_path: Path) -> None:
    with limited(tmp_path, {"rush": {"requests": 2, "per": "minute", "model": "good", "each": ["tenant"]}}) as weir:
        completions = weir.client().chat.completions
        for number in range(4):  # a minute may turn over in between, and gives two more
            try:
                reply = completions.with_raw_response.create(model="good", messages=asked(f"Hello {number}"))
            except openai.RateLimitError as refused:
                reached = refused
                break
            assert reply.headers["x-ratelimit-limit-requests"] == "2"
            assert reply.headers["x-ratelimit-remaining-requests"] in ("0", "1")
        body: Any = reached.body
        assert (reached.code, body["weir"]["budget"], body["weir"]["measure"]) == (
            "rate_limit_exceeded",
            "rush",
            "requests",
        )
        assert 1 <= int(reached.response.headers["retry-after"]) <= 60
        completions.create(model="other", messages=asked("Hello"))
        status, page = weir.get("/metrics", weir.admin_key)
        assert (status, 'weir_budget_refused_total{budget="rush"} 1.0' in page) == (200, True)


def test_many_at_once_cannot_spend_more_than_there_is_and_somebody_is_told(tmp_path: Path) -> None:
    budgets = {"acme-month": {"usd": str(LIMIT), "per": "month", "tenant": "acme", "warn_at": [0.5]}}
    with webhook() as (url, got), limited(tmp_path, budgets, HOOK=url) as weir:
        spent, refused, numbers = Decimal(0), 0, count()
        while spent <= LIMIT / 2:
            costs = asyncio.run(_many(weir, [next(numbers) for _ in range(100)]))
            assert costs
            spent, refused = spent + sum(costs), refused + 100 - len(costs)
        assert spent <= LIMIT
        assert refused > 0
        with pytest.raises(openai.APIStatusError) as over:
            weir.client().chat.completions.create(model="good", messages=asked("Once more"), max_tokens=100_000)
        assert (over.value.status_code, over.value.code) == (402, "insufficient_quota")
        assert over.value.response.headers["x-ratelimit-limit-usd"] == "0.002"
        eventually(lambda: {alert["share"] for alert in got} == {0.5, 1.0})
        assert {alert["budget"] for alert in got} == {"acme-month"}
        assert got[0]["account"] == {"tenant": "acme"}


def test_nor_can_many_at_once_at_several_workers(tmp_path: Path) -> None:
    budgets = {"acme-month": {"usd": str(LIMIT), "per": "month", "tenant": "acme", "warn_at": [0.1]}}
    with (
        empty_redis() as counters,
        webhook() as (url, got),
        limited(tmp_path, budgets, workers=2, HOOK=url, COUNTERS=counters) as weir,
    ):
        costs = asyncio.run(_many(weir, list(range(200))))
        assert 0 < sum(costs) <= LIMIT
        assert len(costs) < 200
        eventually(lambda: {alert["share"] for alert in got} == {0.1, 1.0})
        assert len(got) == 2  # each once, whichever worker saw it


async def test_nor_can_two_replicas_of_which_one_is_killed(tmp_path: Path, postgres: str) -> None:
    """What the dead one had set aside comes back; what it had spent counts. Both are one in the books."""
    with empty_redis() as counters:
        config = write_config(
            tmp_path,
            models={"good": {"upstream": "scripted", "name": "slow-tokens-500", "price": PRICE}},
            routes={},
            budgets={"acme-month": {"usd": str(LIMIT), "per": "month", "tenant": "acme"}},
            ledger={
                "url": "${WEIR_DATABASE_URL}",
                "counters": "${COUNTERS}",
                "counters_deadline_seconds": 10,
                "lease_seconds": 3,
            },
        )
        variables = {"WEIR_DATABASE_URL": postgres, "COUNTERS": counters}
        with running_weir(config, tmp_path / "one", **variables) as one:
            first = partial(
                one.client().chat.completions.create, model="good", messages=asked("First"), max_tokens=20
            )
            await asyncio.to_thread(first)  # of the others all may fall to the one that is killed
            with running_weir(config, tmp_path / "two", **variables) as two:
                # The one that is killed is asked first, or the other may take all that there is.
                of_two = asyncio.ensure_future(asyncio.to_thread(asyncio.run, _until_cut(two)))
                await asyncio.to_thread(eventually, lambda: _held(one) > 0 and "weir_in_flight 0" not in _page(two))
                of_one = asyncio.ensure_future(asyncio.to_thread(asyncio.run, _until_cut(one)))
                await asyncio.sleep(1)
                two.kill()
                refused = sum(await asyncio.gather(of_one, of_two))
            assert refused > 0, "there was less than all asked for"
            await asyncio.to_thread(eventually, lambda: _held(one) == 0, 40)
            with running_weir(config, tmp_path / "two", **variables):  # ships what it had spooled
                await asyncio.to_thread(
                    eventually, lambda: Decimal(one.costs()["total"]["cost"]) == _spent(one), 40
                )
            assert 0 < _spent(one) <= LIMIT


def _standing(weir: RunningWeir) -> dict[str, Any]:
    return dict(weir.admin("GET", "/admin/v1/budgets")[1]["data"][0]["accounts"][0])


def _page(weir: RunningWeir) -> str:
    return str(weir.get("/metrics", weir.admin_key)[1])


def _held(weir: RunningWeir) -> Decimal:
    return Decimal(_standing(weir)["held"])


def _spent(weir: RunningWeir) -> Decimal:
    return Decimal(_standing(weir)["spent"])


async def _until_cut(weir: RunningWeir) -> int:
    """Ask for a hundred streams at once; how many were refused."""
    async with weir.async_client() as client:

        async def one(place: int) -> bool:
            try:
                stream = await client.chat.completions.create(
                    model="good", messages=asked(f"Number {place}"), max_tokens=20, stream=True
                )
                async for _ in stream:
                    pass
            except openai.APIStatusError as refused:
                return refused.status_code == 402
            except (openai.APIError, OSError):
                return False
            except Exception as error:
                if type(error).__module__.startswith(("httpx", "httpcore")):
                    return False
                raise
            return False

        return sum(await asyncio.gather(*map(one, range(100))))


async def _many(weir: RunningWeir, numbers: list[int]) -> list[Decimal]:
    """What those cost that were answered, all asked at once."""
    async with weir.async_client() as client:

        async def one(place: int) -> Decimal | None:
            create = client.chat.completions.with_raw_response.create
            try:
                reply = await create(model="good", messages=asked(f"Number {place}"), max_tokens=20)
            except openai.APIStatusError as refused:
                assert refused.status_code == 402
                return None
            return Decimal(reply.headers["x-weir-cost"])

        costs = await asyncio.gather(*map(one, numbers))
    return [cost for cost in costs if cost is not None]


def test_a_changed_budget_is_in_force_without_a_restart(tmp_path: Path) -> None:
    budget = {"requests": 1, "per": "day"}
    with limited(tmp_path, {"few": budget}) as weir:
        completions = weir.client().chat.completions
        completions.create(model="good", messages=asked("Hello"))
        with pytest.raises(openai.RateLimitError):
            completions.create(model="good", messages=asked("Hello"))
        config = yaml.safe_load(weir.config.read_text())
        config["budgets"]["few"]["requests"] = 3
        weir.config.write_text(yaml.safe_dump(config))
        assert weir.admin("POST", "/admin/v1/reload")[0] == 200
        for _ in range(2):
            completions.create(model="good", messages=asked("Hello"))
        with pytest.raises(openai.RateLimitError):
            completions.create(model="good", messages=asked("Hello"))


def test_who_evaluates_says_so(tmp_path: Path) -> None:
    with limited(tmp_path, {}) as weir:
        create = weir.client().chat.completions.with_raw_response.create
        reply = create(model="good", messages=asked("Hello"), extra_headers={"x-weir-purpose": "eval"})
        assert weir.decision(reply.headers["x-weir-request-id"])["purpose"] == "eval"
        with pytest.raises(openai.BadRequestError, match="x-weir-purpose"):
            create(model="good", messages=asked("Hello"), extra_headers={"x-weir-purpose": "fun"})
