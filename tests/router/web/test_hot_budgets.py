"""Budgets and purposes as clients see them: headers on answers, streams and errors, and what an error says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from contracts.budgets import Budget
from contracts.errors import ServerFault
from router.metrics import Metrics
from router.web.hot import ModelEndpoint
from tests.router.budgeted import Budgeted, at_most, budgeted, usd
from tests.router.plain import HELLO_STREAM, PlainUpstream, Script, chat, plan, setup_over, whole
from tests.router.web.wire import Wire

MINUTE = at_most(2, name="rush", window="minute")


async def through(
    under: Budgeted, text: str = "Hello", *, headers: dict[str, str] | None = None, **more: Any
) -> Wire:
    endpoint = ModelEndpoint("chat/completions", under.works.pipeline, Metrics(), max_body_bytes=10_000)
    return await Wire(orjson.dumps(chat(**{"text": text, **more})), **(headers or {})).through(endpoint)


def under(folder: Path, *budgets: Budget, turn: Any = None) -> Any:
    return budgeted(setup_over({"good": PlainUpstream("good", turn or whole())}), folder, *budgets)


def limits(wire: Wire) -> dict[str, str]:
    return {
        name.removeprefix("x-ratelimit-"): value
        for name, value in wire.headers.items()
        if name.startswith("x-ratelimit-") and "reset" not in name
    }


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_says_what_is_left(tmp_path: Path, stream: bool) -> None:
    turn = Script(*HELLO_STREAM) if stream else whole()
    async with under(tmp_path, MINUTE, at_most(1000, "tokens"), usd("10"), turn=turn) as house:
        wire = await through(house, stream=stream, max_tokens=40)
        prompt = -(-house.spending.forecast.prompt(chat()) * 5 // 4)
        left = {name: value for name, value in limits(wire).items() if "usd" not in name}
        assert left == {
            "limit-requests": "2",
            "remaining-requests": "1",
            "limit-tokens": "1000",
            "remaining-tokens": str(1000 - prompt - 40),
        }
        assert limits(wire)["limit-usd"] == "10"
        assert limits(wire)["remaining-usd"].startswith("9.9999")
        assert wire.headers["x-ratelimit-reset-requests"].endswith("s")
        assert "x-ratelimit-reset-usd" not in wire.headers


async def test_a_stored_answer_says_what_is_left_of_requests(tmp_path: Path) -> None:
    async with under(tmp_path, MINUTE, at_most(1000, "tokens")) as house:
        await through(house)
        assert limits(await through(house)) == {"limit-requests": "2", "remaining-requests": "0"}


async def test_nothing_is_said_where_no_budget_applies(tmp_path: Path) -> None:
    async with under(tmp_path, at_most(2, name="hers", tenant="other"), at_most(2, hard=False)) as house:
        assert limits(await through(house)) == {}


async def test_what_several_tenants_share_is_told_to_none_of_them(tmp_path: Path) -> None:
    async with under(tmp_path, at_most(1, name="all", tenant="")) as house:
        assert limits(await through(house)) == {}
        wire = await through(house, "again")
        assert wire.status == 429
        assert (wire.error["weir"]["budget"], wire.error["weir"]["limit"], wire.error["weir"]["left"]) == (
            "all",
            None,
            None,
        )
        assert limits(wire) == {}
        assert not any(digit in wire.error["message"] for digit in "0123456789")


async def test_a_limit_by_the_minute_says_when_to_come_back(tmp_path: Path) -> None:
    async with under(tmp_path, MINUTE) as house:
        for text in ("one", "two"):
            await through(house, text)
        wire = await through(house, "three")
        assert (wire.status, wire.error["type"], wire.error["code"]) == (
            429,
            "rate_limit_error",
            "rate_limit_exceeded",
        )
        told = wire.error["weir"]
        assert (told["budget"], told["measure"], told["limit"], told["left"]) == ("rush", "requests", "2", "0")
        assert told["resets_at"]
        assert limits(wire) == {"limit-requests": "2", "remaining-requests": "0"}
        assert 1 <= int(wire.headers["retry-after"]) <= 60
        assert wire.headers["x-ratelimit-reset-requests"]
        assert "x-should-retry" not in wire.headers


async def test_spent_money_says_so_beside_what_else_is_left(tmp_path: Path) -> None:
    async with under(tmp_path, MINUTE, usd("0.00001", name="acme-month")) as house:
        wire = await through(house, max_tokens=500)
        assert (wire.status, wire.error["type"], wire.error["code"]) == (
            402,
            "insufficient_quota",
            "insufficient_quota",
        )
        assert wire.error["weir"] == {
            "budget": "acme-month",
            "measure": "usd",
            "limit": "0.00001",
            "left": "0.00001",
            "resets_at": None,
        }
        assert limits(wire) == {
            "limit-requests": "2",
            "remaining-requests": "1",
            "limit-usd": "0.00001",
            "remaining-usd": "0.00001",
        }
        assert "retry-after" not in wire.headers
        assert wire.headers["x-should-retry"] == "false"


async def test_any_other_error_says_what_is_left_too(tmp_path: Path) -> None:
    async with under(tmp_path, MINUTE, turn=ServerFault("down")) as house:
        wire = await through(house)
        assert (wire.status, limits(wire)) == (502, {"limit-requests": "2", "remaining-requests": "1"})


async def test_counters_out_of_reach_are_a_503_of_their_own(tmp_path: Path) -> None:
    async with under(tmp_path, MINUTE) as house:
        house.budgets.down = True
        wire = await through(house)
        assert (wire.status, wire.error["code"], wire.headers["retry-after"]) == (503, "budget_unavailable", "1")
        assert "weir" not in wire.error


# --- purposes


@pytest.mark.parametrize("said", ["eval", "optimise", "train", " Train "])
async def test_a_client_may_say_that_it_evaluates_or_learns(tmp_path: Path, said: str) -> None:
    drawing = replace(plan("support", "good"), reference="good", dear_share=0.5)
    async with budgeted(setup_over({"good": PlainUpstream("good", whole())}, drawing), tmp_path) as house:
        for headers in ({"x_weir_purpose": said}, {}):
            assert (await through(house, model="support", headers=headers)).status == 200
        told, served = house.works.events
        assert (told.purpose, told.arm) == (said.strip().lower(), "")
        assert (served.purpose, bool(served.arm)) == ("serve", True)


@pytest.mark.parametrize("said", ["serve", "audit", "judge", "check", "shadow", "rewrite", "evaluation", ""])
async def test_any_other_purpose_is_refused_by_the_headers_name(tmp_path: Path, said: str) -> None:
    async with under(tmp_path) as house:
        wire = await through(house, headers={"x_weir_purpose": said})
        assert (wire.status, wire.error["code"], wire.error["param"]) == (400, "invalid_request", "x-weir-purpose")
        assert "eval, optimise, train" in wire.error["message"]
        assert house.works.events == []


async def test_without_the_header_it_is_service(tmp_path: Path) -> None:
    async with under(tmp_path) as house:
        await through(house)
        assert house.works.events[0].purpose == "serve"
