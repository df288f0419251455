"""What a student did with one part of the questions, beside its teacher: what is chosen by, and what is judged by.

The non-obvious decision: an answer whose worth nobody can tell counts as wrong. A question that slipped through to
the student may have no answer that is known to be right; to leave it out would be an easy way to a good figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from distill.student.examples import Example
from distill.student.gating.weighing import groups_of, weights_of
from evals.statistics.clusters import Row, Units
from heads.intents import UNKNOWN

Mask = NDArray[np.bool_]


class Mark(Struct, frozen=True, kw_only=True):
    """Scores from 0 to 1 of the student's answer and the teacher's to one question, and by what they were measured.

    `agreement` is how far the two say the same, None where the teacher's is not known.
    """

    student: float
    teacher: float
    measure: str
    agreement: float | None = None


NOT_KNOWN = Mark(student=0.0, teacher=1.0, measure="not known, counted as wrong")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Of questions: what intent each was taken for, how sure the check was, and what the answers were worth.

    `taken` is `UNKNOWN` where the intents' head abstains. `known` are the intents that the student learned; all
    other questions are one stratum of the traffic, `UNKNOWN`. `shares` are the strata's of the traffic.
    """

    examples: Sequence[Example]
    taken: Sequence[str]
    sure: Row
    marks: Sequence[Mark]
    known: frozenset[str]
    shares: Mapping[str, float]

    @cached_property
    def strata(self) -> list[str]:
        return [one.intent if one.intent in self.known else UNKNOWN for one in self.examples]

    @cached_property
    def weights(self) -> Row:
        return weights_of(self.strata, dict(self.shares))

    @cached_property
    def untested(self) -> float:
        """Share of the traffic whose strata have no question here."""
        tested = sum(self.shares.get(stratum, 0.0) for stratum in set(self.strata))
        total = sum(self.shares.values())
        return 1 - tested / total if total else 0.0

    @cached_property
    def units(self) -> Units:
        return groups_of([one.group for one in self.examples], self.strata)

    @cached_property
    def student(self) -> Row:
        return np.array([mark.student for mark in self.marks])

    @cached_property
    def teacher(self) -> Row:
        return np.array([mark.teacher for mark in self.marks])

    @property
    def change(self) -> Row:
        """What is gained, or lost, where the student answers."""
        return self.student - self.teacher

    @property
    def as_good(self) -> Row:
        """1 where the student's answer is as good as the teacher's, or better."""
        return np.clip(1 + self.change, 0, 1)

    def delivered(self, intents: Sequence[str] | frozenset[str], least_good: float) -> Mask:
        """Where the student's answer would be delivered."""
        allowed = np.isin(np.array(self.taken, dtype=object).astype(str), [*intents])
        return allowed & (self.sure >= least_good)
