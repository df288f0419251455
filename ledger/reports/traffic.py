"""What went through, by model and by route: the figures from which the catalogue and its next steps are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from contracts.records import DIRECT
from ledger.database import Database
from ledger.reports.catalogue import Catalogue
from ledger.reports.latencies import Buckets, latencies
from ledger.reports.reading import Question, read
from ledger.reports.single_events import Span
from ledger.rollups import Sums

_NOTHING = Sums()
SERVE = "serve"


@dataclass(frozen=True, slots=True)
class Flow:
    """`whole` is of all purposes, `served` of clients' requests alone; their difference is what optimising took."""

    whole: Sums = _NOTHING
    served: Sums = _NOTHING

    def __add__(self, other: Flow) -> Flow:
        return Flow(self.whole + other.whole, self.served + other.served)

    @property
    def optimising(self) -> Decimal:
        return self.whole.cost - self.served.cost

    @property
    def tokens(self) -> int:
        return self.whole.prompt_tokens + self.whole.completion_tokens

    @property
    def failed_share(self) -> float:
        """Of clients' requests; 0 where there were none."""
        return self.served.failed / self.served.requests if self.served.requests else 0.0

    @property
    def failed_calls_share(self) -> float:
        """Of attempts at upstreams; 0 where there were none."""
        return self.whole.failed_calls / self.whole.calls if self.whole.calls else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """`flows` and `spread` by route and model; the model is empty where none answered."""

    span: Span
    flows: Mapping[tuple[str, str], Flow]
    spread: Mapping[tuple[str, str], Buckets] = field(default_factory=dict)
    set_aside: int = 0
    notes: Sequence[str] = ()

    @property
    def models(self) -> Mapping[str, Flow]:
        return {name: flow for name, flow in self._by(1).items() if name}

    @property
    def routes(self) -> Mapping[str, Flow]:
        """Models that clients named directly are no route."""
        return {name: flow for name, flow in self._by(0).items() if name != DIRECT}

    @property
    def total(self) -> Flow:
        return sum(self.flows.values(), start=Flow())

    def concerns(self, catalogue: Catalogue) -> Catalogue:
        """Of one tenant, what its traffic used; of all tenants, everything."""
        return catalogue if self.span.tenant is None else catalogue.only(self.models, self.routes)

    def of(self, route: str, model: str) -> Flow:
        return self.flows.get((route, model), Flow())

    def _by(self, place: int) -> dict[str, Flow]:
        found: dict[str, Flow] = {}
        for names, flow in self.flows.items():
            found[names[place]] = found.get(names[place], Flow()) + flow
        return dict(sorted(found.items()))


async def traffic(database: Database, spool_folder: Path, span: Span) -> Traffic:
    """Of `span`, whose route is passed over: a catalogue is of all routes. Raises what the driver raises."""
    question = Question(since=span.since, until=span.until, tenant=span.tenant)
    reading = await read(database, spool_folder, question)
    flows: dict[tuple[str, str], Flow] = {}
    for cell, sums in reading.rows.items():
        place = cell.route, cell.model
        flow = Flow(sums, sums if cell.purpose == SERVE else _NOTHING)
        flows[place] = flows[place] + flow if place in flows else flow
    whole = Span(since=span.since, until=span.until, tenant=span.tenant)
    spread = await latencies(database, spool_folder, whole)
    return Traffic(span=span, flows=flows, spread=spread, set_aside=reading.set_aside, notes=reading.notes)


def share(part: Decimal | int, whole: Decimal | int) -> float:
    """0 where there is no whole."""
    return float(part / whole) if whole else 0.0
