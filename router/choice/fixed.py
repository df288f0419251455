"""The choices that predict nothing: always the same model, the one that the client named, the default."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from contracts.ports import Draft, Query
from contracts.records import Candidate, Decision, UsageEvent


class _Unlearned:
    """What policies have in common that predict nothing: no answer is checked, and nothing is remembered."""

    check = None

    async def review(self, query: Query, decision: Decision, draft: Draft) -> Decision:
        return decision

    def settled(self, query: Query, event: UsageEvent) -> None:
        """Nothing is learned from it."""


class FixedChoice(_Unlearned):
    """Always the same model first; the route's others stand by in their order."""

    def __init__(self, first: str | None) -> None:
        self._first = first
        self.version = f"fixed:{first or 'first'}"

    async def choose(self, query: Query, models: Sequence[str], *, dry: bool = False) -> Decision:
        return _fixed(self._first, self.version, tuple(models))


class MissingChoice(_Unlearned):
    """Stands where a policy cannot be had; `reason` says why. The route's default model answers."""

    version = "missing"

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def choose(self, query: Query, models: Sequence[str], *, dry: bool = False) -> Decision:
        return default_choice(models, degraded="router", reason=self._reason)


class NamedChoice(_Unlearned):
    """The client named a model: that one and no other."""

    version = "named"

    async def choose(self, query: Query, models: Sequence[str], *, dry: bool = False) -> Decision:
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


def default_choice(models: Sequence[str], *, degraded: str, reason: str = "the route's policy failed") -> Decision:
    """When a route's policy cannot choose: its candidates as they stand. `degraded` names what failed."""
    return Decision(
        model=models[0], policy="default", reason=reason, candidates=_in_order(models), degraded=degraded
    )


def _in_order(models: Sequence[str]) -> tuple[Candidate, ...]:
    first, *others = models
    return (
        Candidate(model=first, reason="chosen"),
        *(Candidate(model=model, reason="stands by") for model in others),
    )
