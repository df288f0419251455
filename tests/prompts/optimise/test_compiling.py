"""Where dspy runs: in a thread of its own, with chance that depends on the seed alone."""

from __future__ import annotations

import random
import threading

import dspy
import pytest

from prompts.optimise.catalogue import optimiser_of
from prompts.optimise.compiling import compiled
from prompts.optimise.feedback import Trials
from prompts.optimise.ports import Search
from prompts.prompt import BookedPrompt
from tests.prompts.optimise.plain_line import BARE, PlainLine, Tale, search_for


def test_what_is_drawn_depends_on_the_seed_and_nothing_outside_on_what_is_drawn() -> None:
    drawn = []

    def compile_in(search: Search, trials: Trials) -> BookedPrompt:
        drawn.append(random.random())
        return search.prompt

    for outside, seed in ((1, 7), (2, 7), (1, 8)):
        random.seed(outside)
        before = random.getstate()
        compiled(search_for(optimiser_of("gepa"), PlainLine(), Tale(), seed=seed), compile_in)
        assert random.getstate() == before
    assert drawn[0] == drawn[1] != drawn[2]


def test_settings_of_dspy_are_its_threads_own() -> None:
    seen = []

    def compile_in(search: Search, trials: Trials) -> BookedPrompt:
        seen.append((dspy.settings.num_threads, threading.current_thread() is threading.main_thread()))
        return search.prompt

    usual = dspy.settings.num_threads
    assert compiled(search_for(optimiser_of("gepa"), PlainLine(), Tale(), concurrency=3), compile_in) == BARE
    assert seen == [(3, False)]
    assert dspy.settings.num_threads == usual


def test_what_goes_wrong_is_raised_as_it_is() -> None:
    def compile_in(search: Search, trials: Trials) -> BookedPrompt:
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        compiled(search_for(optimiser_of("gepa"), PlainLine(), Tale()), compile_in)
