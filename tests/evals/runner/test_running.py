"""How a run ends while answers are being judged: nothing that was paid for is lost, nor written twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from evals.records import Answer
from evals.run_folder import read_run, rows_in
from evals.runner.ending import GRACE_S, Ending
from tests.evals.runner.plain import PlainTarget, go, leaping, order, questions, write_suite

JUDGE = "[contains_facts, {kind: judge, model: the-judge, rubric: It is right., allow_same_family: true}]"
PASS = json.dumps({"reason": "yes", "pass": True})


class Judged(PlainTarget):
    """Answers at once; its judge takes `judging_s`, after `judging` was told."""

    judging_s: float = 0.01
    judging: Callable[[], None] = staticmethod(lambda: None)
    verdict = PASS

    async def ask(self, body: Mapping[str, Any], *, fresh: bool = True, model: str = "") -> Answer:
        if not model:
            return await super().ask(body)
        self.judging()
        await asyncio.sleep(self.judging_s)
        return Answer(text=self.verdict, model="the-judge-1")


def slow(ending: Ending, many: int) -> Judged:
    """A judge who takes an hour; Ctrl-C comes when so many have begun to wait for it."""
    target, begun = Judged(), 0

    def judging() -> None:
        nonlocal begun
        begun += 1
        if begun == many:
            asyncio.get_running_loop().call_later(1, ending.call, "Stopped.")

    target.judging_s, target.judging = 3600, judging
    return target


@pytest.mark.parametrize(("cases", "kept"), [(20, 4), (2, 2)])
def test_a_stop_waits_no_longer_for_judges_than_it_should_and_keeps_all_answers(
    tmp_path: Path, cases: int, kept: int
) -> None:
    """Two answers are being judged and two wait for that; or there is no other case, and only the judge works."""
    suite, ending = write_suite(tmp_path / "suite", questions(cases), scorers=JUDGE), Ending()
    target = slow(ending, 2)

    async def timed() -> float:
        from evals.runner.evaluation import carry_out, locally, prepared
        from evals.runner.recall import Recall

        with prepared(order(suite, tmp_path / "run", concurrency=2), target, ending, Recall(None)) as ready:
            await carry_out(ready, locally, lambda _: None)
            assert ready.tally.done == kept
        return asyncio.get_running_loop().time()

    assert leaping(timed()) < GRACE_S + 3
    rows = read_run(tmp_path / "run").rows
    assert len(rows) == kept == sum(target.asked.values())
    assert all(row.answer is not None and "judge" not in row.scores for row in rows)
    went = go(order(suite, tmp_path / "run"), Judged())
    assert [set(row.scores) for row in went.rows] == [{"contains_facts", "judge"}] * cases


def test_an_answer_is_on_disk_before_its_judge_is_asked(tmp_path: Path) -> None:
    """So that nobody pays for it twice, even if the process is killed meanwhile."""
    suite = write_suite(tmp_path / "suite", questions(3), scorers=JUDGE)
    target, found = Judged(), []
    target.judging = lambda: found.append(len(list(rows_in(tmp_path / "run"))))
    went = go(order(suite, tmp_path / "run", concurrency=1), target)
    assert found[0] >= 1
    assert len(went.rows) == went.run.tally.done == 3


def test_a_scorer_that_breaks_costs_no_answer(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(3), scorers=JUDGE)
    target = Judged()

    def broken() -> None:
        raise ZeroDivisionError

    target.judging = broken
    with pytest.raises(ZeroDivisionError):
        go(order(suite, tmp_path / "run", concurrency=1), target)
    assert [row.case for row in read_run(tmp_path / "run").rows] == ["c0"]


def test_a_reason_that_is_no_text_is_written_down_all_the_same(tmp_path: Path) -> None:
    """Half a surrogate pair, as in JSON that a model wrote, has no form in UTF-8."""
    suite = write_suite(tmp_path / "suite", questions(1), scorers=JUDGE)
    target = Judged()
    target.verdict = '{"reason": "\\ud83d is half a face", "pass": true}'
    [row] = go(order(suite, tmp_path / "run"), target).rows
    assert row.scores["judge"].why == "? is half a face"
