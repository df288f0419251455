"""Two runs side by side as a page: the verdict in words, how sure it is, and each case that changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from evals.comparison import Comparison
from evals.findings import Finding, Part
from evals.records import Outcome
from evals.reporting.cases_section import Shown, cases_section
from evals.reporting.figures import (
    Cell,
    count_cell,
    figure,
    intervals,
    named,
    notes,
    safe,
    section,
    table,
    text_cell,
)
from evals.reporting.frame import document
from evals.reporting.judged import Judged, judged
from evals.reporting.page import span
from evals.run_folder import Run
from evals.statistics.interval import Interval
from evals.verdicts import BETTER, NOT_WORSE, WORSE
from ledger.reports.document import Kind
from ledger.reports.formats.values import NOTHING

_KINDS: Mapping[Outcome, Kind] = {"quality": "share", "cost": "usd", "latency": "ms"}
_WHAT: Mapping[Outcome, str] = {"quality": "quality", "cost": "cost of an answer", "latency": "latency, P95"}
_TOO_WIDE = 10.0
"""A ratio above this is no figure any more, and would push all others of a plot into a corner."""


def comparison_page(comparison: Comparison, run_a: Run, run_b: Run) -> str:
    """A self-contained page in UTF-8. `run_a` and `run_b` are those that were compared."""
    a, b = comparison.a.target, comparison.b.target
    sides = [f"A: {a}", f"B: {b}"]
    fields = list(dict.fromkeys([*run_a.manifest.groups, *run_b.manifest.groups]))
    html, data = cases_section(
        _changed(comparison, run_a, run_b), sides=sides, quality=comparison.scorer, groups=fields
    )
    parts = [f"<h1>{safe(run_a.manifest.suite)}: {named(b)} beside {named(a)}</h1>"]
    parts += [_verdict(comparison), f"<p>{_story(comparison, run_a, run_b)}</p>"]
    parts += [section("Outcomes", f"<p>{_how_to_read(comparison)}</p>", _outcomes(comparison), _doubts(comparison))]
    parts += [notes(comparison.notes), section("What changed", *_plots(comparison))]
    if comparison.segments:
        parts.append(section("Segments", _segments(comparison)))
    parts.append(section("Changed cases", html if comparison.changed else "<p>No case changed.</p>"))
    return document(f"{run_a.manifest.suite}: {b} beside {a}", parts, data=data)


def _verdict(comparison: Comparison) -> str:
    words = {BETTER: "good", NOT_WORSE: "good", WORSE: "bad"}
    kind = words.get(comparison.together, "open")
    return (
        f'<div class="verdict {kind}"><p><strong>{_sentence(comparison.together)}</strong></p>'
        f"<p>{named(comparison.summary)}</p>"
        f'<p class="soft">Of quality alone: {safe(comparison.verdict)}. '
        "The line above weighs quality, cost and latency together.</p></div>"
    )


def _sentence(verdict: str) -> str:
    return safe(f"{verdict[:1].upper()}{verdict[1:]}.")


def _story(comparison: Comparison, a: Run, b: Run) -> str:
    overall = comparison.overall
    clusters = f" in {overall.clusters:,} clusters" if overall.clusters < overall.cases else ""
    return (
        f"The same {overall.cases:,} cases{clusters} were put to A, {named(comparison.a.target)} "
        f"({span(a.manifest)}), and to B, {named(comparison.b.target)} ({span(b.manifest)}). Quality is what "
        f"{named(comparison.scorer)} says. {overall.gained:,} cases rose from A to B, {overall.lost:,} fell. "
        f"Requests that failed: {comparison.a.errors:,} of A, {comparison.b.errors:,} of B."
    )


def _how_to_read(comparison: Comparison) -> str:
    return (
        f"The interval of a change contains the true one in {comparison.level * 100:g} of 100 such comparisons. "
        "B is not worse within the margin where all of it is on the good side of the margin, and better where all "
        "of it is on the good side of no change."
    )


def _outcomes(comparison: Comparison) -> str:
    bounds = f"{comparison.level:.0%} interval"
    headings = ["outcome", "A", "B", "change", bounds, "margin", "verdict", "smallest change that would show"]
    rows = []
    for outcome, found in comparison.overall.findings.items():
        kind = _KINDS[outcome]
        sign = "-" if outcome == "quality" else "+"
        rows.append(
            [
                text_cell(_WHAT[outcome]),
                Cell(figure(found.a, kind), found.a),
                Cell(figure(found.b, kind), found.b),
                *_change(outcome, found),
                Cell(f"{sign}{_size(outcome, found.margin)}", found.margin),
                text_cell(found.verdict),
                Cell(NOTHING if found.detectable is None else _size(outcome, found.detectable), found.detectable),
            ]
        )
    return table("Outcomes", headings, rows)


def _doubts(comparison: Comparison) -> str:
    """For readers who want to check: the p values."""
    headings = ["outcome", "p of better", "p of worse", "p of not worse"]
    rows = [
        [text_cell(_WHAT[outcome]), *(Cell(f"{p:.3g}", p) for p in (one.p_better, one.p_worse, one.p_not_worse))]
        for outcome, one in comparison.overall.findings.items()
    ]
    exact = comparison.overall.mcnemar_p
    told = f"<p>McNemar's exact test of quality, two-sided: p = {exact:.3g}.</p>" if exact is not None else ""
    return f"<details><summary>p values, one-sided</summary>{table('p values', headings, rows)}{told}</details>"


def _segments(comparison: Comparison) -> str:
    bounds = f"{comparison.level:.0%} interval"
    headings = ["segment", "cases", "rose", "fell", "quality", bounds, "verdict", "cases needed"]
    others = [outcome for outcome in comparison.overall.findings if outcome != "quality"]
    for outcome in others:
        headings += [outcome, f"{outcome}, verdict"]
    rows = [_segment(part, others) for part in sorted(comparison.segments, key=_rise)]
    told = "<p>The greatest loss first. So many more cases are needed to tell a segment's quality.</p>"
    return told + table("Segments", headings, rows, sortable=True)


def _rise(part: Part) -> float:
    quality = part.findings.get("quality")
    return quality.change.value if quality else 0.0


def _segment(part: Part, others: Sequence[Outcome]) -> list[Cell]:
    row = [text_cell(part.name), *map(count_cell, (part.cases, part.gained, part.lost))]
    quality = part.findings.get("quality")
    row += [Cell(NOTHING)] * 2 if quality is None else _change("quality", quality)
    row.append(_short(quality))
    row.append(count_cell(quality.more_needed) if quality is not None and quality.more_needed else Cell(""))
    for outcome in others:
        found = part.findings.get(outcome)
        row += [Cell(NOTHING) if found is None else _change(outcome, found)[0], _short(found)]
    return row


def _short(found: Finding | None) -> Cell:
    """A verdict where there are many: without the margin and the cases needed."""
    said = {BETTER: BETTER, NOT_WORSE: "not worse", WORSE: WORSE}
    return text_cell(NOTHING if found is None else said.get(found.verdict, "not enough"))


def _plots(comparison: Comparison) -> list[str]:
    """For each outcome all cases, and the segments, with a dashed line at the margin."""
    drawn = []
    for outcome, whole in comparison.overall.findings.items():
        margin = -100 * whole.margin if outcome == "quality" else whole.margin
        unit = "points" if outcome == "quality" else "%"
        side = "right" if outcome == "quality" else "left"
        what = f"Change of {_WHAT[outcome]} from A to B"
        found = {part.name: part.findings.get(outcome) for part in comparison.segments}
        segments = {name: _drawn(outcome, one.change) for name, one in found.items() if one}
        heading = f"{what} (not worse: all {side} of the dashed margin)"
        drawn.append(intervals(heading, unit, {"all cases": _drawn(outcome, whole.change)}, mark=margin))
        drawn.append(intervals(f"{what}, by segment", unit, segments, mark=margin))
    return drawn


def _drawn(outcome: Outcome, change: Interval) -> Interval | None:
    if outcome == "quality":
        return Interval(100 * change.value, 100 * change.low, 100 * change.high)
    if change.high > _TOO_WIDE:
        return None
    return Interval(change.value - 1, change.low - 1, change.high - 1)


def _change(outcome: Outcome, found: Finding) -> tuple[Cell, Cell]:
    change = found.change
    return (
        Cell(_signed(outcome, change.value), change.value),
        Cell(f"{_bound(outcome, change.low)} to {_bound(outcome, change.high)}", change.low),
    )


def _bound(outcome: Outcome, change: float) -> str:
    return _signed(outcome, change).removesuffix(" points")


def _signed(outcome: Outcome, change: float) -> str:
    if outcome == "quality":
        return f"{100 * change:+.1f} points"
    if change > _TOO_WIDE:
        return f"more than {_TOO_WIDE:.0f} times"
    return f"{change - 1:+.1%}"


def _size(outcome: Outcome, size: float) -> str:
    return f"{100 * size:.1f} points" if outcome == "quality" else f"{size:.1%}"


def _changed(comparison: Comparison, run_a: Run, run_b: Run) -> list[Shown]:
    found = [{one.case.id: one for one in judged(run)} for run in (run_a, run_b)]
    shown = []
    for one in comparison.changed:
        sides: list[Judged | None] = [side.get(one.case) for side in found]
        case = run_b.cases.get(one.case) or run_a.cases[one.case]
        change: Literal["gained", "lost"] = "gained" if one.b > one.a else "lost"
        shown.append(
            Shown(
                case=case,
                sides=[side.rows if side else () for side in sides],
                scores={comparison.scorer: one.b},
                rank=one.b - one.a,
                change=change,
            )
        )
    return shown
