"""`weir eval compare`: is one run better than another, and is the difference real?

The non-obvious decision: whatever the verdict, it is an answer, and the exit status is 0. Refusing is for
`weir eval gate`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from weir.writing import writing

if TYPE_CHECKING:
    from evals.comparison import Comparison
    from evals.findings import Finding, Part
    from evals.records import Outcome
    from evals.run_folder import Run

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_NAMES: Mapping[Outcome, str] = {"quality": "quality", "cost": "cost", "latency": "P95"}
_TINY_P = 0.0001
"""Smaller p values say no more, and the smallest are rounded to none."""
_FILE = click.Path(dir_okay=False, path_type=Path)
_SHARE = click.FloatRange(0, 1, max_open=True)


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  weir eval compare runs/large runs/small
  weir eval compare runs/large runs/small --margin 0.05 --segments
  weir eval compare runs/large runs/small --html changes.html --quality quality.json
  weir eval compare runs/large runs/small --json | jq .verdict

\b
Exit status: 0 compared, whatever the verdict; 1 the runs cannot be compared; 2 a wrong option.""",
)
@click.argument("dir_a", type=_FOLDER)
@click.argument("dir_b", type=_FOLDER)
@click.option(
    "--margin", type=_SHARE, help="How far quality may fall and be not worse: 0.02 is two points. [A's own]"
)
@click.option("--cost-margin", type=_SHARE, help="How much dearer an answer may be: 0.05 is 5 %.")
@click.option("--latency-margin", type=_SHARE, help="How much slower the P95 may be: 0.05 is 5 %.")
@click.option(
    "--level",
    type=click.FloatRange(0.5, 0.999),
    default=0.95,
    show_default=True,
    help="With this probability an interval contains the truth.",
)
@click.option(
    "--segments", "all_segments", is_flag=True, help="Show all segments, also those that tell nothing yet."
)
@click.option("--html", type=_FILE, metavar="FILE", help="Write a page, with the cases that changed side by side.")
@click.option(
    "--quality",
    type=_FILE,
    metavar="FILE",
    help="Write the change of quality, for `weir report summary --quality`.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(
    dir_a: Path,
    dir_b: Path,
    margin: float | None,
    cost_margin: float | None,
    latency_margin: float | None,
    level: float,
    all_segments: bool,
    html: Path | None,
    quality: Path | None,
    as_json: bool,
) -> None:
    """Judge run B beside run A, case by case: quality, cost and latency.

    The verdict is "better", "not worse within the margin", "worse" or "not enough cases", with how many more are
    needed. Runs are folders that `weir eval run` made, of the same suite.
    """
    given: Mapping[Outcome, float | None] = {"quality": margin, "cost": cost_margin, "latency": latency_margin}
    margins = {outcome: value for outcome, value in given.items() if value is not None}
    runs = _runs(dir_a, dir_b)
    found = _compared(*runs, margins, level)
    if html is not None:
        from evals.reporting.comparison_page import comparison_page

        with writing(html):
            html.write_text(comparison_page(found, *runs), encoding="utf-8")
    if quality is not None:
        with writing(quality):
            quality.write_text(_quality_of(found), encoding="utf-8")
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        _show(found, all_segments)


def _runs(a: Path, b: Path) -> tuple[Run, Run]:
    from evals.run_folder import RunUnusable, read_run

    try:
        return read_run(a), read_run(b)
    except RunUnusable as error:
        raise click.ClickException(str(error)) from error


def _compared(a: Run, b: Run, margins: Mapping[Outcome, float], level: float) -> Comparison:
    try:
        from evals.comparison import Incomparable
        from evals.comparison import compare as judged
    except ImportError as error:
        raise click.ClickException(f"{error}. Comparing needs the extra: pip install 'weir[evals]'") from error
    try:
        return judged(a, b, margins=margins, level=level)
    except Incomparable as error:
        raise click.ClickException(str(error)) from error


def _quality_of(found: Comparison) -> str:
    """As `ledger.reports.quality` reads it."""
    change = found.overall.findings["quality"].change
    source = f"{found.b.target} beside {found.a.target}, {found.overall.cases} cases by {found.scorer}"
    told = {"difference": change.value, "low": change.low, "high": change.high, "source": source}
    return json.dumps(told, indent=1) + "\n"


def _show(found: Comparison, all_segments: bool) -> None:
    from evals.verdicts import NOT_ENOUGH

    console = Console()
    console.print(f"[bold]{escape(found.summary)}[/bold]", highlight=False)
    console.print("", _outcomes(found), "", sep="\n")
    told = [part for part in found.segments if all_segments or not _quality(part, NOT_ENOUGH)]
    if told:
        console.print(_segments(told, found.level), "", sep="\n")
    if hidden := len(found.segments) - len(told):
        console.print(f"{hidden} of {len(found.segments)} segments have not enough cases: --segments shows them.")
    console.print(_cases(found), highlight=False)
    for note in found.notes:
        console.print(f"- {escape(note)}", highlight=False)


def _quality(part: Part, verdict: str) -> bool:
    return "quality" not in part.findings or part.findings["quality"].verdict.startswith(verdict)


def _outcomes(found: Comparison) -> Table:
    table = _table(["", "A", "B", f"change ({found.level * 100:g} %)", "verdict"])
    for outcome, finding in found.overall.findings.items():
        table.add_row(_NAMES[outcome], *_cells(outcome, finding))
    return table


def _segments(parts: list[Part], level: float) -> Table:
    table = _table(["segment", "n", "A", "B", f"change ({level * 100:g} %)", "verdict"])
    for part in parts:
        if finding := part.findings.get("quality"):
            table.add_row(escape(part.name), f"{part.cases:,}", *_cells("quality", finding))
    return table


def _table(headings: list[str]) -> Table:
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0), show_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=heading != "segment", overflow="fold")
    return table


def _cells(outcome: Outcome, finding: Finding) -> list[str]:
    change = finding.change
    if outcome == "quality":
        a, b = f"{finding.a:.1%}", f"{finding.b:.1%}"
        value, low, high = (f"{one * 100:+.1f}" for one in (change.value, change.low, change.high))
    else:
        a, b = _amount(outcome, finding.a), _amount(outcome, finding.b)
        value, low, high = (f"{one:.3g}" for one in (change.value, change.low, change.high))
        value = f"x{value}"
    return [a, b, f"{value} ({low} to {high})", _brief(finding)]


def _brief(finding: Finding) -> str:
    """The verdict in a column: whole it is in the sentence above, and in JSON."""
    from evals.verdicts import NOT_ENOUGH, NOT_WORSE

    if finding.verdict.startswith(NOT_ENOUGH):
        return f"needs {finding.more_needed:,} more" if finding.more_needed else "not enough"
    return "not worse" if finding.verdict == NOT_WORSE else finding.verdict


def _amount(outcome: Outcome, value: float) -> str:
    return f"${value:.3g}" if outcome == "cost" else f"{value:,.0f} ms"


def _cases(found: Comparison) -> str:
    part = found.overall
    clusters = "one cluster" if part.clusters == 1 else f"{part.clusters:,} clusters"
    said = f"{part.cases:,} cases in {clusters}; quality rose in {part.gained:,} and fell in {part.lost:,}."
    if part.mcnemar_p is not None:
        p = f"= {part.mcnemar_p:.3g}" if part.mcnemar_p >= _TINY_P else f"< {_TINY_P}"
        said += f" Exact McNemar, clusters left aside: p {p}."
    least = [
        f"{each.detectable * 100:.1f} points of quality"
        if name == "quality"
        else f"{each.detectable:.0%} of {name}"
        for name, each in part.findings.items()
        if each.detectable is not None
    ]
    if least:
        said += f" In four of five runs, so many cases show a change of {', '.join(least)}."
    return said
