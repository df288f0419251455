"""Costs that no single request caused, spread over those that did: exact to the last digit, by stated rules.

Two rules. What a tenant's route spent on other purposes (judging, auditing, shadows, training) is spread over the
requests it served, in proportion to their cost. Hours in which GPUs of one's own idled are spread over those who
used them, in proportion to what they were charged for that model. The last millionth of a millionth goes where it
is missed most (largest remainder), so that sums stay what they were.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from msgspec import Struct

from contracts.money import QUANTUM, ZERO, usd
from ledger.reports.reading import Cell
from ledger.rollups import Sums

SERVE = "serve"
_MICROSECONDS_AN_HOUR = 3_600_000_000
_DECIMALS = -QUANTUM.adjusted()


class Overhead(Struct, frozen=True):
    """What a model costs over the span whether it is used or not, in dollars. Requests have paid a part of it."""

    model: str
    cost: Decimal


class Shift(NamedTuple):
    """What `cell` has to bear besides its own cost, in dollars; below zero where others bear it."""

    cell: Cell
    amount: Decimal


def overheads(per_hour: Mapping[str, Decimal], since: datetime | None, until: datetime) -> list[Overhead]:
    """What models that cost dollars `per_hour` cost from `since` to `until`; none where there is no beginning."""
    if since is None or since >= until:
        return []
    hours = Decimal((until - since) // timedelta(microseconds=1)) / _MICROSECONDS_AN_HOUR
    return [Overhead(model, usd(dollars * hours)) for model, dollars in per_hour.items()]


def shifts(rows: Mapping[Cell, Sums], overheads: Iterable[Overhead] = ()) -> dict[Cell, Decimal]:
    """By cell, its shifts added up. They add up to what of the overheads nobody was charged for."""
    found: defaultdict[Cell, Decimal] = defaultdict(Decimal)
    for shift in (*_other_purposes(rows), *(each for one in overheads for each in _idle(rows, one))):
        found[shift.cell] += shift.amount
    return {cell: amount for cell, amount in found.items() if amount}


def spread(amount: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """`amount` in parts in proportion to `weights` (none below zero, one above), which add up to it exactly.

    Hamilton's method: each part rounded down to a `QUANTUM`, and what is left to the largest remainders.
    """
    quanta, shares = _quanta(amount), [_quanta(weight) for weight in weights]
    whole = sum(shares)
    parts, remainders = zip(*(divmod(share * quanta, whole) for share in shares), strict=True)
    counts = list(parts)
    by_remainder = sorted(range(len(counts)), key=lambda place: (-remainders[place], place))
    for place in by_remainder[: quanta - sum(counts)]:
        counts[place] += 1
    return [count * QUANTUM for count in counts]


def _quanta(amount: Decimal) -> int:
    return int(usd(amount).scaleb(_DECIMALS))


def _other_purposes(rows: Mapping[Cell, Sums]) -> Iterable[Shift]:
    """Within each tenant and route. Where no request was served, the cost stays where it is."""
    served: defaultdict[tuple[str, str], list[Cell]] = defaultdict(list)
    others: defaultdict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell, sums in rows.items():
        if cell.purpose == SERVE:
            served[cell.tenant, cell.route].append(cell)
        elif sums.cost:
            others[cell.tenant, cell.route].append(cell)
    for place, cells in others.items():
        bearers = served.get(place, [])
        weights = _charged(rows, bearers)
        if not any(weights):
            weights = [Decimal(rows[cell].requests) for cell in bearers]
        if not any(weights):
            continue
        cost = sum((rows[cell].cost for cell in cells), start=ZERO)
        yield from (Shift(cell, -rows[cell].cost) for cell in cells)
        yield from map(Shift, bearers, spread(cost, weights))


def _idle(rows: Mapping[Cell, Sums], overhead: Overhead) -> Iterable[Shift]:
    """Where nobody used the model, its idle hours are nobody's: they stand in a row of no tenant."""
    users = [cell for cell, sums in rows.items() if cell.model == overhead.model and sums.cost]
    idle = usd(overhead.cost) - sum((rows[cell].cost for cell in users), start=ZERO)
    if idle <= 0:
        return
    if any(charged := _charged(rows, users)):
        yield from map(Shift, users, spread(idle, charged))
    else:
        yield Shift(Cell(None, "", "", "", overhead.model, SERVE, "{}"), idle)


def _charged(rows: Mapping[Cell, Sums], cells: Iterable[Cell]) -> list[Decimal]:
    """Weights. An event whose attempts are said to have cost more than all of it leaves a cost below zero."""
    return [max(ZERO, rows[cell].cost) for cell in cells]
