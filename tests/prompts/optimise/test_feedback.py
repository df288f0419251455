"""Each answer is asked for once, scored once, told once; and dspy is told why."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import dspy
import pytest

from evals.cases import Case
from evals.records import Answer
from prompts.optimise.feedback import Escape, Reply, Trials, score, score_and_feedback
from prompts.optimise.ports import CallFailed, Marked, Parts, Search, SearchEnded
from prompts.prompt import BookedPrompt
from tests.prompts.optimise.plain_line import BARE, PlainLine, Tale, fits


def case(name: str, *, turns: int = 1) -> Case:
    messages = tuple({"role": "user", "content": f"{name}?"} for _ in range(turns))
    return Case(id=name, messages=messages, expected={}, segment="all", cluster=name, metadata={})


CASES = tuple(case(f"case {number}") for number in range(12))
ASKED = [{"role": "user", "content": "How much?"}]


class Marks(PlainLine):
    """Scores by case; one that has none has no score to be had."""

    def __init__(self, values: Mapping[str, float]) -> None:
        super().__init__()
        self.values = values

    def mark(self, case: Case, answer: Answer) -> Marked:
        if case.id not in self.values:
            raise CallFailed("the judge is down")
        return Marked(self.values[case.id], "")


class Held(PlainLine):
    """Answers once the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.begun = threading.Event()

    def task(
        self, case: Case, messages: Sequence[Mapping[str, Any]], temperature: float | None = None, *, version: str
    ) -> Answer:
        self.begun.set()
        assert self.gate.wait(30)
        return super().task(case, messages, temperature, version=version)

    def mark(self, case: Case, answer: Answer) -> Marked:
        return Marked(1.0, "")


def search_over(line: PlainLine, told: Tale, **other: Any) -> Search:
    usual: dict[str, Any] = {"unfit": fits, "slots": {}, "effort": "light", "seed": 0, "concurrency": 4}
    parts = Parts(train=CASES, validation=(), test=())
    return Search(prompt=BARE, parts=parts, line=line, told=told, most_demonstrations=4, **{**usual, **other})


def predicted(value: float, why: str = "", *, shown: bool = True, segment: str = "all") -> dspy.Prediction:
    marked = replace(case("a"), segment=segment)
    return dspy.Prediction(reply=Reply.scored("text", Marked(value, why), marked, can_be_shown=shown))


def test_many_threads_that_want_one_answer_get_it_for_one_call() -> None:
    line, told = Held(), Tale()
    trials = Trials(search_over(line, told))
    with ThreadPoolExecutor(8) as pool:
        replies = [pool.submit(trials.reply, BARE, CASES[0], ASKED) for _ in range(8)]
        line.gate.set()
        assert len({id(reply.result()) for reply in replies}) == 1
    assert len(line.tasks) == 1
    assert told.scores == {BARE.version: {"case 0": 1.0}}


def test_samples_stand_apart_and_are_not_told() -> None:
    line, told = Marks({"case 0": 0.5}), Tale()
    trials = Trials(search_over(line, told))
    for sample in (0, 1, 1):
        trials.reply(BARE, CASES[0], ASKED, 1.0, sample)
    assert len(line.tasks) == 2
    assert not told.scores


def test_a_slot_is_filled_with_what_the_search_says() -> None:
    prompt = BookedPrompt(sections=(BARE.sections[0],), slots={"company": "Tolvana"}, rule="prepend")
    prompt = prompt.tuned({"instructions": "You work for {{ company }}."})
    line = Marks({"case 0": 1.0})
    Trials(search_over(line, Tale(), slots={"company": "Umbra"})).replies(prompt, CASES[:1])
    assert b"You work for Umbra." in line.tasks[0]


def test_an_answer_that_cannot_be_scored_counts_nothing_and_says_why() -> None:
    told = Tale()
    reply = Trials(search_over(Marks({}), told)).reply(BARE, CASES[0], ASKED)
    assert (str(reply), reply.marked) == ("", Marked(0.0, "the judge is down"))
    assert told.scores == {BARE.version: {"case 0": 0.0}}


def test_an_unfit_prompt_is_judged_once_and_told_to_nobody_but_dspy() -> None:
    looks: list[str] = []

    def unfit(prompt: BookedPrompt) -> str:
        looks.append(prompt.version)
        return "it quotes a case"

    line, told = PlainLine(), Tale()
    trials = Trials(search_over(line, told, unfit=unfit))
    replies = trials.replies(BARE, CASES)
    assert {reply.marked for reply in replies} == {Marked(0.0, "it quotes a case")}
    assert (len(line.tasks), told.scores, looks) == (0, {}, [BARE.version])


@pytest.mark.parametrize(
    ("values", "bar"),
    [
        ([1.0] * 12, 1.0),
        ([1.0] * 8 + [0.2] * 4, 1.0),
        ([1.0] * 7 + [0.5] * 5, 0.5),
        ([0.9, 0.8, 0.7] + [0.0] * 9, 0.7),
        ([0.0] * 12, 1.0),
    ],
)
def test_twice_as_many_answers_reach_the_bar_as_may_be_shown(values: list[float], bar: float) -> None:
    line = Marks({found.id: value for found, value in zip(CASES, values, strict=True)})
    assert Trials(search_over(line, Tale())).bar() == bar


def test_there_is_no_bar_that_cases_reach_which_cannot_be_shown() -> None:
    parts = Parts(train=tuple(case(found.id, turns=2) for found in CASES), validation=(), test=())
    line = Marks({found.id: 0.5 for found in CASES})
    assert Trials(replace(search_over(line, Tale()), parts=parts)).bar() == 1.0


def test_closing_waits_for_calls_under_way_and_lets_no_other_begin() -> None:
    line, told = Held(), Tale()
    trials = Trials(search_over(line, told))
    with ThreadPoolExecutor(2) as pool:
        reply = pool.submit(trials.reply, BARE, CASES[0], ASKED)
        assert line.begun.wait(30)
        closed = pool.submit(trials.close)
        line.gate.set()
        closed.result()
        assert told.scores
        assert reply.result().marked.value == 1.0
    with pytest.raises(Escape):
        trials.reply(BARE, CASES[1], ASKED)
    assert len(line.tasks) == 1


def test_the_end_of_the_calls_escapes_all_who_wait() -> None:
    trials = Trials(search_over(PlainLine(most=0), Tale()))
    for _ in range(2):
        with pytest.raises(Escape) as escape:
            trials.reply(BARE, CASES[0], ASKED)
        assert isinstance(escape.value.cause, SearchEnded)
    assert not isinstance(escape.value, Exception)  # dspy catches these


def test_an_answer_that_cannot_be_shown_is_worth_nothing_as_a_demonstration() -> None:
    assert score(dspy.Example(), predicted(0.75, shown=False)) == 0.75
    assert score(dspy.Example(), predicted(0.75, shown=False), []) == 0.0
    assert score(dspy.Example(), predicted(0.75), []) == 0.75


@pytest.mark.parametrize(
    ("prediction", "feedback"),
    [
        (predicted(0.25, "does not say: $8", segment="prices"),
         "Score 0.25 of 1. does not say: $8 Kind of question: prices."),
        (predicted(1.0), "Score 1.00 of 1. Nothing is missing. Kind of question: all."),
        (predicted(0.0, segment=""), "Score 0.00 of 1. The scorer gives no reason."),
    ],
)  # fmt: skip
def test_feedback_says_what_the_scorer_says(prediction: dspy.Prediction, feedback: str) -> None:
    told = score_and_feedback(dspy.Example(), prediction)
    assert (told.score, told.feedback) == (prediction.reply.marked.value, feedback)
