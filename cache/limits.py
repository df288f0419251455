"""The numbers that steer the semantic cache. The configuration sets them; docs/decisions/0004 has their reasons."""

from __future__ import annotations

from msgspec import Struct


class AcceptanceLimits(Struct, frozen=True, kw_only=True):
    """How evidence is weighed; numbers with their reasons in docs/decisions/0004."""

    memory: float = 20_000
    """Lookups after which what was seen counts 1/e as much."""
    least_labels: float = 30
    """Below this many a scope is closed."""
    stratum: float = 10
    """Labels that are counted together, at the least, so that a wrong one among them is seen as rare or not."""


class SemanticLimits(Struct, frozen=True, kw_only=True):
    """How questions are matched and answers compared."""

    floor: float = 0.7
    """Cosine below which nothing is near."""
    nearest: int = 3
    """How many of the nearest questions are verified."""
    same_words: float = 0.8
    """From which share of common words two answers say the same."""
    most_scopes: int = 10_000
    """Tenants times routes whose evidence is kept."""
    most_waiting: int = 1_000
    """Fresh answers that wait to be learned from."""
    acceptance: AcceptanceLimits = AcceptanceLimits()
