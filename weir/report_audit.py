"""`weir report audit`: every model, who answers for it, what it does and costs, and the next steps."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from ledger.reports.audit import audit_report
from ledger.reports.single_events import Span
from weir.catalogue import catalogue_of
from weir.report_output import Output, ask_report, deliver, report_options
from weir.state import read_config


@click.command(
    epilog="""\b
Examples:
  weir report audit --since 30d
  weir report audit --config examples/support/weir.yaml --html audit.html
  weir report audit --tenant acme --json

\b
Models are ranked by cost x traffic. The three next steps are the cheapest to take, and
of equally cheap ones those about most money; --json has all of them, as `steps`."""
)
@report_options
def audit(config: Path, tenant: str | None, since: datetime | None, until: datetime | None, output: Output) -> None:
    """Every model that is configured or was seen, with what stands out, and what to do next."""
    loaded = read_config(config)
    catalogue, span = catalogue_of(loaded), Span(since=since, until=until, tenant=tenant)
    today = datetime.now(UTC).date()
    made = ask_report(
        loaded,
        lambda database, folder: audit_report(database, folder, span, catalogue, today),
        tenant=tenant,
        since=since,
        until=until,
    )
    deliver(made, output)
