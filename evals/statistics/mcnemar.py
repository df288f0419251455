"""Whether two runs differ in cases that are right or wrong, exactly."""

from __future__ import annotations

from scipy.stats import binomtest


def exact_mcnemar(gained: int, lost: int) -> float:
    """Two-sided p value: of the cases in which the runs differ, half should be `gained` were they equally good.

    McNemar, Psychometrika 12, 1947, with the binomial for its approximation. It takes cases as independent: where
    they come in clusters it is too sure. 1 where nothing differs.
    """
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
