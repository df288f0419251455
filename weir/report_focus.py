"""`weir report focus`: the cost export for FinOps tools, and the check of one."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from contracts.reporting import ReportQuestion
from ledger.reports.desk import make_focus
from ledger.reports.focus import FocusBroken
from ledger.reports.focus_rules import check
from ledger.reports.formats.as_csv import as_written
from ledger.reports.formats.as_parquet import ReportsExtraMissing, read_parquet
from weir.catalogue import surroundings_of
from weir.report_output import Output, ask_report, deliver, report_options
from weir.state import read_config

_PARQUET = b"PAR1"


@click.command(
    epilog="""\b
Examples:
  weir report focus --since 2026-11-01 --until 2026-12-01 --csv > november.csv
  weir report focus --since 2026-11-01 --until 2026-12-01 --parquet november.parquet
  weir report focus --check november.csv

\b
Rows are by day, tenant, key, route, model, purpose and tags; BilledCost adds up to what
`weir report costs` says. The columns are those of FOCUS 1.2, 1.3 and 1.4 together. Every
export is checked; --check does the same for any file, CSV or Parquet, and exits with 1
where a rule is broken."""
)
@report_options
@click.option(
    "--check",
    "checked",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Check this file instead of writing one.",
)
def focus(
    config: Path,
    tenant: str | None,
    since: datetime | None,
    until: datetime | None,
    checked: Path | None,
    output: Output,
) -> None:
    """Export costs in the FinOps Open Cost and Usage Specification (FOCUS)."""
    if checked is not None:
        _check(checked)
        return
    loaded = read_config(config)
    question = ReportQuestion(since=since, until=until, tenant=tenant)
    surroundings = surroundings_of(loaded)
    try:
        made = ask_report(
            loaded,
            lambda database, folder: make_focus(database, folder, question, surroundings),
            tenant=tenant,
            since=since,
            until=until,
        )
    except FocusBroken as error:
        raise click.ClickException(f"The export would break rules of FOCUS, so none was made:\n{error}") from error
    deliver(made, output)


def _check(path: Path) -> None:
    """Says what is wrong, and exits with 1 where anything is."""
    try:
        columns, rows = _read(path)
    except (ValueError, ReportsExtraMissing, csv.Error, OSError) as error:
        raise click.ClickException(f"{path} cannot be read: {error}") from error
    problems = check(columns, rows)
    for problem in problems:
        click.echo(str(problem))
    if problems:
        raise click.ClickException(f"{path} does not follow FOCUS.")
    click.echo(f"{path}: {len(rows)} rows, no rule of FOCUS is broken.")


def _read(path: Path) -> tuple[Sequence[str], Sequence[Mapping[str, Any]]]:
    with path.open("rb") as file:
        parquet = file.read(len(_PARQUET)) == _PARQUET
    if parquet:
        types, found = read_parquet(path)
        return list(types), found
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        columns = next(reader, [])
        rows = [dict(zip(columns, map(as_written, row), strict=False)) for row in reader]
    return columns, rows
