"""Holding a judge against people's labels, and the file that comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from evals.calibration import (
    FOLDER,
    CalibrationUnusable,
    ask_judge,
    calibrated,
    lacking,
    read_calibrations,
    write_calibration,
)
from evals.cases import Case
from evals.judging.labels import Label, LabelsUnusable, agreed
from evals.records import Answer, Score
from evals.scorers.catalogue import SETTINGS, scorer_of
from evals.scorers.port import Instruments, Scorer
from evals.targets.port import TargetFailure


def nothing(_: Any) -> Any:
    raise AssertionError("no vectors are needed")


def judge(ask: Any = nothing, **settings: Any) -> Scorer:
    said = SETTINGS.validate_python({"kind": "judge", "model": "claude-9", "rubric": "Right.", **settings})
    return scorer_of(said, Instruments(ask=ask, encode=nothing))


def label(answer: str, good: bool, cluster: str = "", rater: str = "") -> Label:
    messages = ({"role": "user", "content": "How?"},)
    case = Case(
        id=f"case {answer}", messages=messages, expected={}, segment="", cluster=cluster or answer, metadata={}
    )
    return Label(case=case, answer=answer, good=good, rater=rater, where="labels.jsonl:1")


def labelled(*counts: tuple[int, bool, bool]) -> tuple[list[Label], list[Score | TargetFailure]]:
    """(how many, as people call them, as the judge does)."""
    labels: list[Label] = []
    scores: list[Score | TargetFailure] = []
    for count, good, judged in counts:
        labels += [label(f"{len(labels) + at}", good) for at in range(count)]
        scores += [Score(value=float(judged), why="because")] * count
    return labels, scores


PLANTED = ((54, True, True), (6, True, False), (30, False, False), (10, False, True))


def test_counts_and_rates_are_those_of_the_table() -> None:
    labels, scores = labelled(*PLANTED)
    found = calibrated(judge(), labels, scores, cases=200, cost=Decimal(3))
    counts = found.calibration
    assert (counts.good_called_good, counts.good_called_bad) == (54, 6)
    assert (counts.bad_called_bad, counts.bad_called_good) == (30, 10)
    assert (counts.scorer, counts.version) == ("judge", judge().version)
    assert (found.sensitivity.value, found.specificity.value) == (0.9, 0.75)
    assert found.sensitivity.low == pytest.approx(0.7985, abs=5e-3), "Wilson's"
    # Agreement .84, by chance .64 * .6 + .36 * .4 = .528.
    assert found.kappa.value == counts.kappa == pytest.approx((0.84 - 0.528) / (1 - 0.528))
    assert counts.kappa_low < counts.kappa < counts.kappa_high
    assert [(one.good, one.judged_good) for one in found.disagreements] == [(True, False)] * 6 + [
        (False, True)
    ] * 10
    assert (found.disagreements[0].answer, found.disagreements[0].why) == ("54", "because")
    assert found.more is not None
    assert (found.notes, found.cost) == ([], Decimal(3))


def test_answers_of_one_cluster_make_the_interval_wider() -> None:
    labels, scores = labelled(*PLANTED)
    alike = [label(one.answer, one.good, cluster=str(int(one.answer) // 10)) for one in labels]
    apart, together = (calibrated(judge(), said, scores, cases=9, cost=Decimal(0)) for said in (labels, alike))
    assert together.sensitivity.low < apart.sensitivity.low


def test_what_a_reader_must_know_is_told() -> None:
    labels, scores = labelled((29, True, True), (1, True, False), (5, False, False), (2, False, True))
    scores[0] = TargetFailure("unreadable_judge", "unreadable")
    labels += [label("split", True, rater="x"), label("split", False, rater="y")]
    found = calibrated(judge(), labels, scores, cases=100, cost=Decimal(0))
    few, undecided, failed = found.notes
    assert "29 good and 7 bad" in few
    assert "people are split were left out (1)" in undecided
    assert "not be judged were left out (1)" in failed
    assert (found.not_judged, found.split) == ({"unreadable_judge": 1}, 1)
    assert found.calibration.good_called_good == 28


def test_a_judge_that_throws_dice_is_told_to_be_useless() -> None:
    labels, scores = labelled((20, True, True), (20, True, False), (20, False, False), (20, False, True))
    found = calibrated(judge(), labels, scores, cases=100, cost=Decimal(0))
    assert "no better than chance" in found.notes[0]
    assert found.more is None


@pytest.mark.parametrize("judged", [True, False])
def test_a_judge_that_calls_all_answers_the_same_agrees_by_chance_alone(judged: bool) -> None:
    labels, scores = labelled((40, True, judged), (40, False, judged))
    found = calibrated(judge(), labels, scores, cases=100, cost=Decimal(0))
    assert found.kappa.value == 0
    assert "no better than chance" in found.notes[0]


def test_where_nothing_could_be_judged_the_reason_is_told() -> None:
    labels, _ = labelled((2, True, True), (2, False, True))
    with pytest.raises(LabelsUnusable, match=r"left out \(4\).*unreadable_judge: it mumbles"):
        failures = [TargetFailure("unreadable_judge", "it mumbles")] * 4
        calibrated(judge(), labels, failures, cases=100, cost=Decimal(0))


@pytest.mark.parametrize("kind", [True, False])
def test_labels_of_one_kind_only_are_not_enough(kind: bool) -> None:
    labels, scores = labelled((40, kind, True))
    with pytest.raises(LabelsUnusable, match="some of both"):
        calibrated(judge(), labels, scores, cases=100, cost=Decimal(0))


async def test_answers_are_judged_side_by_side_and_scores_stay_in_order() -> None:
    under_way, most = 0, 0

    async def ask(body: Mapping[str, Any]) -> Answer:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        text = body["messages"][1]["content"]
        for _ in range(3 + len(text) % 5):
            await asyncio.sleep(0)
        under_way -= 1
        if "fails" in text:
            raise TargetFailure("timeout", "no answer")
        return Answer(text="PASS" if "good" in text else "FAIL")

    names = ["good 1", "bad 22", "fails", "good 4444", "bad 5", "good 666"]
    told: list[None] = []
    answers = agreed([label(name, True) for name in names])
    scores = await ask_judge(judge(ask), answers, concurrency=3, told=lambda: told.append(None))
    values = [score.value if isinstance(score, Score) else score.code for score in scores]
    assert values == [1.0, 0.0, "timeout", 1.0, 0.0, 1.0]
    assert (len(told), most) == (6, 3)


async def test_a_failure_that_no_answer_would_escape_ends_it_at_once() -> None:
    asked: list[None] = []

    async def ask(_: Mapping[str, Any]) -> Answer:
        asked.append(None)
        raise TargetFailure("invalid_api_key", "the key is wrong", fatal=True)

    with pytest.raises(TargetFailure, match="the key is wrong"):
        await ask_judge(judge(ask), agreed([label(str(n), True) for n in range(50)]), concurrency=2)
    assert len(asked) <= 2


def test_what_answers_lack_is_told_with_their_lines() -> None:
    answers = agreed([label("x", True)])
    assert lacking(judge(), answers) == []
    assert lacking(judge(rubric=""), answers) == ["labels.jsonl:1: judge needs a `rubric`, or `expected.rubric`"]


def test_calibrations_are_found_again(tmp_path: Path) -> None:
    labels, scores = labelled(*PLANTED)
    assert read_calibrations(tmp_path) == {}
    made = [
        calibrated(judge(name=name), labels, scores, cases=1, cost=Decimal(0)).calibration
        for name in ("is kind", "../../sly", "..")
    ]
    paths = [write_calibration(tmp_path, one) for one in made]
    assert {path.parent for path in paths} == {tmp_path / FOLDER}
    assert read_calibrations(tmp_path) == {one.scorer: one for one in made}
    assert write_calibration(tmp_path, made[0]) == paths[0]
    assert len(list((tmp_path / FOLDER).iterdir())) == 3


def test_a_damaged_calibration_is_told(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "judge.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CalibrationUnusable, match=r"judge\.json"):
        read_calibrations(tmp_path)
