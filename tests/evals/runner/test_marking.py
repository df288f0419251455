"""Whose scores stand together in one run, and cases that nobody can judge."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from evals.records import Answer, Calibration
from evals.runner.standing import RunRefused
from tests.evals.runner.plain import PlainTarget, go, order, questions, write_suite

JUDGE = "[contains_facts, {kind: judge, model: the-judge, rubric: It is right., allow_same_family: true}]"


class JudgedBy(PlainTarget):
    """Answers, and judges under the name that is `judge` at that time."""

    judge = "the-judge-1"
    judged = 0

    async def ask(self, body: Mapping[str, object], *, fresh: bool = True, model: str = "") -> Answer:
        if not model:
            return await super().ask(body)
        await asyncio.sleep(0.01)
        self.judged += 1
        return Answer(text=json.dumps({"reason": "yes", "pass": True, "better": "tie"}), model=self.judge)


def test_a_run_that_goes_on_takes_no_scores_of_another_judge(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(12), scorers=JUDGE)
    target = JudgedBy()
    half = order(suite, tmp_path / "run")
    go(order(suite, tmp_path / "run", cases=half.cases[:6]), target)
    target.judge = "the-judge-2"
    went = go(half, target)
    assert "answered as the-judge-2, and earlier as the-judge-1" in went.reason
    assert {row.scores["judge"].judge for row in went.rows if "judge" in row.scores} == {"the-judge-1"}
    assert sum("judge" in row.scores for row in went.rows) == 6
    target.judge = "the-judge-1"
    went = go(half, target)
    assert (went.reason, sum("judge" in row.scores for row in went.rows)) == ("", 12)
    assert set(target.asked.values()) == {1}


def test_another_judge_than_the_calibrated_one_is_refused(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(3), scorers=JUDGE)
    target = JudgedBy()
    facts = go(order(suite, tmp_path / "plain"), target).run.manifest.scorers["judge"]
    calibrated = Calibration(
        scorer="judge",
        version=facts.version,
        good_called_good=40,
        good_called_bad=1,
        bad_called_bad=40,
        bad_called_good=1,
        kappa=0.9,
        kappa_low=0.8,
        kappa_high=1.0,
        at=datetime.now(UTC),
    )
    for judge, scored in (("the-judge-1", 3), ("the-judge-0", 0)):
        calibration = msgspec.structs.replace(calibrated, judge=judge)
        went = go(order(suite, tmp_path / judge, calibrations={"judge": calibration}), target)
        assert sum("judge" in row.scores for row in went.rows) == scored
        assert bool(went.reason) == (scored == 0)


def test_cases_that_nobody_can_judge_are_not_asked(tmp_path: Path) -> None:
    pairs = "[{kind: pairwise, model: the-judge, allow_same_family: true}]"
    suite = write_suite(tmp_path / "suite", questions(3, expected={}), scorers=pairs)
    target = JudgedBy()
    with pytest.raises(RunRefused, match=r"(?s)pairwise needs another run to compare with.*--against"):
        go(order(suite, tmp_path / "run"), target)
    assert not target.asked
    assert not (tmp_path / "run").exists()
    went = go(order(suite, tmp_path / "run", reference={"c1": "an answer"}), target)
    assert [set(row.scores) for row in sorted(went.rows, key=lambda row: row.case)] == [set(), {"pairwise"}, set()]
