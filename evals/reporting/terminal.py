"""A run on a terminal. Texts come from cases and models: they are printed as they are, and cannot steer it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from rich.box import SIMPLE
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from evals.reporting.figures import between, figure
from evals.reporting.judged import Judged, bad, judged
from evals.reporting.page import quality_of, span
from evals.run_folder import Run
from evals.statistics.interval import Rate
from evals.summary import Figures, Summary
from ledger.reports.formats.values import printable

_LONGEST = 2000
"""Characters of a question or an answer that are printed: a screenful. The page and `--json` have all of it."""
_GAP = 2
"""Between two columns."""
_Column = tuple[str, list[str]]
"""Its heading, and what is in its rows."""
Wanted = Literal["all", "bad", "errors"]


def picked(run: Run, wanted: Wanted, segment: str | None, scorer: str = "") -> list[Judged]:
    """The cases to show: `bad` ones score under half by `scorer` or the run's quality, `errors` have no answer."""
    found = [one for one in judged(run) if segment is None or one.case.segment == segment]
    if wanted == "bad":
        return list(filter(bad(scorer or run.manifest.quality), found))
    return [one for one in found if one.failed] if wanted == "errors" else found


def print_run(summary: Summary, console: Console, segment: str | None = None, *, parts: bool = True) -> None:
    """What came of it, in all and, with `parts`, by segment and group; with `segment`, of that one alone."""
    manifest = summary.manifest
    _say(console, f"{manifest.suite}, put to {manifest.target}, {span(manifest)}")
    _say(console, f"Quality is by {manifest.quality}{_corrected(summary)}.")
    names = [manifest.quality, *(name for name in manifest.scorers if name != manifest.quality)]
    if segment is None:
        _print_figures(console, "", [summary.overall], names, summary.level)
    segments = [one for one in summary.segments if segment in (None, one.name)]
    if parts and (len(summary.segments) > 1 or segment is not None):
        _print_figures(console, "segment", segments, names, summary.level)
    for field, found in summary.groups.items() if parts and segment is None else ():
        _print_figures(console, field, found, names, summary.level)
    for note in summary.notes:
        _say(console, note)


def print_cases(found: Sequence[Judged], console: Console, limit: int) -> None:
    """At most `limit` of them, each with its question, its answers and why they were scored so."""
    for one in found[:limit]:
        console.print()
        console.print(_plain(f"{one.case.id} ({one.case.segment})", style="bold"))
        _say(console, _indented(f"asked: {_cut(one.case.question)}"))
        for row in one.rows:
            said = row.error or (row.answer.shown if row.answer else "")
            _say(console, _indented(f"{'failed' if row.error else 'answer'}: {_cut(said)}"))
            for name, score in row.scores.items():
                why = f", {score.why}" if score.why else ""
                _say(console, _indented(f"{name}: {figure(score.value, 'share')}{why}"))
    if len(found) > limit:
        _say(console, f"\n{len(found) - limit:,} more. --limit shows more of them.")


def as_json(one: Judged) -> dict[str, Any]:
    """A case and its answers, for machines."""
    return {
        "case": one.case.id,
        "segment": one.case.segment,
        "question": one.case.question,
        "expected": one.case.expected,
        "scores": one.scores,
        "rows": one.rows,
    }


def _corrected(summary: Summary) -> str:
    overall, name = summary.overall, summary.manifest.quality
    if name not in overall.corrected:
        return ""
    raw = figure(overall.scores[name].value, "share")
    return f", corrected for the judge's errors; the judge itself says {raw}"


def _print_figures(
    console: Console, what: str, parts: Sequence[Figures], scorers: Sequence[str], level: float
) -> None:
    """A row for each part; what does not fit beside the rest is left out, the last first.

    The first of `scorers` stands for quality, and has its interval.
    """
    columns = [(what, [part.name for part in parts])] if what else []
    columns += [
        ("cases", [f"{part.cases:,}" for part in parts]),
        ("errors", [f"{part.errors:,}" for part in parts]),
    ]
    rates = [quality_of(part, scorers[0]) for part in parts]
    columns += [("quality", _shares(rates)), (f"{level:.0%} interval", [between(rate, "share") for rate in rates])]
    fewest = len(columns)
    columns += [
        ("cost", [figure(part.cost.value if part.cost else None, "usd") for part in parts]),
        ("P95", [figure(part.latency_p95_ms.value if part.latency_p95_ms else None, "ms") for part in parts]),
        ("P50", [figure(part.latency_p50_ms.value if part.latency_p50_ms else None, "ms") for part in parts]),
    ]
    columns += [(name, _shares([quality_of(part, name) for part in parts])) for name in scorers[1:]]
    while len(columns) > fewest and _width(columns) > console.width:
        columns.pop()
    console.print(_grid(columns, named=bool(what)))


def _shares(rates: Sequence[Rate | None]) -> list[str]:
    return [figure(rate.value if rate else None, "share") for rate in rates]


def _width(columns: Sequence[_Column]) -> int:
    return sum(max(map(cell_len, map(printable, [name, *texts]))) + _GAP for name, texts in columns)


def _grid(columns: Sequence[_Column], *, named: bool) -> Table:
    """`named`: the first of them says what each row is about."""
    grid = Table(box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for place, (name, _) in enumerate(columns):
        grid.add_column(_plain(name), justify="left" if named and not place else "right", overflow="fold")
    for row in zip(*(texts for _, texts in columns), strict=True):
        grid.add_row(*map(_plain, row))
    return grid


def _cut(text: str) -> str:
    more = len(text) - _LONGEST
    return text if more <= 0 else f"{text[:_LONGEST]}\n... and {more:,} characters more; --json shows all."


def _indented(text: str) -> str:
    first, *others = text.splitlines() or [""]
    return "\n".join([f"  {first}", *(f"    {line}" for line in others)])


def _say(console: Console, text: str) -> None:
    console.print(_plain(text))


def _plain(text: str, style: str = "") -> Text:
    lines = text.replace("\r\n", "\n").split("\n")
    return Text("\n".join(map(printable, lines)), overflow="fold", style=style)
