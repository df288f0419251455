"""Evidence as an optimiser leaves it, for tests to change what they are about."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from prompts.evidence import Change, Evidence, ServedBy

QUALITY = Change(before=0.5, after=0.6, change=0.1, low=0.02, high=0.18, verdict="better")
SMALL = ServedBy(model="small", upstream="pretend", name="echo")


def plain_evidence(after: str, **changes: Any) -> Evidence:
    """That `after` is better than another version, with the model `small`."""
    told: dict[str, Any] = {
        "route": "support",
        "before": "0" * 16,
        "after": after,
        "at": datetime(2026, 11, 1, tzinfo=UTC),
        "objective": "quality",
        "optimiser": "gepa",
        "suite": "suite",
        "suite_version": "sha256:1",
        "cases": 80,
        "level": 0.95,
        "quality": QUALITY,
        "cost": None,
        "segments": (),
        "prompt_tokens_before": 100.0,
        "prompt_tokens_after": 100.0,
        "spent": Decimal(1),
        "breaks_even": None,
        "models": (SMALL,),
        "refusals": (),
        "summary": "",
    }
    return Evidence(**{**told, **changes})
