"""A figure, and how far it can be trusted."""

from __future__ import annotations

from msgspec import Struct


class Interval(Struct, frozen=True):
    """A figure with the bounds between which it lies with the probability that was asked for."""

    value: float
    low: float
    high: float


class Rate(Struct, frozen=True, kw_only=True):
    """A mean of scores from 0 to 1. `n` are cases, `clusters` groups of cases that resemble each other."""

    value: float
    standard_error: float
    low: float
    high: float
    n: int
    clusters: int
