"""`weir report`: what the ledger knows. Exact while servers run: see `ledger.reports`. One file for each report."""

from __future__ import annotations

from importlib import import_module

import click

_REPORTS = {
    "costs": "What was spent and saved, by tenant, route, model, day, tag.",
    "focus": "Export costs for FinOps tools (FOCUS).",
    "audit": "Every model: owner, traffic, cost, latency; and what to do next.",
    "roi": "The measured saving, net of all it cost.",
    "summary": "One page for the leadership.",
}


class _Reports(click.Group):
    """Reports are imported only when called, as verbs are."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_REPORTS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _REPORTS:
            return None
        command = getattr(import_module(f"weir.report_{name}"), name)
        assert isinstance(command, click.Command)  # noqa: S101 - a report's file holds a command of its name
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Reports"):
            formatter.write_dl(list(_REPORTS.items()))


@click.group(cls=_Reports, context_settings={"help_option_names": ["-h", "--help"]})
def report() -> None:
    """Reports from the ledger."""
