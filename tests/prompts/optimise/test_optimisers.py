"""dspy's optimisers over the scripted models: they find something, keep to what they say, stop, and are quiet."""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import dspy
import pytest

from evals.cases import Case, canonical
from evals.records import Answer
from evals.runner.plan import body_of
from prompts.optimise.catalogue import optimiser_of
from prompts.optimise.order import OptimiserName
from prompts.optimise.ports import Marked, SearchEnded
from prompts.prompt import BookedPrompt, Contract, Section
from tests.prompts.optimise.plain_line import BARE, PlainLine, Tale, search_for

NAMES: tuple[OptimiserName, ...] = ("gepa", "miprov2", "bootstrap", "simba")
WRITERS: tuple[OptimiserName, ...] = ("gepa", "miprov2", "simba")
assert set(NAMES) < set(get_args(OptimiserName))

LOCKED = BookedPrompt(
    sections=(
        Section(name="who", text=BARE.text + "\nYou work for {{ company }}."),
        Section(name="rules", text="Never name another company.", locked=True),
        Section(name="manner", text="Be polite."),
    ),
    slots={"company": "Tolvana"},
    contract=Contract(text="Answer in plain text."),
    rule="prepend",
)


class Interrupted(PlainLine):
    """Somebody presses Ctrl-C while about its fortieth task call is under way, and is heard before that ends."""

    pressed = False

    def __init__(self) -> None:
        super().__init__()
        self.heard = threading.Event()

    def hear(self, *_: object) -> None:
        self.end()
        self.heard.set()

    def task(
        self, case: Case, messages: Sequence[Mapping[str, Any]], temperature: float | None = None, *, version: str
    ) -> Answer:
        if len(self.tasks) >= 40 and not self.pressed:
            self.pressed = True
            os.kill(os.getpid(), signal.SIGINT)
            self.heard.wait(60)
        return super().task(case, messages, temperature, version=version)


class Faulty(PlainLine):
    def mark(self, case: Case, answer: Answer) -> Marked:
        raise RuntimeError("the scorer is broken")


def asked_with(prompt: BookedPrompt, case: Case) -> bytes:
    """What is sent, from the renderer that serves."""
    body = prompt.filled({}).apply(body_of(case, {}), "chat/completions")
    return canonical([{**body_of(case, {}), "messages": list(body["messages"])}, None])


@pytest.mark.parametrize("name", NAMES)
def test_it_finds_a_better_prompt_for_about_as_many_calls_as_it_said(name: OptimiserName) -> None:
    optimiser, line, told = optimiser_of(name), PlainLine(), Tale()
    search = search_for(optimiser, line, told, test_share=0.6)
    best = optimiser.best(search)
    validation = search.parts.validation
    assert told.mean(best, validation) > told.mean(BARE, validation) + 0.1
    assert {asked_with(best, case) for case in validation} <= set(line.tasks)
    expected = optimiser.expected(search)
    assert expected.task / 2 < len(line.tasks) <= 2 * expected.task
    assert expected.reflection / 2 <= len(line.reflections) <= 2 * expected.reflection


@pytest.mark.parametrize("name", ["bootstrap", "miprov2", "simba"])
def test_what_it_finds_and_what_it_began_with_answered_all_of_many_validation_cases(name: OptimiserName) -> None:
    optimiser, told = optimiser_of(name), Tale()
    search = search_for(optimiser, PlainLine(), told, test_share=0.3)
    best, validation = optimiser.best(search), search.parts.validation
    assert len(validation) > 100
    assert told.mean(best, validation) > told.mean(BARE, validation)


@pytest.mark.parametrize("name", NAMES)
def test_no_test_case_is_ever_asked(name: OptimiserName) -> None:
    optimiser, line = optimiser_of(name), PlainLine()
    search = search_for(optimiser, line, Tale())
    optimiser.best(search)
    asked = b"".join([*line.tasks, *line.reflections])
    learned = canonical([case.question for case in (*search.parts.train, *search.parts.validation)])
    unseen = [case for case in search.parts.test if canonical(case.question)[1:-1] not in learned]
    assert unseen
    assert not [case.id for case in unseen if len(case.question) > 30 and canonical(case.question)[1:-1] in asked]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_search_asks_the_same_whatever_its_threads_do(name: OptimiserName) -> None:
    asked: list[Any] = []
    for concurrency in (4, 4, 1):
        random.seed(len(asked))
        line, optimiser = PlainLine(), optimiser_of(name)
        best = optimiser.best(search_for(optimiser, line, Tale(), concurrency=concurrency))
        asked.append((best.version, sorted(line.tasks), sorted(line.reflections)))
    assert asked[0] == asked[1] == asked[2]


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_searches_elsewhere(name: OptimiserName) -> None:
    asked: list[Any] = []
    for seed in (0, 1):
        line, optimiser = PlainLine(), optimiser_of(name)
        optimiser.best(search_for(optimiser, line, Tale(), seed=seed))
        asked.append(sorted(line.tasks))
    assert asked[0] != asked[1]


@pytest.mark.parametrize("most", [0, 30, 127])
@pytest.mark.parametrize("name", NAMES)
def test_it_ends_with_the_calls_wherever_it_is(name: OptimiserName, most: int) -> None:
    optimiser, line, told = optimiser_of(name), PlainLine(most=most), Tale()
    with pytest.raises(SearchEnded, match="the budget is spent"):
        optimiser.best(search_for(optimiser, line, told))
    assert len(line.tasks) + len(line.reflections) == most
    assert sum(map(len, told.scores.values())) <= most


@pytest.mark.parametrize("name", NAMES)
def test_ctrl_c_is_left_to_whoever_began_the_search(name: OptimiserName) -> None:
    optimiser, line = optimiser_of(name), Interrupted()
    before = signal.signal(signal.SIGINT, line.hear)
    try:
        with pytest.raises(SearchEnded, match="the budget is spent"):
            optimiser.best(search_for(optimiser, line, Tale()))
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_of_ours_is_raised_and_not_scored(name: OptimiserName) -> None:
    optimiser = optimiser_of(name)
    with pytest.raises(RuntimeError, match="the scorer is broken"):
        optimiser.best(search_for(optimiser, Faulty(), Tale()))


@pytest.mark.parametrize("name", NAMES)
def test_calls_without_an_answer_score_nothing_and_the_search_goes_on(name: OptimiserName) -> None:
    optimiser, line, told = optimiser_of(name), PlainLine(fails=5), Tale()
    search = search_for(optimiser, line, told)
    best = optimiser.best(search)
    assert told.mean(best, search.parts.validation) >= told.mean(BARE, search.parts.validation)


@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_that_may_not_be_served_is_not_asked(name: OptimiserName) -> None:
    optimiser, line, told = optimiser_of(name), PlainLine(), Tale()

    def unfit(prompt: BookedPrompt) -> str:
        return "" if prompt == BARE else "it is not the one that there was"

    search = search_for(optimiser, line, told, unfit=unfit)
    assert optimiser.best(search) == BARE
    assert list(told.scores) == [BARE.version]
    if name == "gepa":
        assert not line.reflections or b"it is not the one" not in line.reflections[0]


@pytest.mark.parametrize("said", ["", "Answer well. No markers here.", "[[ ## nonsense ## ]]\n{"])
@pytest.mark.parametrize("name", WRITERS)
def test_a_model_that_keeps_to_no_form_does_not_end_the_search(name: OptimiserName, said: str) -> None:
    optimiser, told = optimiser_of(name), Tale()
    search = search_for(optimiser, PlainLine(editor=said), told)
    best = optimiser.best(search)
    assert told.mean(best, search.parts.validation) >= told.mean(BARE, search.parts.validation)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_locked_stays_and_the_model_that_reflects_is_told(name: OptimiserName) -> None:
    optimiser, line = optimiser_of(name), PlainLine()
    best = optimiser.best(search_for(optimiser, line, Tale(), prompt=LOCKED))
    assert [section.name for section in best.sections] == ["who", "rules", "manner"]
    assert (best.sections[1], best.contract, best.rule) == (LOCKED.sections[1], LOCKED.contract, LOCKED.rule)
    for request in line.reflections:
        assert b"Never name another company." in request
        assert b"{{ company }}" in request


@pytest.mark.parametrize("name", WRITERS)
def test_a_prompt_that_is_all_locked_has_no_instructions_to_find(name: OptimiserName) -> None:
    locked = BookedPrompt(sections=(Section(name="all", text="Be nice.", locked=True),), rule="prepend")
    optimiser = optimiser_of(name)
    with pytest.raises(ValueError, match="unlock one, or use the optimiser 'bootstrap'"):
        optimiser.best(search_for(optimiser, PlainLine(), Tale(), prompt=locked))


def test_bootstrap_finds_demonstrations_for_a_prompt_that_is_all_locked() -> None:
    locked = BookedPrompt(sections=(Section(name="all", text=BARE.text, locked=True),), rule="prepend")
    best = optimiser_of("bootstrap").best(search_for(optimiser_of("bootstrap"), PlainLine(), Tale(), prompt=locked))
    assert best.sections == locked.sections
    assert 0 < len(best.demonstrations) <= 4


@pytest.mark.parametrize("name", ["bootstrap", "miprov2", "simba"])
def test_demonstrations_are_train_cases_and_no_more_than_there_is_room_for(name: OptimiserName) -> None:
    optimiser = optimiser_of(name)
    search = search_for(optimiser, PlainLine(), Tale(), most_demonstrations=2)
    best = optimiser.best(search)
    assert len(best.demonstrations) <= 2
    assert {shown.user for shown in best.demonstrations} <= {case.question for case in search.parts.train}


def test_without_room_for_demonstrations_bootstrap_asks_nothing() -> None:
    line, optimiser = PlainLine(), optimiser_of("bootstrap")
    search = search_for(optimiser, line, Tale(), most_demonstrations=0)
    assert optimiser.best(search) == BARE
    assert (len(line.tasks), optimiser.expected(search)) == (0, (0, 0, 0))


@pytest.mark.parametrize("name", ["miprov2", "simba"])
def test_without_room_for_demonstrations_there_are_only_instructions(name: OptimiserName) -> None:
    optimiser = optimiser_of(name)
    best = optimiser.best(search_for(optimiser, PlainLine(), Tale(), most_demonstrations=0))
    assert not best.demonstrations


@pytest.mark.parametrize("most", [10**9, 200])
@pytest.mark.parametrize("name", NAMES)
def test_nobody_notices_it(
    name: OptimiserName,
    most: int,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DSPY_CACHEDIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    loggers = [logging.getLogger(name) for name in ("dspy", "gepa", "optuna")]

    def seen() -> list[object]:
        logs = [(logger.handlers, logger.level, logger.propagate) for logger in loggers]
        shadowed = [
            "print" in vars(module) for module in (dspy.teleprompt.bootstrap, dspy.teleprompt.random_search)
        ]
        return [
            *logs,
            shadowed,
            random.getstate(),
            dspy.settings.lm,
            dspy.settings.adapter,
            list(warnings.filters),
        ]

    before = seen()
    optimiser = optimiser_of(name)
    try:
        optimiser.best(search_for(optimiser, PlainLine(most=most), Tale()))
    except SearchEnded:
        assert most == 200
    assert seen() == before
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert not list(tmp_path.iterdir())


def test_gepa_learns_from_most_of_many_cases_and_half_of_few() -> None:
    assert [optimiser_of("gepa").split(cases) for cases in (10, 200, 201)] == [0.5, 0.5, 0.8]
    assert {optimiser_of(name).split(300) for name in NAMES if name != "gepa"} == {0.2}
