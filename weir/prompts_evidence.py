"""What people see of a prompt's evidence: what was measured before and after, with its intervals."""

from __future__ import annotations

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from evals.reporting.figures import figure
from evals.verdicts import NOT_ENOUGH
from ledger.reports.document import Kind
from prompts.evidence import Change, Evidence
from prompts.optimise.search_page import change_text, pays
from weir.prompts_subject import readable


def print_evidence(evidence: Evidence, console: Console, *, rest: str) -> None:
    """Its figures, and the segments that tell something; `rest` says where the others are: "see the page"."""
    console.print(_outcomes(evidence))
    told = [share for share in evidence.segments if not share.quality.verdict.startswith(NOT_ENOUGH)]
    if told:
        table = _table("segment", evidence)
        for share in told:
            table.add_row(Text(f"{readable(share.segment)} ({share.cases:,})"), *_cells(share.quality, "share"))
        console.print(table)
    if hidden := len(evidence.segments) - len(told):
        console.print(f"{hidden} of {len(evidence.segments)} segments have not enough cases: {rest}.")


def _outcomes(evidence: Evidence) -> Table:
    table = _table("", evidence)
    told: tuple[tuple[str, Change | None, Kind], ...] = (
        ("quality", evidence.quality, "share"),
        (f"$ a request; {pays(evidence)}", evidence.cost, "usd"),
    )
    for name, change, kind in told:
        if change is not None:
            table.add_row(name, *_cells(change, kind))
    tokens = (f"{count:,.0f}" for count in (evidence.prompt_tokens_before, evidence.prompt_tokens_after))
    table.add_row("tokens a request", *tokens, "", "")
    return table


def _table(heading: str, evidence: Evidence) -> Table:
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0), show_edge=False)
    for name in (heading, "before", "after", f"change ({evidence.level * 100:g} %)", "verdict"):
        table.add_column(name, overflow="fold")
    return table


def _cells(change: Change, kind: Kind) -> tuple[str, str, str, str]:
    return figure(change.before, kind), figure(change.after, kind), change_text(change, kind), change.verdict
