"""Runs an optimiser of dspy so that nobody notices it: quietly, and leaving everything as it was.

The non-obvious decision: dspy's `print` is shadowed module by module and its progress bars are born disabled. To
point the process's output elsewhere would also take the words of whoever shows the search's progress meanwhile.
"""

from __future__ import annotations

import logging
import random
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from functools import partialmethod
from typing import Any

import dspy
import tqdm  # type: ignore[import-untyped]
from dspy.propose import grounded_proposer
from dspy.teleprompt import bootstrap, random_search
from dspy.teleprompt import utils as demo_sets

from prompts.optimise.adapter import BookAdapter
from prompts.optimise.engine import reflecting
from prompts.optimise.feedback import Escape, Trials
from prompts.optimise.ports import Search
from prompts.prompt import BookedPrompt

_PRINTING = (bootstrap, random_search, demo_sets, grounded_proposer)
_LOGGING = ("dspy", "gepa", "optuna")
_ONE = threading.Lock()
_HEED_S = 0.2
"""Python heeds a signal in the main thread alone, which a lock keeps asleep where another thread was told of it."""
_NO_LIMIT = 10**9
"""Of errors that dspy counts: those that count reach it as an Escape."""


def compiled(search: Search, compile_in: Callable[[Search, Trials], BookedPrompt]) -> BookedPrompt:
    """What `compile_in` finds, with dspy set up for `search`; all calls are over when this returns.

    It runs in a thread of its own: in the main one, dspy takes Ctrl-C for itself. One search at a time: what is
    quietened is the process's. Raises SearchEnded where the calls ended, and whatever else went wrong in a call.
    """
    trials = Trials(search)
    with _ONE, _quiet(), _seeded(search.seed), ThreadPoolExecutor(1) as thread:
        try:
            running = thread.submit(_run, search, trials, compile_in)
            while not wait([running], _HEED_S).done:
                pass
            return running.result()
        except Escape as escape:
            raise escape.cause from None
        finally:
            trials.close()


def _run(search: Search, trials: Trials, compile_in: Callable[[Search, Trials], BookedPrompt]) -> BookedPrompt:
    settings = dspy.context(
        lm=reflecting(search.line),
        adapter=BookAdapter(search, trials),
        num_threads=search.concurrency,
        max_errors=_NO_LIMIT,
        disable_history=True,
        track_usage=False,
    )
    with settings:
        return compile_in(search, trials)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Python's own chance, which some of dspy draws from."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


@contextmanager
def _quiet() -> Iterator[None]:
    with ExitStack() as restored, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _LOGGING:
            _muted(logging.getLogger(name), restored)
        for module in _PRINTING:
            vars(module)["print"] = _unheard
            restored.callback(delattr, module, "print")
        usual = tqdm.tqdm.__init__
        restored.callback(setattr, tqdm.tqdm, "__init__", usual)
        tqdm.tqdm.__init__ = partialmethod(_unseen, usual)
        yield


def _muted(logger: logging.Logger, restored: ExitStack) -> None:
    """MIPROv2 sets a level itself, so it is the handlers that go."""
    for attribute, value in (("handlers", [logging.NullHandler()]), ("propagate", False), ("level", logger.level)):
        restored.callback(setattr, logger, attribute, getattr(logger, attribute))
        setattr(logger, attribute, value)


def _unseen(bar: object, usual: Callable[..., None], *values: Any, **how: Any) -> None:
    """In the place of a progress bar's beginning: dspy says whether it shows one, so a default would not do."""
    usual(bar, *values, **{**how, "disable": True})


def _unheard(*values: Any, **how: Any) -> None:
    """In the place of print."""
