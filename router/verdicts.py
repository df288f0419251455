"""What the cache said, written down for one request."""

from __future__ import annotations

from contracts.ports import Finding, Found
from contracts.records import Verdict

OUTDATED = "a document it was built on has changed"
UNTOLD = "whether its documents are as they were could not be told"
"""Why a stored answer was not served."""


def exact_verdict(found: Found, tenant: str) -> Verdict:
    return Verdict(
        kind="exact",
        entry_id=found.entry_id,
        age_s=found.age_s,
        saved=found.answer.cost,
        foreign=found.writer not in ("", tenant),
    )


def semantic_verdict(finding: Finding, tenant: str) -> Verdict:
    found = finding.found
    if found is None:
        return Verdict(
            kind="miss",
            reason=finding.reason,
            similarity=finding.similarity,
            score=finding.score,
            degraded=finding.degraded,
        )
    return Verdict(
        kind="semantic",
        entry_id=found.entry_id,
        age_s=found.age_s,
        saved=found.answer.cost,
        similarity=finding.similarity,
        score=finding.score,
        audited=finding.audit,
        foreign=found.writer not in ("", tenant),
    )
