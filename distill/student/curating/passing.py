"""Which answers are worth learning: those that something or somebody has confirmed.

The non-obvious decision: an answer need not be like the most usual one of its intent. It needs company: a tenth of
the intent's other questions have to be answered much like it. So a product that comes in two models may have two
answers, and one that stands alone among its intent's is left out, be it wrong or its question of another intent.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from evals.importing.deidentify import Cover
from heads.answers import agreement, faults

FEWEST = 4
"""Questions of an intent and language from which on answers can be held against each other: with a tenth as the
share, one of three others is then enough."""
_SPOILED = {"empty": "empty", "loops": "going in circles"}
"""Faults that no good answer has; an apology, and doubt, may well be right."""
_PLACEHOLDER = re.compile(r"<[A-Z]+_\d+>")
_REFERENCES = 64
"""Different answers that others are held against, the most frequent ones: their number enters squared."""


def unfit(answer: str, question: str, personal: Callable[[str], tuple[str, ...]]) -> str:
    """Why nobody should learn this answer, whoever confirmed it; empty where nothing speaks against it.

    `personal` gives the kinds of personal data in a text.
    """
    if _PLACEHOLDER.search(answer):
        return "an answer from which personal data was taken out"
    if personal(answer):
        return "an answer with personal data"
    found = [fault for fault in faults(answer, question=question) if fault in _SPOILED]
    return f"an answer that is {_SPOILED[found[0]]}" if found else ""


class Privacy:
    """Looks for what tells who somebody is. `keep` are texts that are nobody's secret."""

    def __init__(self, regions: Sequence[str], keep: Sequence[str]) -> None:
        self._regions = tuple(regions)
        self._keep = frozenset(text.casefold() for text in keep)
        self.found = cache(self._found)

    def _found(self, text: str) -> tuple[str, ...]:
        """The kinds of what `text` tells."""
        cover = Cover(self._regions, self._keep)
        cover.learn(text)
        cover.hide(text)
        return tuple(sorted(cover.counts))


def central(answers: Mapping[str, float]) -> str:
    """The answer that agrees most with all, each with its weight; the first of those that do."""
    some = _frequent(answers)
    return max(some, key=lambda one: sum(weight * agreement(one, other) for other, weight in some.items()))


def alone(answers: Mapping[str, str], least: float, share: float) -> set[str]:
    """Questions of one intent with whose answers less than `share` of the others agree by `least`.

    None where there are fewer than FEWEST.
    """
    if len(answers) < FEWEST:
        return set()
    often = Counter(answers.values())
    some = _frequent(often)
    enough = share * (len(answers) - 1)
    company = {
        one: sum(count for other, count in some.items() if other != one and agreement(one, other) >= least)
        + often[one]
        - 1
        for one in often
    }
    return {question for question, answer in answers.items() if company[answer] < enough}


def _frequent(answers: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(answers.items(), key=lambda one: -one[1])[:_REFERENCES])
