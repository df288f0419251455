"""What a configuration says of money, as the ledger's concrete parts: the writer, the counters of budgets, reports.

With `main` and `composition` the only place that names concrete classes of other rooms.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from contracts.budgets import Budget, Crossing
from ledger.budgets.local import LocalBudgets
from ledger.budgets.shared import SharedBudgets
from ledger.budgets.spent import LedgerSpent
from ledger.database import Database
from ledger.reports.desk import MAKERS, ReportDesk
from ledger.reports.makers import makers_of
from ledger.writer_process import WriterProcess
from router.config import schema
from router.config.load import Loaded
from router.surroundings import catalogue_of, rolled_up, surroundings_of

Counters = LocalBudgets | SharedBudgets


class CountersMissing(Exception):
    """What counts budgets cannot do so, or several workers would each count for themselves; with advice."""


def writer_of(loaded: Loaded, url: str, folder: Path) -> WriterProcess:
    """The process that carries events from the spool in `folder` to the database at `url`."""
    ledger = loaded.config.ledger
    return WriterProcess(
        url,
        folder,
        flush_s=ledger.flush_seconds,
        batch=ledger.batch,
        fsync=ledger.fsync,
        tags=rolled_up(loaded.config),
        keep_days=ledger.keep_events_days,
    )


def counters_of(
    loaded: Loaded, database: Database, folder: Path, *, workers: int, alert: Callable[[Crossing], None]
) -> Counters:
    """What counts budgets: a Redis for all, or this process. `folder` is the spool's. Raises CountersMissing."""
    ledger = loaded.config.ledger
    spent = LedgerSpent(database, folder, lambda: rolled_up(loaded.config))
    if ledger.counters is None:
        asked = spent.spent_so_far if workers == 1 else _apart
        return LocalBudgets(spent_so_far=asked, when_down=ledger.counters_down, alert=alert, alone=workers == 1)
    try:
        return SharedBudgets(
            loaded.secret(ledger.counters),
            spent_so_far=spent.spent_so_far,
            when_down=ledger.counters_down,
            alert=alert,
            deadline_s=ledger.counters_deadline_seconds,
            lease_s=ledger.lease_seconds,
        )
    except ModuleNotFoundError as error:
        raise CountersMissing(
            f"ledger.counters: {error}. Install Weir with Redis: pip install 'weir[redis]'"
        ) from error
    except ValueError as error:
        raise CountersMissing(f"ledger.counters is not the URL of a Redis: {error}") from error


async def _apart(budget: Budget, _: datetime | None) -> NoReturn:
    """What several workers without a common counter know of a budget that was made while they run."""
    raise CountersMissing(f"budget {budget.name}: several workers have no common counter; set ledger.counters")


def require_counters(config: schema.Config, workers: int) -> None:
    """Raises CountersMissing where budgets are configured that several workers cannot keep together."""
    hard = sorted(name for name, budget in config.budgets.items() if budget.hard)
    if workers > 1 and hard and config.ledger.counters is None:
        raise CountersMissing(
            f"{workers} workers cannot keep the budget '{hard[0]}' together without a common counter: set "
            "ledger.counters to a Redis, as ${WEIR_COUNTERS_URL}, or start one worker."
        )


def webhook_of(loaded: Loaded) -> str:
    """Where alerts go; empty: into the log."""
    webhook = loaded.config.alerts.webhook
    return loaded.secret(webhook) if webhook else ""


def reports_of(url: str, folder: Path, loaded: Callable[[], Loaded]) -> ReportDesk:
    """The reports that the server makes; `loaded` gives the configuration in force."""
    makers = {**MAKERS, **makers_of(lambda: catalogue_of(loaded()))}
    return ReportDesk(url, folder, lambda: surroundings_of(loaded(), datetime.now(UTC).date()), makers)
