"""What the ledger has of a budget: what was spent of it in its window before anybody counted.

Exact, as reports are: roll-ups and what is still in the spool. The non-obvious decision is about requests: a budget
about a model counts its answers here, since a request may have called it in vain several times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import orjson

from contracts.budgets import Budget, nanodollars
from contracts.records import CHARGE, OWN
from ledger.budgets.accounts import Values
from ledger.database import Database
from ledger.reports.reading import Cell, Question, read
from ledger.rollups import Sums


class LedgerSpent:
    """`rolled_up` gives the tags that roll-ups tell apart. A budget of another tag has single events read."""

    def __init__(self, database: Database, spool_folder: Path, rolled_up: Callable[[], Sequence[str]]) -> None:
        self._database = database
        self._spool_folder = spool_folder
        self._rolled_up = rolled_up

    async def spent_so_far(self, budget: Budget, begin: datetime | None) -> Mapping[Values, int]:
        """By account, from `begin` on. Raises what the driver raises where the database does not answer."""
        question = Question(
            since=begin,
            tenant=budget.tenant or None,
            keys=True,  # charges are told by theirs
            tags=() if budget.tag is None else (budget.tag[0],),
            rolled_up=tuple(self._rolled_up()),
        )
        sums: dict[Values, Sums] = {}
        for cell, part in (await read(self._database, self._spool_folder, question)).rows.items():
            if _is_about(budget, cell):
                values = _values(budget, cell)
                sums[values] = sums[values] + part if values in sums else part
        return {values: _measured(budget, found) for values, found in sums.items()}


def _is_about(budget: Budget, cell: Cell) -> bool:
    named = (budget.tenant, budget.key, budget.route, budget.model)
    found = (cell.tenant, cell.key_id, cell.route, cell.model)
    if any(part and part != own for part, own in zip(named, found, strict=True)):
        return False
    if cell.key_id == CHARGE:  # what was paid elsewhere went past all counters
        return False
    if budget.measure == "requests" and not budget.by_model and cell.purpose in OWN:
        return False
    return budget.tag is None or _has_value(cell, *budget.tag)


def _has_value(cell: Cell, name: str, value: str) -> bool:
    """Roll-ups cut long values and say so at their end."""
    told = str(orjson.loads(cell.tags).get(name, ""))
    return told == value or (len(told) < len(value) and told.endswith("…") and value.startswith(told[:-1]))


def _values(budget: Budget, cell: Cell) -> Values:
    found = {"tenant": cell.tenant, "key": cell.key_id, "route": cell.route, "model": cell.model}
    return tuple(found[dimension] for dimension in budget.each)


def _measured(budget: Budget, sums: Sums) -> int:
    if budget.measure == "usd":
        return max(0, nanodollars(sums.cost))
    if budget.measure == "tokens":
        return sums.prompt_tokens + sums.completion_tokens
    return sums.calls - sums.failed_calls if budget.by_model else sums.requests
