"""What to do next: each step from the figures, with what it takes and the money it is about.

Steps are ranked by effort first and money second, because the cheap ones get done; what has a date that is near
goes before all. The money at stake is what was spent in the span on what the step is about. It is no promised
saving: nobody knows that before it was tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from contracts.money import ZERO
from ledger.reports.catalogue import Catalogue
from ledger.reports.formats.values import with_unit
from ledger.reports.traffic import Flow, Traffic, share

EFFORTS = {1: "one setting", 2: "some hours", 3: "some days"}
NOTICE = timedelta(days=90)
"""How long before its date a shutdown is told of."""
_URGENT = timedelta(days=30)
_REPEATED = 0.05
"""Share of exact hits from which asking in other words is worth answering."""
_MOSTLY = 0.5
_FAILING = 0.05
_ENOUGH_CALLS = 100
_OVERHEAD = 0.2
_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """`effort` is one of EFFORTS, `at_stake` dollars that were spent in the span."""

    what: str
    effort: int
    at_stake: Decimal = ZERO
    urgent: bool = False

    def __str__(self) -> str:
        stake = f"{with_unit(self.at_stake, 'usd')} at stake" if self.at_stake else "no known sum at stake"
        return f"{self.what} ({EFFORTS[self.effort]}; {stake})"


def next_steps(traffic: Traffic, catalogue: Catalogue, today: date) -> Sequence[Step]:
    """All there are, the first to do first."""
    found = [
        *_shutdowns(traffic, catalogue, today),
        *_unpriced(traffic),
        *_ownerless(traffic, catalogue),
        *_failing(traffic),
    ]
    routes = traffic.routes
    for name in catalogue.routes:
        if name in routes and routes[name].served.requests:
            found += _of_route(name, routes[name], traffic, catalogue)
    return sorted(found, key=lambda step: (not step.urgent, step.effort, -step.at_stake, step.what))


def _of_route(name: str, flow: Flow, traffic: Traffic, catalogue: Catalogue) -> Iterator[Step]:
    route, served = catalogue.routes[name], flow.served
    requests = f"its {served.requests:,} requests"
    if not route.measured:
        what = f"Turn on routes.{name}.counterfactual: what the route saves is not measured."
        yield Step(what=what, effort=1, at_stake=served.cost)
    if not route.cached:
        what = f"Turn on routes.{name}.cache: none of {requests} is answered from it."
        yield Step(what=what, effort=1, at_stake=served.cost)
    elif not route.semantic and served.hit_rate >= _REPEATED:
        what = (
            f"Turn on routes.{name}.cache.semantic: {served.hit_rate:.0%} of {requests} repeat a question word for "
            "word, and others ask it in other words."
        )
        yield Step(what=what, effort=1, at_stake=served.cost)
    if flow.optimising and share(flow.optimising, served.cost) > _OVERHEAD:
        what = (
            f"Lower what is audited, judged and shadowed on route {name}: it costs "
            f"{share(flow.optimising, served.cost):.0%} of what serving costs."
        )
        yield Step(what=what, effort=1, at_stake=flow.optimising)
    yield from _dear(name, flow, traffic, catalogue)


def _dear(name: str, flow: Flow, traffic: Traffic, catalogue: Catalogue) -> Iterator[Step]:
    """Routes that send most of their requests to the reference without having learned to."""
    route = catalogue.routes[name]
    if route.learned:
        return
    reference = traffic.of(name, route.reference).served
    sent, asked = reference.requests - reference.hits, flow.served.requests
    if share(sent, asked) < _MOSTLY or not reference.cost:
        return
    told = f"Route {name} sends {share(sent, asked):.0%} of its {asked:,} requests to {route.reference}"
    others = [model for model in route.candidates if model != route.reference]
    cheaper = [model for model in others if _rate(traffic, model) < _rate(traffic, route.reference)]
    if others and not cheaper:
        return
    if cheaper:
        what = f"{told}: train a policy that keeps the easy ones on {_listed(cheaper)} (weir router train)."
    else:
        what = f"{told}, its only candidate: give it a cheaper one for the easy ones."
    yield Step(what=what, effort=3, at_stake=reference.cost)


def _rate(traffic: Traffic, model: str) -> Decimal:
    """Dollars per token that it took; nothing where it took none, since a model nobody asked may be cheap."""
    sums = traffic.models.get(model, Flow()).whole
    tokens = sums.prompt_tokens + sums.completion_tokens
    return sums.cost / tokens if tokens else ZERO


def _shutdowns(traffic: Traffic, catalogue: Catalogue, today: date) -> Iterator[Step]:
    for name, model in catalogue.models.items():
        if model.shutdown is None or model.shutdown > today + NOTICE:
            continue
        routes = catalogue.routes_of(name)
        spent = traffic.models.get(name, Flow()).whole.cost
        if not routes and not spent:
            continue
        named = f"{_listed(routes)} may choose it" if routes else "clients name it themselves"
        verb = "was" if model.shutdown <= today else "is"
        yield Step(
            what=f"Replace {name}, which {verb} turned off on {model.shutdown}: {named}.",
            effort=2,
            at_stake=spent,
            urgent=model.shutdown <= today + _URGENT,
        )


def _unpriced(traffic: Traffic) -> Iterator[Step]:
    for name, flow in traffic.models.items():
        if flow.whole.unpriced:
            what = f"State models.{name}.price: {flow.whole.unpriced:,} requests to it count as $0."
            yield Step(what=what, effort=1)


def _ownerless(traffic: Traffic, catalogue: Catalogue) -> Iterator[Step]:
    """One step for all of them."""
    seen = traffic.models
    found = [name for name, model in catalogue.models.items() if not model.owner and name in seen]
    if found:
        found.sort(key=lambda name: -seen[name].whole.cost)
        yield Step(what=f"Name who answers for {_listed(found)}: models.NAME.owner.", effort=1)


def _failing(traffic: Traffic) -> Iterator[Step]:
    for name, flow in traffic.models.items():
        if flow.whole.calls >= _ENOUGH_CALLS and flow.failed_calls_share >= _FAILING:
            what = (
                f"See why {flow.failed_calls_share:.0%} of {flow.whole.calls:,} calls to {name} fail: its limits, "
                "its deadline, or its provider."
            )
            yield Step(what=what, effort=2, at_stake=flow.whole.cost)


def _listed(names: Sequence[str]) -> str:
    """`a, b and c`; of more, how many."""
    if len(names) > _NAMED:
        names = [*names[:_NAMED], f"{len(names) - _NAMED} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
