"""A prompt that is promoted and taken back by commands while clients use it, on two workers, also when one dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai

from tests.e2e.prompt_load import (
    BAD,
    FIRST,
    PRICE,
    Load,
    answered_by,
    ask,
    config_in,
    in_force,
    load_on,
    promote,
    roll_back,
    stored,
    version_of,
)
from tests.e2e.recording_upstream import RecordingUpstream, recording_upstream
from tests.e2e.running import RunningWeir, eventually, running_weir
from tests.e2e.test_cache import ASKED, REWORDED, THINGS, known, teach
from tests.e2e.test_cache import ask as ask_about
from tests.e2e.test_workers import workers_of

OLD, WORSE = version_of(FIRST), version_of(BAD)


async def returned(what: Callable[[RunningWeir], Any], weir: RunningWeir) -> float:
    """The moment after the command had ended."""
    await asyncio.to_thread(what, weir)
    return time.monotonic()


def promote_worse(weir: RunningWeir) -> None:
    promote(weir, WORSE)


def taken_back(load: Load, promoted: float, ordered: float, rolled_back: float) -> None:
    """What must hold of a promotion and a rollback, which was ordered at one moment and had ended at another."""
    assert all(one.whole for one in load.seen)
    bad = [one for one in load.since(promoted) if one.ended < ordered]
    assert {one.version for one in bad} == {WORSE}
    assert "exact" in {one.cache for one in bad}, "there was something bad to be had from the cache"
    good = load.since(rolled_back)
    assert {one.version for one in good} == {OLD}
    assert "exact" in {one.cache for one in good}
    print(f"\npromote: {load.told(promoted)}\nrollback: {load.told(rolled_back)}\nrequests: {len(load.seen)}")


def test_no_request_fails_and_none_that_begins_after_a_rollback_meets_the_bad_version(tmp_path: Path) -> None:
    async def used(weir: RunningWeir) -> Load:
        async with load_on(weir) as load:
            await load.more(0)
            promoted = await returned(promote_worse, weir)
            await load.more(promoted)
            before, ordered = await asyncio.to_thread(answered_by, weir), time.monotonic()
            rolled_back = await returned(roll_back, weir)
            await load.more(rolled_back)
            after = await asyncio.to_thread(answered_by, weir)
        assert load.broken == []
        assert (after - before).keys() == {"0", "1"}, "both workers went on"
        taken_back(load, promoted, ordered, rolled_back)
        return load

    with running_weir(config_in(tmp_path), tmp_path / "state", workers=2) as weir:
        assert stored(weir, BAD) == WORSE
        load = asyncio.run(used(weir))
        assert in_force(weir) == {(OLD, "file")}
        weir.stop()
        assert weir.costs()["total"]["requests"] == len(load.seen)


def test_a_worker_that_is_killed_in_between_changes_nothing(tmp_path: Path) -> None:
    """What it was answering is cut, and no more: whoever takes its place begins with what is in force."""

    def kill(weir: RunningWeir, number: int) -> None:
        workers = sorted(workers_of(weir))
        os.kill(workers[number], signal.SIGKILL)
        eventually(lambda: len(now := workers_of(weir)) == 2 and workers[number] not in now, 30)

    async def used(weir: RunningWeir) -> None:
        async with load_on(weir) as load:
            await load.more(0)
            promoted = await returned(promote_worse, weir)
            await asyncio.to_thread(kill, weir, 0)
            await load.more(time.monotonic())
            ordered = time.monotonic()
            rolled_back = await returned(roll_back, weir)
            for number in (0, 1):
                await asyncio.to_thread(kill, weir, number)
            await load.more(time.monotonic())
        taken_back(load, promoted, ordered, rolled_back)
        for error in load.broken:
            assert isinstance(error, (openai.APIConnectionError, httpx.HTTPError))
            assert not isinstance(error.__cause__, httpx.ConnectError), "refused"

    with running_weir(config_in(tmp_path), tmp_path / "state", workers=2) as weir:
        stored(weir, BAD)
        asyncio.run(used(weir))
        assert in_force(weir) == {(OLD, "file")}


def test_what_is_under_way_ends_well_under_the_prompt_that_it_began_with(tmp_path: Path) -> None:
    """The model holds both answers back until promotion and rollback are over."""

    async def streams(weir: RunningWeir, upstream: RecordingUpstream) -> None:
        async with weir.async_client() as client:
            upstream.gate.clear()
            early = asyncio.create_task(ask(client, "support", "How are you?", stream=True))
            await came_to(upstream, 1)
            await returned(promote_worse, weir)
            late = asyncio.create_task(ask(client, "support", "How are you?", stream=True))
            await came_to(upstream, 2)
            await returned(roll_back, weir)
            upstream.gate.set()
            assert [((await one).version, (await one).said) for one in (early, late)] == [
                (OLD, FIRST),
                (WORSE, BAD),
            ]
            again = [await ask(client, "support", "How are you?") for _ in range(20)]
            assert {(one.version, one.said) for one in again} == {(OLD, FIRST)}
            assert again[-1].cache == "exact"

    async def came_to(upstream: RecordingUpstream, number: int) -> None:
        while len(upstream.bodies) < number:  # noqa: ASYNC110 - a thread of the upstream counts them
            await asyncio.sleep(0.01)

    with recording_upstream() as upstream:
        hosted = {"hosted": {"kind": "openai", "base_url": upstream.base_url}}
        models = {"good": {"upstream": "hosted", "name": "mirror", "price": PRICE}}
        config = config_in(tmp_path, upstreams=hosted, models=models)
        with running_weir(config, tmp_path / "state", workers=2) as weir:
            stored(weir, BAD)
            asyncio.run(streams(weir, upstream))


# --- questions in other words


def test_the_semantic_cache_has_no_answer_of_the_bad_version_for_the_old_one(tmp_path: Path) -> None:
    """What it learned about wordings holds for all versions, what it stored for the one it was said under."""
    pairs = {thing: [asked.format(thing) for asked in (ASKED, REWORDED)] for thing in THINGS}
    entries = [{"questions": pair, "answer": f"Open the page of your {thing}."} for thing, pair in pairs.items()]
    (tmp_path / "knowledge.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    semantic = {"semantic": {"max_wrong_hits": 0.3, "audit_share": 1}, "live": []}
    config = config_in(
        tmp_path,
        cache={"matching": {"least_labels": 5}},
        upstreams={"scripted": {"kind": "scripted", "knowledge": "knowledge.jsonl"}},
        models={"good": {"upstream": "scripted", "name": "knowledge", "price": PRICE}},
        routes={"auto": {"candidates": ["good"], "prompt": "support", "cache": semantic}},
    )
    asked, reworded = pairs[THINGS[-1]]
    with running_weir(config, tmp_path / "state") as weir:
        eventually(lambda: "weir_encoder_up 1.0" in weir.get("/metrics", weir.admin_key)[1])
        promote(weir, stored(weir, BAD))
        teach(weir)
        assert found_by_meaning(weir, asked) == "miss"
        bad = ask_about(weir, reworded)[2]
        assert (bad["x-weir-cache"], bad["x-weir-prompt"]) == ("semantic", WORSE)
        eventually(lambda: weir.admin("GET", "/admin/v1/cache")[1]["scopes"][0]["audited"])
        roll_back(weir)
        assert found_by_meaning(weir, asked) == "miss"
        good = ask_about(weir, reworded)[2]
        assert (good["x-weir-cache"], good["x-weir-prompt"]) == ("semantic", OLD), "what it learned is not lost"
        assert good["x-weir-cache-entry"] != bad["x-weir-cache-entry"]


def found_by_meaning(weir: RunningWeir, text: str) -> str:
    """The cache's verdict on a question, which can be found by meaning from then on."""
    before = weir.admin("GET", "/admin/v1/cache")[1]["questions"]
    verdict = ask_about(weir, text)[0]
    known(weir, before + 1)
    return verdict
