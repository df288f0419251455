"""How a route chooses among its candidates. One policy so far; learned ones implement the same port."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from contracts.records import Candidate, Decision
from contracts.request import ModelRequest


class FixedChoice:
    """Always the same model first; the route's others stand by in their order."""

    def __init__(self, first: str | None) -> None:
        self._first = first
        self.version = f"fixed:{first or 'first'}"

    async def choose(self, request: ModelRequest, models: Sequence[str]) -> Decision:
        return _fixed(self._first, self.version, tuple(models))


class NamedChoice:
    """The client named a model: that one and no other."""

    version = "named"

    async def choose(self, request: ModelRequest, models: Sequence[str]) -> Decision:
        model = models[0]
        return Decision(
            model=model,
            policy=self.version,
            reason="the client named this model",
            candidates=(Candidate(model=model, reason="named"),),
        )


@lru_cache(maxsize=1024)
def _fixed(wanted: str | None, version: str, models: tuple[str, ...]) -> Decision:
    first = wanted if wanted is not None and wanted in models else models[0]
    order = [first, *(model for model in models if model != first)]
    reason = "the route always chooses this model" if len(order) > 1 else "the only candidate"
    return Decision(model=first, policy=version, reason=reason, candidates=_in_order(order))


def default_choice(models: Sequence[str], *, degraded: str) -> Decision:
    """When a route's policy cannot choose: its candidates as they stand. `degraded` names what failed."""
    return Decision(
        model=models[0],
        policy="default",
        reason="the route's policy failed",
        candidates=_in_order(models),
        degraded=degraded,
    )


def _in_order(models: Sequence[str]) -> tuple[Candidate, ...]:
    first, *others = models
    return (
        Candidate(model=first, reason="chosen"),
        *(Candidate(model=model, reason="stands by") for model in others),
    )
