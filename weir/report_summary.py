"""`weir report summary`: one page for those who decide."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from ledger.reports.document import Report
from ledger.reports.formats.as_parquet import ReportsExtraMissing
from ledger.reports.pdf import to_pdf
from ledger.reports.quality import Quality, QualityUnusable, read_quality
from ledger.reports.single_events import Span
from ledger.reports.summary import summary_report
from weir.catalogue import catalogue_of
from weir.report_output import Output, ask_report, deliver, report_options
from weir.state import read_config
from weir.writing import writing

_File = click.Path(dir_okay=False, path_type=Path)


@click.command(
    epilog="""\b
Examples:
  weir report summary --since 30d --pdf summary.pdf
  weir report summary --since 2026-11-01 --until 2026-12-01 --html summary.html
  weir report summary --quality quality.json --json

\b
--quality is a JSON file with what an evaluation found, in shares of good answers:
  {"difference": -0.004, "low": -0.012, "high": 0.005, "source": "suite support, run 7"}"""
)
@report_options
@click.option("--pdf", type=_File, metavar="FILE", help="Write one sheet of A4.")
@click.option("--quality", type=_File, metavar="FILE", help="How quality changed, from an evaluation: see below.")
def summary(
    config: Path,
    tenant: str | None,
    since: datetime | None,
    until: datetime | None,
    pdf: Path | None,
    quality: Path | None,
    output: Output,
) -> None:
    """Spend, saving, quality, latency, incidents and the next step, on one page."""
    found = None if quality is None else _quality(quality)
    loaded = read_config(config)
    catalogue, span = catalogue_of(loaded), Span(since=since, until=until, tenant=tenant)
    today = datetime.now(UTC).date()
    report = ask_report(
        loaded,
        lambda database, folder: summary_report(database, folder, span, catalogue, today, quality=found),
        tenant=tenant,
        since=since,
        until=until,
    )
    if pdf is not None:
        _write_pdf(report, pdf)
    if pdf is None or output != Output():
        deliver(report, output)


def _quality(path: Path) -> Quality:
    try:
        return read_quality(path)
    except QualityUnusable as error:
        raise click.ClickException(str(error)) from error


def _write_pdf(report: Report, path: Path) -> None:
    try:
        with writing(path):
            path.write_bytes(to_pdf(report))
    except ReportsExtraMissing as error:
        raise click.ClickException(str(error)) from error
