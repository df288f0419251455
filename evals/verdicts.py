"""What may be said of a change, given how sure it is.

Every p value is one-sided and held against alpha = (1 - level) / 2, so with a level of 0.95 each statement is wrong
in at most one of forty comparisons; and since p values and intervals are read from the same draws, "p at most
alpha" is the same as "the interval's bound is beyond". Of one outcome, B beside A:

1. better, if the whole interval is on the good side of no change;
2. not worse within the margin, if it is on the good side of the margin (so is a loss that is real but small);
3. worse, if it is on the bad side of no change;
4. not enough cases, in all other cases, and where there are fewer than LEAST_CLUSTERS clusters.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

BETTER, NOT_WORSE, WORSE = "better", "not worse within the margin", "worse"
NOT_ENOUGH = "not enough cases"
"""A verdict that begins with this says how many more are needed, where that can be told."""

LEAST_CLUSTERS = 5
"""Fewer never differ by more than chance may make of them. From five on Student's quantile for so many effective
clusters keeps false alarms at their level, also where clusters are uneven (`benchmarks/eval_coverage.py`)."""


class PValues(Struct, frozen=True):
    """How likely what was seen is where B is no better, no worse, or worse by the margin or more."""

    better: float
    worse: float
    not_worse: float


def verdict(p: PValues, alpha: float) -> str:
    if p.better <= alpha:
        return BETTER
    if p.not_worse <= alpha:
        return NOT_WORSE
    return WORSE if p.worse <= alpha else NOT_ENOUGH


def not_enough(more: int | None) -> str:
    return f"{NOT_ENOUGH} ({more:,} more needed)" if more else NOT_ENOUGH


def together(verdicts: Sequence[str], better: Sequence[float], more: Sequence[int | None], alpha: float) -> str:
    """One verdict of several outcomes: the worst counts, and a gain must hold among so many chances of one.

    `better` are the outcomes' p values of being better, corrected for being several. A loss is not corrected, lest
    one outcome be called worse and all together not: of three equal ones, one looks worse in up to three of forty
    comparisons.
    """
    if WORSE in verdicts:
        return WORSE
    if any(one.startswith(NOT_ENOUGH) for one in verdicts):
        return not_enough(max((count for count in more if count), default=None))
    return BETTER if min(better) <= alpha else NOT_WORSE
