"""Exact binomial bounds without scipy: what a count of wrong answers says about their true share.

The non-obvious decision: a bound is mostly *tested*, not computed. "The upper bound stays under p" is the same as
"so few wrong ones would be seen with probability of at most delta if p were true": one evaluation of the binomial
tail, where the bound itself takes fifty. Counts may be fractions: labels that fade count as parts of one.
"""

from __future__ import annotations

from math import exp, lgamma, log

_STEPS = 300
_PRECISION = 1e-10
_TINY = 1e-300
_HALVINGS = 50


def tail(labels: float, wrong: float, share: float) -> float:
    """P(at most `wrong` of `labels`) where each is wrong with probability `share`; all of it for `share` = 0.

    The binomial tail as an incomplete beta function, which also takes fractions (DLMF 8.17.5).
    """
    if share <= 0 or wrong >= labels:
        return 1.0
    if share >= 1:
        return 0.0
    return _incomplete_beta(labels - wrong, wrong + 1, 1 - share)


def upper(labels: float, wrong: float, delta: float) -> float:
    """The share of wrong ones that is exceeded with probability of at most `delta` (Clopper and Pearson, 1934)."""
    if labels <= 0 or wrong >= labels:
        return 1.0
    low, high = wrong / labels, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if tail(labels, wrong, middle) > delta:
            low = middle
        else:
            high = middle
    return high


def lower(labels: float, wrong: float, delta: float) -> float:
    """The share of wrong ones that is undercut with probability of at most `delta`."""
    return 1 - upper(labels, labels - wrong, delta) if labels > 0 else 0.0


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised I_x(a, b), by its continued fraction (DLMF 8.17.22) evaluated as Lentz does."""
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly, its mirror image does not (8.17.4)
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(1 - x)) / a
    value, c, d = 1.0, 1.0, 0.0
    for step in range(_STEPS):
        m = step // 2
        if step == 0:
            term = 1.0
        elif step % 2 == 0:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / _away_from_zero(1 + term * d)
        c = _away_from_zero(1 + term / c)
        value *= c * d
        if abs(1 - c * d) < _PRECISION and step:
            break
    return front * (value - 1)


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
