"""`weir report`: what the ledger knows. Exact while servers run: see `ledger.reports`. One file for each report."""

from __future__ import annotations

import click

from weir.late import late_group

_REPORTS = {
    "costs": "What was spent and saved, by tenant, route, model, day, tag.",
    "focus": "Export costs for FinOps tools (FOCUS).",
    "audit": "Every model: owner, traffic, cost, latency; and what to do next.",
    "roi": "The measured saving, net of all it cost.",
    "summary": "One page for the leadership.",
}


@click.group(
    cls=late_group("Reports", _REPORTS, "weir.report_{}"), context_settings={"help_option_names": ["-h", "--help"]}
)
def report() -> None:
    """Reports from the ledger."""
