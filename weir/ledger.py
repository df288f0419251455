"""`weir ledger`: is the ledger's database in good order, sum it up anew, delete old events, add a charge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

import click
import msgspec
import orjson
from rich.console import Console
from rich.progress import Progress

from contracts.access import Author
from contracts.money import plain
from contracts.records import UsageEvent
from ledger.backfill import days_of, rebuild
from ledger.charges import CHARGE_PURPOSES, ChargePurpose, state_charge
from ledger.database import Database
from ledger.retention import InUse, RollUpsIncomplete
from ledger.retention import prune as prune_events
from ledger.status import LedgerStatus, ledger_status
from router.changes import Names, check_name
from router.surroundings import rolled_up
from weir.changing import change, json_option, reason_option
from weir.state import ask_ledger, config_option, read_config, spool_dir, state_dir

_DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def ledger() -> None:
    """Look after the ledger's database: its state, its roll-ups, its old events."""


@ledger.command(
    epilog="""\b
Examples:
  weir ledger status
  weir ledger status --json"""
)
@config_option
@json_option
def status(config: Path, as_json: bool) -> None:
    """Events and their roll-ups, what still waits in the spool, and how much room it all takes."""
    found = ask_ledger(read_config(config), lambda database: ledger_status(database, spool_dir(state_dir())))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
        return
    for heading, value in _lines(found):
        click.echo(f"{heading:<12} {value}")


@ledger.command(
    epilog="""\b
Examples:
  weir ledger backfill
  weir ledger backfill --since 2026-10-01 --until 2026-11-01 --json"""
)
@config_option
@click.option("--since", type=_DAY, help="The first day, in UTC, as 2026-10-01. Left out: that of the first event.")
@click.option("--until", type=_DAY, help="The day after the last one. Left out: today is the last.")
@json_option
def backfill(config: Path, since: datetime | None, until: datetime | None, as_json: bool) -> None:
    """Sum up the events of each day anew, such as after a change of `ledger.tags`. Servers may go on meanwhile.

    Days whose single events were deleted keep the sums that they have.
    """
    loaded = read_config(config)
    tags = rolled_up(loaded.config)
    begin = since.replace(tzinfo=UTC) if since else None
    end = until.replace(tzinfo=UTC) if until else datetime.now(UTC) + timedelta(days=1)

    async def build(database: Database) -> dict[str, int]:
        done = {"days": 0, "events": 0, "days_kept": 0}
        await database.prepare()
        days = await days_of(database, begin, end)
        with _progress(as_json) as progress:
            task = progress.add_task("Summing up", total=len(days))
            for day in days:
                progress.update(task, description=f"Summing up {day:%Y-%m-%d}")
                events = await rebuild(database, day, tags)
                done["days_kept" if events is None else "days"] += 1
                done["events"] += events or 0
                progress.advance(task)
        return done

    done = ask_ledger(loaded, build)
    if as_json:
        click.echo(orjson.dumps(done))
        return
    click.echo(f"Summed up {done['events']:,} events of {done['days']:,} days.")
    if done["days_kept"]:
        click.echo(f"{done['days_kept']:,} days keep their sums: single events of them were deleted.")


@ledger.command(
    epilog="""\b
Examples:
  weir ledger prune --before 2026-01-01
  weir ledger prune --before 2026-01-01 --json"""
)
@config_option
@click.option("--before", type=_DAY, required=True, help="The first day, in UTC, whose events stay.")
@json_option
def prune(config: Path, before: datetime, as_json: bool) -> None:
    """Delete single events from before a day; their sums by hour and day stay, so reports add up as before.

    In PostgreSQL, months are deleted whole: those that end before the day. `ledger.keep_events_days` does this by
    itself.
    """
    moment = before.replace(tzinfo=UTC)
    if moment > datetime.now(UTC):
        raise click.UsageError("--before must not be in the future: the events of today would go as they come.")

    async def delete(database: Database) -> int:
        with _progress(as_json) as progress:
            task = progress.add_task("Deleting events", total=None)
            deleted = 0
            async for number in _pruned(database, moment):
                deleted += number
                progress.update(task, description=f"Deleting events: {deleted:,}")
        return deleted

    deleted = ask_ledger(read_config(config), delete)
    click.echo(orjson.dumps({"deleted": deleted}) if as_json else f"Deleted {deleted:,} events.")


async def _pruned(database: Database, before: datetime) -> AsyncIterator[int]:
    try:
        async for number in prune_events(database, before):
            yield number
    except RollUpsIncomplete as error:
        raise click.ClickException(
            "The roll-ups are not complete, so deleting events would lose their sums. A running server builds "
            "them; `weir ledger status` shows how far it is."
        ) from error
    except InUse as error:
        raise click.ClickException(
            f"Somebody reads the events of {error}, so that they cannot be deleted now. "
            "Try again when the report is done."
        ) from error


def _lines(found: LedgerStatus) -> list[tuple[str, str]]:
    span = f", {found.first_at:%Y-%m-%d %H:%M} to {found.last_at:%Y-%m-%d %H:%M} UTC" if found.first_at else ""
    rolled_up = (
        "complete" if found.roll_ups_complete else f"missing from {found.roll_ups_from or 'the first day'} on"
    )
    lines = [
        ("database", f"{found.database}, schema {found.schema}, {_size(found.bytes)}"),
        ("events", f"{found.events:,}{span}"),
        ("roll-ups", f"{rolled_up}; {found.requests_rolled_up:,} requests in them"),
        ("spool", f"{found.waiting_events:,} events wait, {_size(found.waiting_bytes)}"),
        ("set aside", f"{found.set_aside:,} records: rejected.jsonl in the spool's folder says why"),
    ]
    if found.pruned_before:
        lines.append(("pruned", f"single events before {found.pruned_before:%Y-%m-%d} were deleted"))
    lines += [("partition", f"{part.month}  {_size(part.bytes)}") for part in found.partitions]
    return lines


def _size(number: int) -> str:
    size, units = float(number), ["B", "KB", "MB", "GB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.0f} {units[0]}" if units[0] == "B" else f"{size:.1f} {units[0]}"


@ledger.command(
    epilog="""\b
Examples:
  weir ledger charge --tenant acme --purpose train --usd 41.60 --reason "8 H100 hours, student 3"
  weir ledger charge --tenant acme --purpose optimise --usd 12 --at 2026-11-20 --id run-17 --json"""
)
@config_option
@click.option("--tenant", required=True, help="Who pays.")
@click.option("--purpose", required=True, type=click.Choice(CHARGE_PURPOSES), help="What it was spent on.")
@click.option("--usd", required=True, help="Dollars, as 41.60.")
@click.option("--route", help="For which route.")
@click.option("--model", help="On which model.")
@click.option("--at", type=_DAY, help="The day, in UTC. Left out: now.")
@click.option("--id", "charge_id", default="", help="A name of yours: what is stated twice under it counts once.")
@reason_option
@json_option
def charge(
    config: Path,
    tenant: str,
    purpose: ChargePurpose,
    usd: str,
    route: str | None,
    model: str | None,
    at: datetime | None,
    charge_id: str,
    reason: str,
    as_json: bool,
) -> None:
    """Put a cost into the ledger that no request caused: a training run, an optimiser's or an evaluation's bill."""
    loaded = read_config(config)
    amount = _dollars(usd)
    moment = at.replace(tzinfo=UTC) if at else datetime.now(UTC)

    async def state(database: Database, names: Names, author: Author) -> UsageEvent:
        for kind, name in (("tenant", tenant), ("route", route), ("model", model)):
            if name is not None:
                names.require(kind, name)
        if charge_id:
            check_name("id", charge_id)
        return await state_charge(
            database,
            tenant=tenant,
            purpose=purpose,
            usd=amount,
            at=moment,
            author=author,
            tags=rolled_up(loaded.config),
            route=route or "",
            model=model or "",
            charge_id=charge_id,
        )

    event = change(loaded, reason, state)
    if as_json:
        click.echo(orjson.dumps({"id": event.request_id, "tenant": tenant, "usd": plain(event.cost)}))
        return
    click.echo(f"Charged ${plain(event.cost)} to {tenant} for {purpose}: {event.request_id}.")


def _dollars(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise click.BadParameter(f"'{text}' is no amount of dollars. Write 41.60.", param_hint="--usd") from None


def _progress(hidden: bool) -> Progress:
    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=hidden or not console.is_terminal)
