"""`weir report costs`: what was spent and saved, cut by anything."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from contracts.reporting import ReportQuestion
from ledger.reports.costs import DIMENSIONS, USUAL, checked_cut
from ledger.reports.desk import make_costs
from weir.catalogue import surroundings_of
from weir.report_output import Output, ask_report, deliver, report_options
from weir.state import read_config


class _Cut(click.ParamType[str]):
    """Dimensions, separated by commas."""

    name = "cut"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return ",".join(checked_cut(str(value)))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(
    epilog=f"""\b
Examples:
  weir report costs --config examples/support/weir.yaml
  weir report costs --by tenant --since 30d
  weir report costs --by tenant,tag:team,day --since 2026-11-01 --until 2026-12-01 --csv
  weir report costs --since 30d --html costs.html

\b
A row is made by any of {", ".join(DIMENSIONS)}
and tag:NAME. Tags in `ledger.tags` are kept for good; others are known as long as single
events are. Requests are those of clients; what Weir asked besides (judging, auditing,
shadows) is in the cost. Tokens are those that upstreams billed; an answer from the cache
adds none. `saved` is what stored answers cost when they were made; `avoided` is by price
list, against the route's reference. JSON, CSV and Parquet hold every column, and money as
exact decimals. In CSV a text that a spreadsheet would run gets an apostrophe in front."""
)
@report_options
@click.option("--by", type=_Cut(), default=",".join(USUAL), show_default=True, help="What makes a row.")
@click.option(
    "--allocate",
    is_flag=True,
    help="Spread what was spent on other purposes over the requests served, and idle GPUs over who used them.",
)
def costs(
    config: Path,
    tenant: str | None,
    since: datetime | None,
    until: datetime | None,
    by: str,
    allocate: bool,
    output: Output,
) -> None:
    """What was spent and saved, in dollars, per tenant, route and model, or by day, key, purpose and tag."""
    loaded = read_config(config)
    question = ReportQuestion(
        since=since,
        until=until,
        tenant=tenant,
        by=by,
        allocate=allocate,
        format="html" if output.html is not None else "json",
    )
    surroundings = surroundings_of(loaded)
    made = ask_report(
        loaded,
        lambda database, folder: make_costs(database, folder, question, surroundings),
        tenant=tenant,
        since=since,
        until=until,
    )
    deliver(made, output)
