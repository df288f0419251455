"""How well a judge agrees with people, beyond what chance alone would give."""

from __future__ import annotations

import math

from scipy.stats import norm
from statsmodels.stats.inter_rater import cohens_kappa

from evals.statistics.interval import Interval


def kappa(
    good_called_good: int, good_called_bad: int, bad_called_bad: int, bad_called_good: int, level: float = 0.95
) -> Interval:
    """Cohen's kappa (Educational and Psychological Measurement 20, 1960) of two raters who say good or bad.

    The error is that of Fleiss, Cohen and Everitt (Psychological Bulletin 72, 1969). Raises ValueError where both
    said the same of everything: then chance explains it all, and kappa means nothing.
    """
    total = good_called_good + good_called_bad + bad_called_bad + bad_called_good
    if total in (good_called_good, bad_called_bad):
        raise ValueError("kappa needs answers that people called good and others that they called bad")
    table = [[good_called_good, good_called_bad], [bad_called_good, bad_called_bad]]
    found = cohens_kappa(table)
    value, error = float(found.kappa), math.sqrt(max(float(found.var_kappa), 0.0))
    half = float(norm.ppf((1 + level) / 2)) * error
    return Interval(value, max(value - half, -1.0), min(value + half, 1.0))
