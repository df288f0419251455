from __future__ import annotations

import asyncio
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from evals.run_folder import read_run
from evals.runner.batches import in_batches
from evals.runner.ending import Ending
from evals.runner.evaluation import carry_out, prepared
from evals.runner.recall import Recall
from evals.runner.standing import BATCHES, RunRefused
from evals.targets.spec import TargetSpec
from tests.evals.runner.plain import PlainTarget, Went, order, questions, write_suite
from tests.evals.targets.batch_provider import BatchProvider


async def go(
    provider: BatchProvider, tmp_path: Path, ending: Ending | None = None, many: int = 5, **changes: Any
) -> Went:
    suite = write_suite(tmp_path / "suite", questions(many))
    called = ending or Ending()
    recall = Recall(tmp_path / "answers.db")
    async with provider.serving() as base_url:
        way = in_batches(TargetSpec(base_url=base_url, target="gpt-5.1", timeout_s=10), poll_s=0.01)
        with prepared(order(suite, tmp_path / "run", **changes), PlainTarget(), called, recall) as ready:
            await carry_out(ready, way, lambda _: None)
            return Went(called.reason, ready)


async def sent(tmp_path: Path) -> None:
    """Wait until a batch is written down."""
    async with asyncio.timeout(20):
        while not (tmp_path / "run" / BATCHES).exists():  # noqa: ASYNC110 - another task's file
            await asyncio.sleep(0.01)


async def test_a_run_comes_back_from_one_batch(tmp_path: Path) -> None:
    provider = BatchProvider()
    went = await go(provider, tmp_path)
    assert went.reason == ""
    assert len(provider.uploads) == 1
    assert {row.case: row.answer.text for row in went.rows if row.answer} == {
        f"c{number}": f"re: question {number}" for number in range(5)
    }
    assert set(went.scores.values()) == {1.0}
    assert went.run.tally.spent > 0
    assert not (tmp_path / "run" / BATCHES).exists()
    assert read_run(tmp_path / "run").complete


async def test_a_run_that_was_killed_while_it_waited_goes_on_waiting(tmp_path: Path) -> None:
    provider = BatchProvider()
    provider.polls = 10**9
    running = asyncio.create_task(go(provider, tmp_path))
    await sent(tmp_path)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    provider.polls = 0
    went = await go(provider, tmp_path)
    assert len(provider.uploads) == 1, "nothing was sent twice"
    assert len(went.scores) == 5


async def test_a_stop_ends_the_waiting_and_nothing_else(tmp_path: Path) -> None:
    provider, ending = BatchProvider(), Ending()
    provider.polls = 10**9
    running = asyncio.create_task(go(provider, tmp_path, ending))
    await sent(tmp_path)
    ending.call("Stopped.")
    went = await running
    assert (went.reason, went.run.tally.done) == ("Stopped.", 0)
    assert (tmp_path / "run" / BATCHES).exists()


async def test_what_is_being_sent_when_the_run_ends_is_written_down(tmp_path: Path) -> None:
    """The provider has taken it, and would be paid for what nobody fetches."""
    ending = Ending()

    class Slow(BatchProvider):
        async def _create(self, request: web.Request) -> web.Response:
            ending.call("Stopped.")
            await asyncio.sleep(0.05)
            return await super()._create(request)

    provider = Slow()
    assert (await go(provider, tmp_path, ending)).reason == "Stopped."
    assert (tmp_path / "run" / BATCHES).exists()
    assert len((await go(provider, tmp_path)).scores) == 5
    assert len(provider.uploads) == 1


async def test_a_run_that_has_ended_sends_nothing(tmp_path: Path) -> None:
    provider, ending = BatchProvider(), Ending()
    ending.call("Stopped.")
    await go(provider, tmp_path, ending)
    assert not provider.uploads


async def test_what_a_batch_could_not_do_is_sent_again(tmp_path: Path) -> None:
    provider = BatchProvider()
    provider.dropped = {"question 3"}
    went = await go(provider, tmp_path)
    assert [row.case for row in went.rows if row.error] == ["c3"]
    provider.dropped = set()
    went = await go(provider, tmp_path)
    assert [len(upload) for upload in provider.uploads] == [5, 1]
    assert not any(row.error for row in went.rows)


async def test_a_refused_batch_ends_the_run_and_is_forgotten(tmp_path: Path) -> None:
    provider = BatchProvider()
    provider.status, provider.errors = "failed", [{"code": "invalid_json", "message": "Line 3 is wrong."}]
    went = await go(provider, tmp_path)
    assert "Line 3 is wrong." in went.reason
    provider.status = "completed"
    assert len((await go(provider, tmp_path)).scores) == 5


async def test_a_cap_that_a_batch_could_pass_forbids_it(tmp_path: Path) -> None:
    provider = BatchProvider()
    wanted: dict[str, Any] = {"request": {"max_tokens": 100}}
    went = await go(provider, tmp_path, cap=Decimal("0.4"), **wanted)
    assert "Nothing was sent" in went.reason
    assert not provider.uploads
    went = await go(provider, tmp_path, cap=Decimal("0.6"), **wanted)
    assert went.reason == ""
    assert went.run.tally.spent < Decimal("0.6")


async def test_what_is_known_already_is_not_sent(tmp_path: Path) -> None:
    provider = BatchProvider()
    await go(provider, tmp_path)
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    went = await go(provider, tmp_path, many=7)
    assert [len(upload) for upload in provider.uploads] == [5, 2]
    assert [row.recalled for row in went.rows] == [True] * 5 + [False] * 2


def test_a_weir_in_this_process_has_no_batches() -> None:
    with pytest.raises(RunRefused, match="--base-url"):
        in_batches(TargetSpec(target="support", config=Path("weir.yaml")))
