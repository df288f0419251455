"""Runs as a whole, on a plain target: what is asked, what is kept, and what is written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evals.records import Answer, Calibration, Row
from evals.run_folder import RESULTS, Results, read_run
from evals.runner.ending import Ending
from evals.runner.evaluation import locally, prepared
from evals.runner.recall import Recall
from evals.runner.running import IN_A_ROW
from evals.runner.standing import CHANGED, RunRefused, held
from evals.suite import read_suite
from evals.targets.port import TargetFailure
from tests.evals.runner.plain import PlainTarget, go, leaping, order, questions, write_suite


def in_segments(many: int) -> list[dict[str, Any]]:
    return [{**case, "segment": f"s{number % 3}"} for number, case in enumerate(questions(many))]


def right_but_for(*wrong: str) -> PlainTarget:
    return PlainTarget(lambda question, _: Answer(text="no idea" if question in wrong else question))


def interrupted(after: int, ending: Ending) -> PlainTarget:
    """Ctrl-C comes after so many answers."""
    calls = 0

    def reply(question: str, _: int) -> Answer:
        nonlocal calls
        calls += 1
        if calls == after:
            ending.call("Stopped.")
        return Answer(text=question)

    return PlainTarget(reply)


def test_every_case_is_asked_once_and_scored(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", in_segments(30))
    target = right_but_for("question 3", "question 7")
    went = go(order(suite, tmp_path / "run"), target)
    assert went.reason == ""
    assert set(target.asked.values()) == {1}
    assert target.most == 4, "as many at a time as may be"
    assert len(went.rows) == 30
    assert {name for (name, _), score in went.scores.items() if not score} == {"c3", "c7"}
    found = read_run(tmp_path / "run")
    assert found.complete
    assert found.manifest.finished_at is not None
    assert went.run.tally.score == pytest.approx(28 / 30)
    assert {row.segment for row in went.rows} == {"s0", "s1", "s2"}


def test_repeats_are_asked_anew(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(5))
    target = PlainTarget()
    went = go(order(suite, tmp_path / "run", repeats=3), target, tmp_path / "answers.db")
    assert set(target.asked.values()) == {3}
    assert len(went.rows) == 15
    assert not any(row.recalled for row in went.rows)


def test_a_run_that_was_stopped_goes_on_and_asks_no_case_twice(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(40))
    ending = Ending()
    first = interrupted(15, ending)
    stopped = go(order(suite, tmp_path / "run"), first, ending=ending)
    assert stopped.reason == "Stopped."
    assert 15 <= len(stopped.rows) <= 18, "what was under way is kept"
    assert sum(first.asked.values()) == len(stopped.rows)
    assert not read_run(tmp_path / "run").complete
    kept = len(stopped.rows)
    second = PlainTarget()
    went = go(order(suite, tmp_path / "run"), second)
    assert first.asked.keys().isdisjoint(second.asked)
    assert went.run.tally.kept == kept
    undisturbed = go(order(suite, tmp_path / "other"), PlainTarget())
    assert went.scores == undisturbed.scores
    assert read_run(tmp_path / "run").complete
    assert went.run.manifest.started_at == stopped.run.manifest.started_at


def test_a_torn_last_line_is_asked_again(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(8))
    go(order(suite, tmp_path / "run"), PlainTarget())
    results = tmp_path / "run" / RESULTS
    results.write_bytes(results.read_bytes()[:-20])
    target = PlainTarget()
    went = go(order(suite, tmp_path / "run"), target)
    assert sum(target.asked.values()) == 1
    assert len(went.rows) == len(set(went.scores)) == 8


def test_failures_are_rows_of_their_own_and_are_tried_again(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(10))
    refused = TargetFailure("invalid_request", "Too long.")
    target = PlainTarget(lambda question, _: refused if question.endswith("4") else Answer(text=question))
    went = go(order(suite, tmp_path / "run"), target)
    [failed] = [row for row in went.rows if row.error]
    assert (failed.case, failed.error, failed.scores) == ("c4", "invalid_request: Too long.", {})
    assert (went.run.tally.errors, went.run.tally.score) == (1, pytest.approx(0.9))
    again = PlainTarget()
    went = go(order(suite, tmp_path / "run"), again)
    assert list(again.asked) == ["question 4"]
    assert not any(row.error for row in went.rows)


def test_a_run_ends_where_nothing_goes_well_any_more(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(200))
    broken = TargetFailure("malformed", "That is no JSON.")
    target = PlainTarget(lambda question, _: Answer(text=question) if len(question) == 10 else broken)
    went = go(order(suite, tmp_path / "run"), target)
    assert f"{IN_A_ROW} cases failed in a row" in went.reason
    assert "That is no JSON" in went.reason
    assert sum(target.asked.values()) < 10 + IN_A_ROW + 5


def test_a_fatal_failure_keeps_what_was_answered(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(50))
    wrong_key = TargetFailure("unauthorized", "The key was withdrawn.", fatal=True)
    target = PlainTarget(lambda question, _: wrong_key if question == "question 20" else Answer(text=question))
    went = go(order(suite, tmp_path / "run"), target)
    assert went.reason == "The key was withdrawn."
    assert 19 <= len(went.rows) <= 24
    assert not any(row.error for row in went.rows), "a case that was not asked has not failed"


def test_calls_under_way_are_given_some_seconds_and_no_more(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(20))
    ending = Ending()
    target = PlainTarget(takes_s=3600)

    async def later() -> None:
        await asyncio.sleep(1)
        ending.call("Stopped.")

    class Slow(PlainTarget):
        async def start(self) -> None: ...

        async def ask(self, body: Mapping[str, Any], *, fresh: bool = True, model: str = "") -> Answer:
            self.stopper = getattr(self, "stopper", None) or asyncio.create_task(later())
            return await target.ask(body)

    went = go(order(suite, tmp_path / "run"), Slow(), ending=ending)
    assert (went.reason, went.run.tally.done) == ("Stopped.", 0)
    assert target.now == 0, "they were given up"


def test_cases_that_are_new_are_asked_and_changed_ones_asked_or_scored_again(tmp_path: Path) -> None:
    cases = questions(6)
    suite = write_suite(tmp_path / "suite", cases)
    go(order(suite, tmp_path / "run"), PlainTarget())
    cases[1]["input"] = "another question 1"
    cases[2]["expected"] = {"facts": ["something else"]}
    cases[3]["segment"] = "moved"
    write_suite(suite, [*cases[:5], *questions(8)[6:]])  # c5 is gone, c6 and c7 are new
    target = PlainTarget()
    went = go(order(suite, tmp_path / "run"), target)
    assert set(target.asked) == {"another question 1", "question 6", "question 7"}
    assert {name for name, _ in went.scores} == {"c0", "c1", "c2", "c3", "c4", "c6", "c7"}
    assert went.scores[("c2", 0)] == 0
    assert next(row.segment for row in went.rows if row.case == "c3") == "moved"
    assert read_run(tmp_path / "run").complete


def test_a_changed_question_that_was_not_asked_yet_does_not_count_as_answered(tmp_path: Path) -> None:
    cases = questions(3)
    suite = write_suite(tmp_path / "suite", cases)
    go(order(suite, tmp_path / "run"), PlainTarget())
    cases[1]["input"] = "another question 1"
    write_suite(suite, cases)
    wrong_key = PlainTarget(lambda _, __: TargetFailure("unauthorized", "Wrong key.", fatal=True))
    went = go(order(suite, tmp_path / "run"), wrong_key)
    assert {row.case: row.error for row in went.rows} == {"c0": "", "c1": CHANGED, "c2": ""}


def test_another_scorer_scores_what_is_there_without_asking(tmp_path: Path) -> None:
    cases = [{**case, "expected": {"facts": [case["input"], "never said"]}} for case in questions(5)]
    suite = write_suite(tmp_path / "suite", cases)
    assert set(go(order(suite, tmp_path / "run"), PlainTarget()).scores.values()) == {0.0}
    write_suite(suite, cases, scorers="[{kind: contains_facts, share: true}]")
    target = PlainTarget()
    went = go(order(suite, tmp_path / "run"), target)
    assert not target.asked
    assert set(went.scores.values()) == {0.5}
    assert len(went.rows) == 5
    assert not went.run.manifest.scorers["contains_facts"].binary
    third = go(order(suite, tmp_path / "run"), target)
    assert third.run.tally.kept == 5
    assert not list(third.run.works()), "what was scored anew is done"


@pytest.mark.parametrize(
    ("changes", "target", "told"),
    [
        ({}, PlainTarget(name="other"), "target 'plain', not 'other'"),
        ({}, PlainTarget(version="2"), "another address or configuration of plain"),
        ({"request": {"temperature": 1}}, PlainTarget(), "request {}, not {'temperature': 1}"),
        ({"repeats": 1}, PlainTarget(), "2 repeats, not 1"),
        ({"fresh": False}, PlainTarget(), "plain without --with-cache"),
    ],
)
def test_a_folder_with_another_run_is_refused(
    tmp_path: Path, changes: dict[str, Any], target: PlainTarget, told: str
) -> None:
    suite = write_suite(tmp_path / "suite", questions(3))
    go(order(suite, tmp_path / "run", repeats=2), PlainTarget())
    before = (tmp_path / "run" / RESULTS).read_bytes()
    with pytest.raises(RunRefused, match="--fresh-start") as refused:
        go(order(suite, tmp_path / "run", **{"repeats": 2, **changes}), target)
    assert told in str(refused.value)
    assert not target.asked
    assert (tmp_path / "run" / RESULTS).read_bytes() == before
    went = go(order(suite, tmp_path / "run", afresh=True, **{"repeats": 2, **changes}), target)
    assert went.run.tally.kept == 0
    assert read_run(tmp_path / "run").complete


def test_a_run_that_got_no_answer_makes_room_for_another(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(3))
    broken = PlainTarget(lambda question, _: TargetFailure("http_404", "There is nothing there."), version="typo")
    assert {bool(row.error) for row in go(order(suite, tmp_path / "run"), broken).rows} == {True}
    went = go(order(suite, tmp_path / "run"), PlainTarget())
    assert (set(went.scores.values()), went.run.manifest.target_version) == ({1.0}, "1")
    assert len((tmp_path / "run" / RESULTS).read_text(encoding="utf-8").splitlines()) == 3


@pytest.mark.parametrize("afresh", [True, False])
def test_a_suites_own_folder_is_no_place_for_a_run(tmp_path: Path, afresh: bool) -> None:
    suite = write_suite(tmp_path / "suite", questions(3))
    before = (suite / "cases.jsonl").read_bytes()
    with pytest.raises(RunRefused, match="holds a suite"):
        go(order(suite, suite, cases=read_suite(suite).cases[:1], afresh=afresh), PlainTarget())
    assert (suite / "cases.jsonl").read_bytes() == before


def test_two_runs_do_not_write_to_one_folder(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(3))
    refusals = []

    def reply(question: str, _: int) -> Answer:
        with pytest.raises(RunRefused, match="Another run is writing") as refused, held(tmp_path / "run"):
            pass
        refusals.append(refused)
        return Answer(text=question)

    go(order(suite, tmp_path / "run"), PlainTarget(reply))
    assert len(refusals) == 3


def test_answers_that_were_paid_for_once_are_recalled(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(6))
    dear = PlainTarget(lambda question, _: Answer(text=question, cost=Decimal("0.5"), latency_ms=7))
    first = go(order(suite, tmp_path / "one"), dear, tmp_path / "answers.db")
    assert first.run.tally.spent == 3
    again = PlainTarget()
    went = go(order(suite, tmp_path / "two"), again, tmp_path / "answers.db")
    assert not again.asked
    assert went.run.tally.spent == 0
    assert all(row.recalled and row.answer and row.answer.cost == Decimal("0.5") for row in went.rows)
    assert {row.answer.latency_ms for row in went.rows if row.answer} == {7}
    other = PlainTarget(version="2")
    go(order(suite, tmp_path / "three"), other, tmp_path / "answers.db")
    assert len(other.asked) == 6, "another configuration answers for itself"


@pytest.mark.parametrize("of_weirs", [True, False])
def test_answers_of_a_weir_elsewhere_are_not_recalled(tmp_path: Path, of_weirs: bool) -> None:
    """Its configuration may change, and nobody would tell."""
    suite = write_suite(tmp_path / "suite", questions(4))
    weir = PlainTarget(lambda question, _: Answer(text=question, evidence={"route": "support"}))
    for folder in ("one", "two"):
        go(order(suite, tmp_path / folder), weir, tmp_path / "answers.db", of_weirs=of_weirs)
    assert set(weir.asked.values()) == {1 if of_weirs else 2}


def test_the_cap_holds_over_starts_too(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(30))
    target = PlainTarget(lambda question, _: Answer(text=question, completion_tokens=9, cost=Decimal("0.009")))
    wanted: dict[str, Any] = {"cap": Decimal("0.1"), "request": {"max_tokens": 10}}
    first = go(order(suite, tmp_path / "run", **wanted), target)
    assert "--max-usd" in first.reason
    assert Decimal("0.08") <= first.run.tally.spent <= Decimal("0.1")
    answered = len(first.rows)
    second = go(order(suite, tmp_path / "run", **wanted), target)
    assert len(second.rows) == answered == sum(target.asked.values())
    third = go(order(suite, tmp_path / "run", **{**wanted, "cap": Decimal(1)}), target)
    assert third.reason == ""
    assert set(target.asked.values()) == {1}


def test_a_cap_that_nobody_can_keep_is_refused(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(3))
    target = PlainTarget(priced=False)
    with pytest.raises(RunRefused, match="--price"):
        go(order(suite, tmp_path / "run", cap=Decimal(1)), target)
    assert not target.asked
    assert not (tmp_path / "run").exists()


JUDGE = "[contains_facts, {kind: judge, model: the-judge, rubric: It is right., allow_same_family: true}]"


class Judged(PlainTarget):
    """Answers, and judges: `verdicts` in turn, each a text or a failure; the last one for ever."""

    verdicts: Sequence[str | TargetFailure] = ()
    judged = 0

    async def ask(self, body: Mapping[str, Any], *, fresh: bool = True, model: str = "") -> Answer:
        if not model:
            return await super().ask(body)
        await asyncio.sleep(0.01)
        said = self.verdicts[min(self.judged, len(self.verdicts) - 1)]
        self.judged += 1
        if isinstance(said, TargetFailure):
            raise said
        return Answer(text=said, model="the-judge-1", cost=Decimal("0.25"))


PASS, UNREADABLE = json.dumps({"reason": "yes", "pass": True}), "hm"


def test_judges_are_asked_once_and_their_costs_count(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(4), scorers=JUDGE)
    target = Judged()
    target.verdicts = [PASS]
    went = go(order(suite, tmp_path / "run"), target)
    assert went.run.tally.spent == 1
    assert {row.scores["judge"].cost for row in went.rows} == {Decimal("0.25")}
    assert {row.scores["judge"].value for row in went.rows} == {1}
    go(order(suite, tmp_path / "run"), target)
    assert target.judged == 4


def test_what_a_judge_could_not_judge_is_left_out_told_and_judged_later(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(3), scorers=JUDGE)
    target = Judged()
    target.verdicts = [UNREADABLE]
    went = go(order(suite, tmp_path / "run"), target)
    assert went.run.tally.unjudged == 3
    assert "unreadable_judge" in went.run.tally.last_error
    assert [set(row.scores) for row in went.rows] == [{"contains_facts"}] * 3
    assert went.run.tally.spent == Decimal("1.5"), "it was paid for all the same"
    target.verdicts, target.judged = [PASS], 0
    went = go(order(suite, tmp_path / "run"), target)
    assert target.judged == 3
    assert set(target.asked.values()) == {1}
    assert [set(row.scores) for row in went.rows] == [{"contains_facts", "judge"}] * 3


def test_a_judge_that_never_decides_ends_the_run(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(100), scorers=JUDGE)
    target = Judged()
    target.verdicts = [UNREADABLE]
    went = go(order(suite, tmp_path / "run"), target)
    assert f"{IN_A_ROW} answers could not be judged in a row" in went.reason
    assert len(went.rows) <= IN_A_ROW + 4


def test_an_answer_is_kept_where_its_judge_ends_the_run(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(3), scorers=JUDGE)
    target = Judged()
    target.verdicts = [TargetFailure("unauthorized", "The judge's key is wrong.", fatal=True)]
    went = go(order(suite, tmp_path / "run", concurrency=1), target)
    assert went.reason == "The judge's key is wrong."
    assert {frozenset(row.scores) for row in went.rows} == {frozenset({"contains_facts"})}
    assert len(went.rows) <= 2, "the one that was judged, and the one that was under way"


def test_calibrations_of_this_judge_go_with_the_run(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(2), scorers=JUDGE)
    target = Judged()
    target.verdicts = [PASS]
    plain = go(order(suite, tmp_path / "run"), target).run.manifest
    fits = msgspec.convert(
        {
            "scorer": "judge",
            "version": plain.scorers["judge"].version,
            "good_called_good": 9,
            "good_called_bad": 1,
            "bad_called_bad": 8,
            "bad_called_good": 2,
            "kappa": 0.7,
            "kappa_low": 0.5,
            "kappa_high": 0.9,
            "at": plain.started_at,
        },
        Calibration,
    )
    old = msgspec.structs.replace(fits, version="another")
    for found, wanted in ((fits, {"judge": fits}), (old, {})):
        went = go(order(suite, tmp_path / "run", calibrations={"judge": found}), target)
        assert went.run.manifest.calibrations == wanted


def test_an_encoder_that_is_missing_ends_the_run_with_advice(tmp_path: Path) -> None:
    cases = [{**case, "expected": {"reference": "yes"}} for case in questions(3)]
    suite = write_suite(tmp_path / "suite", cases, scorers="[similarity]")
    went = go(order(suite, tmp_path / "run", concurrency=1), PlainTarget())
    assert went.reason == "similarity: there is no encoder here"


def test_a_row_that_cannot_be_written_ends_the_run(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(30))
    target = PlainTarget()

    def full(_: Row, __: Mapping[str, str]) -> None:
        raise OSError("No space left on device")

    async def run() -> None:
        with prepared(order(suite, tmp_path / "run"), target, Ending(), Recall(None)) as ready:
            await locally(ready, full)

    with pytest.raises(OSError, match="No space left"):
        leaping(run())
    assert sum(target.asked.values()) <= 8, "those whose rows were lost, and those that were under way"


def test_the_estimate_tells_what_is_left(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(8), scorers=JUDGE)
    target = Judged()
    target.verdicts = [PASS]
    wanted: dict[str, Any] = {"request": {"max_tokens": 50}}

    def told(**changes: Any) -> Any:
        async def ask() -> Any:
            recall = Recall(tmp_path / "answers.db")
            with prepared(order(suite, tmp_path / "run", **wanted, **changes), target, Ending(), recall) as ready:
                return ready.estimate()

        return asyncio.run(ask())

    whole = told()
    assert (whole.requests, whole.judged, whole.recalled) == (8, 8, 0)
    assert whole.completion_tokens == 8 * (50 + 100)
    assert whole.dollars == whole.most
    assert whole.dollars > Decimal("1.2")
    go(order(suite, tmp_path / "other", **wanted), target, tmp_path / "answers.db")
    recalled = told()
    assert (recalled.requests, recalled.judged, recalled.recalled) == (0, 8, 8)
    assert recalled.dollars < whole.dollars


def test_rows_are_appended_and_never_rewritten(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(4))
    go(order(suite, tmp_path / "run"), PlainTarget())
    before = (tmp_path / "run" / RESULTS).read_bytes()
    results = Results(tmp_path / "run")
    row = read_run(tmp_path / "run").rows[0]
    results.append(msgspec.structs.replace(row, answer=None, scores={}, error="reset: It broke off."))
    results.close()
    target = PlainTarget()
    went = go(order(suite, tmp_path / "run"), target)
    assert sum(target.asked.values()) == 1, "the last row of a case counts"
    assert (tmp_path / "run" / RESULTS).read_bytes().startswith(before)
    assert all(isinstance(one, Row) and not one.error for one in went.rows)
