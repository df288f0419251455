"""What the reports' verbs have in common: whom and when they are about, and how they are written out."""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from ledger.database import Database
from ledger.reports.asking import check_span, check_tenant
from ledger.reports.document import Report, Unanswerable
from ledger.reports.formats.as_csv import to_csv
from ledger.reports.formats.as_html import to_html
from ledger.reports.formats.as_json import to_json
from ledger.reports.formats.as_parquet import ReportsExtraMissing, write_parquet
from ledger.reports.formats.terminal import print_report
from router.config.load import Loaded
from weir.state import ask_ledger, config_option, spool_dir, state_dir
from weir.writing import writing

_AGO = re.compile(r"(\d{1,6})([hd])")


class Moment(click.ParamType[datetime]):
    """A time in ISO 8601 (UTC where it names no zone), or hours or days ago."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        text = str(value)
        try:
            if ago := _AGO.fullmatch(text):
                hours = int(ago[1]) * (24 if ago[2] == "d" else 1)
                return datetime.now(UTC) - timedelta(hours=hours)
            moment = datetime.fromisoformat(text)
            # So that every zone's clock can show it.
            (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"'{text}' is no time. Write 2026-11-01, 2026-11-01T09:30+01:00, 24h or 30d.", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Output:
    """How a report is asked for: printed as a table, as JSON or as CSV, or written to files."""

    as_json: bool = False
    as_csv: bool = False
    parquet: Path | None = None
    html: Path | None = None


def output_options(command: Callable[..., None]) -> Callable[..., None]:
    """`--json --csv --parquet FILE --html FILE`, handed to `command` as one argument, `output`."""

    @functools.wraps(command)
    def with_output(
        *args: Any, as_json: bool, as_csv: bool, parquet: Path | None, html: Path | None, **options: Any
    ) -> None:
        if as_json and as_csv:
            raise click.UsageError("Choose one of --json and --csv.")
        command(*args, output=Output(as_json, as_csv, parquet, html), **options)

    file = click.Path(dir_okay=False, path_type=Path)
    decorated: Callable[..., None] = with_output
    for option in (
        click.option("--html", type=file, metavar="FILE", help="Write one self-contained page."),
        click.option("--parquet", type=file, metavar="FILE", help="Write the rows to a Parquet file."),
        click.option("--csv", "as_csv", is_flag=True, help="Print the rows as CSV."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    ):
        decorated = option(decorated)
    return decorated


def report_options(command: Callable[..., None]) -> Callable[..., None]:
    """Those of `output_options`, and `--config --tenant --since --until`, handed over by these names."""
    decorated = output_options(command)
    for option in (
        click.option("--until", type=Moment(), help="Before this time."),
        click.option("--since", type=Moment(), help="From this time on: 2026-11-01, 24h (ago), 30d."),
        click.option("--tenant", help="Only this tenant."),
        config_option,
    ):
        decorated = option(decorated)
    return decorated


def ask_report(
    loaded: Loaded,
    make: Callable[[Database, Path], Awaitable[Report]],
    *,
    tenant: str | None,
    since: datetime | None,
    until: datetime | None,
) -> Report:
    """What `make` finds in the ledger and its spool. Raises click's errors, also where it makes no sense."""
    folder = spool_dir(state_dir())

    async def answer(database: Database) -> Report:
        check_span(since, until)
        await check_tenant(database, folder, tenant, loaded.config.tenants)
        return await make(database, folder)

    try:
        return ask_ledger(loaded, answer)
    except Unanswerable as error:
        raise click.UsageError(str(error)) from error


def deliver(report: Report, output: Output) -> None:
    """Print it, or write the files that were asked for and say so. Raises click.ClickException with advice."""
    if output.as_json:
        click.echo(to_json(report), nl=False)
    elif output.as_csv:
        click.echo(to_csv(report), nl=False)
        for note in report.notes:
            click.echo(note, err=True)
    if output.parquet is not None:
        _write(output.parquet, lambda path: write_parquet(report, path))
    if output.html is not None:
        _write(output.html, lambda path: path.write_text(to_html(report), encoding="utf-8"))
    if output == Output():
        print_report(report, Console())


def _write(path: Path, write: Callable[[Path], object]) -> None:
    try:
        with writing(path):
            write(path)
    except ReportsExtraMissing as error:
        raise click.ClickException(str(error)) from error
