"""What an optimisation leaves in the registry's log: verdicts with their evidence, each once.

The non-obvious decision: the log is for everybody who may look at the registry, and cannot be cut, so it names
cases and never quotes them. What a prompt quotes is told to whoever made the search, and stays in its folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from evals.run_folder import Run
from prompts.evidence import Evidence, written
from prompts.optimise.evidencing import evidence_of
from prompts.optimise.order import Order
from prompts.watch import outdated
from registry.change_log import Entry
from registry.prompts import PROMPT
from registry.store import Registry
from router.prompt_watch import answering, evidence_in_force

_AGAIN = "It is in force, and was measured again, since nothing better was found."


def record(order: Order, version: str, *, passed: bool, by: str, reason: str, evidence: Mapping[str, Any]) -> None:
    """Writes a verdict down, unless the log has just that: who repeats a command has found out nothing new."""
    told = msgspec.json.decode(msgspec.json.encode({**evidence, "passed": passed}))
    if not any(entry.evidence == told for entry in _verdicts(order, version)):
        _registry(order).verdict(PROMPT, order.name, version, passed=passed, by=by, reason=reason, evidence=told)


def unknown_models(order: Order) -> Evidence | None:
    """What is known of the prompt to begin with, where it is in force and other models answer than it was measured
    with. Else None. Raises OSError.
    """
    known = evidence_in_force(order.loaded, _registry(order)).get(order.name)
    if known is None or known.after != order.prompt.version:
        return None
    served = answering(order.loaded, order.route)
    return known if outdated(known, served, {}, datetime.now(UTC).date(), 0) else None


def record_again(order: Order, known: Evidence, run: Run, *, spent: Decimal, by: str) -> Evidence:
    """Writes down how the prompt to begin with does with the models of now, as `run` measured it.

    Whether it may serve is not asked again, and stays as it was. Raises ValueError where `run` has no answer.
    """
    evidence = evidence_of(order, run, run, spent=spent, refusals=known.refusals)
    evidence = msgspec.structs.replace(evidence, summary=_AGAIN)
    verdicts = _verdicts(order, known.after)
    passed = bool(verdicts and verdicts[-1].evidence.get("passed"))
    record(order, known.after, passed=passed, by=by, reason=_AGAIN, evidence=written(evidence))
    return evidence


def _verdicts(order: Order, version: str) -> list[Entry]:
    entries = _registry(order).log.entries(kind=PROMPT, name=order.name)
    return [entry for entry in entries if entry.what == "verdict" and entry.version == version]


def _registry(order: Order) -> Registry:
    return Registry(order.state / "registry")
