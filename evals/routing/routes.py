"""A route of a configuration as a policy: a Weir in this process decides about each query, and asks no model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from contracts.records import Candidate, Decision
from evals.routing.policies import Choices, chosen_as
from evals.routing.recorded import Recorded, Unreplayable
from evals.targets.in_process import InProcessTarget
from evals.targets.port import TargetFailure
from evals.targets.spec import TargetSpec, target_of


def choices_of_route(recorded: Recorded, spec: TargetSpec, reference: str) -> Choices:
    """What the route that `spec` names would have chosen. Its models must have the names that the outcomes have.

    It is shown a case's last question alone, also of a conversation. A choice whose cheap answer would have been
    checked counts as it was made, without the check. Raises Unreplayable.
    """
    missing = [name for name, query in zip(recorded.names, recorded.queries, strict=True) if not query]
    if missing:
        raise Unreplayable(f"A route decides by what is asked, and {len(missing)} queries have no text.")
    try:
        target = target_of(spec)
        assert isinstance(target, InProcessTarget)  # noqa: S101 - a spec with a configuration is one
        decisions = asyncio.run(_decided(target, recorded.queries))
    except TargetFailure as error:
        raise Unreplayable(error.message) from error
    strangers = {decision.model for decision in decisions} - set(recorded.models)
    if strangers:
        raise Unreplayable(
            f"The route {spec.target} chose {', '.join(sorted(strangers))}, of which no outcomes are recorded; "
            f"there are some of {', '.join(recorded.models)}. Record them under the configuration's names."
        )
    cheapest = recorded.cheapest_beside(reference)
    gains = [expected_gain(decision.candidates, reference, cheapest) for decision in decisions]
    return chosen_as(recorded, f"route {spec.target}", [decision.model for decision in decisions], gains)


async def _decided(target: InProcessTarget, queries: Sequence[str]) -> list[Decision]:
    await target.start()
    try:
        return [await target.decide({"messages": [{"role": "user", "content": query}]}) for query in queries]
    finally:
        await target.close()


def expected_gain(candidates: Sequence[Candidate], reference: str, cheapest: str) -> float | None:
    """By how much the reference is predicted to be better than the cheapest model, where both are candidates."""
    predicted = {one.model: one.quality for one in candidates}
    good, cheap = predicted.get(reference), predicted.get(cheapest)
    return None if good is None or cheap is None else good - cheap
