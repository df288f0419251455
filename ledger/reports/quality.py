"""How answers changed in quality, as an evaluation says: the ledger does not know, and must be told.

The file is JSON: `{"difference": -0.004, "low": -0.012, "high": 0.005, "source": "suite support, run 7"}`. Figures
are shares of good answers: -0.004 is four in a thousand fewer than the reference gives.
"""

from __future__ import annotations

from pathlib import Path

import msgspec


class QualityUnusable(Exception):
    """The file cannot be read or means nothing; the message says what is wrong with it."""


class Quality(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The change and the ends of its interval; `source` says who found out, and how."""

    difference: float
    low: float
    high: float
    source: str


def read_quality(path: Path) -> Quality:
    """Raises QualityUnusable."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Quality)
    except (OSError, msgspec.MsgspecError) as error:
        raise QualityUnusable(f"{path} holds no quality figures: {error}") from error
    if not -1 <= found.low <= found.difference <= found.high <= 1:
        raise QualityUnusable(f"{path}: `low`, `difference` and `high` must rise, from -1 to 1.")
    if not found.source.strip():
        raise QualityUnusable(f"{path}: `source` must say where the figures come from.")
    return found
