"""What the teacher usually answers to questions of an intent: a few answers that the student learned from.

They are kept beside the weights. Whether an answer of the student's is like one of those of the intent that a head
found is the best sign there is that it is right, since the two know nothing of each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from distill.student.examples import Example
from heads.answers import agreement

MOST = 4
"""Answers of an intent: those of several languages and wordings, and few enough to be compared with in no time."""
LONGEST = 2_000
"""Characters of an answer that is kept."""
_SAME = 0.8


def usual_answers(examples: Sequence[Example]) -> Mapping[str, tuple[str, ...]]:
    """By intent, what stands for most of the traffic first; none that says what another one says."""
    weights: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for one in examples:
        if one.answer and len(one.answer) <= LONGEST:
            weights[one.intent][one.answer] += one.weight
    return {intent: _different(of, MOST) for intent, of in sorted(weights.items())} | {
        one.intent: () for one in examples if one.intent not in weights
    }


def _different(answers: Mapping[str, float], most: int) -> tuple[str, ...]:
    found: list[str] = []
    for answer in sorted(answers, key=lambda one: (-answers[one], one)):
        if len(found) < most and all(agreement(answer, other) < _SAME for other in found):
            found.append(answer)
    return tuple(found)
