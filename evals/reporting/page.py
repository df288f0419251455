"""A run as a page, for somebody who did not make it: what was asked of whom, what came of it, and every case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from evals.records import Manifest
from evals.reporting.cases_section import cases_section, of_run
from evals.reporting.figures import (
    Cell,
    between,
    cells,
    count_cell,
    facts,
    figure,
    how_to_read,
    intervals,
    named,
    notes,
    safe,
    section,
    table,
    text_cell,
)
from evals.reporting.frame import document
from evals.reporting.judged import judged
from evals.run_folder import Run
from evals.statistics.interval import Rate
from evals.summary import Figures, Summary
from ledger.reports.formats.values import NOTHING

_MOST_MODELS = 5
_SEVERAL = 2
_MOST_CHOICES = 12
"""A field of the metadata with more values than this is nothing to pick cases by."""


def run_page(summary: Summary, run: Run) -> str:
    """A self-contained page in UTF-8, of a run that has ended or not."""
    manifest = summary.manifest
    title = f"{manifest.suite}: {manifest.target}"
    shown, data = cases_section(
        of_run(judged(run), manifest.quality),
        sides=["answer"],
        quality=manifest.quality,
        groups=[*manifest.groups, *_telling(run, manifest.groups)],
    )
    parts = [f"<h1>{safe(title)}</h1>", f"<p>{_story(summary, run)}</p>", facts(_headline(summary))]
    parts += [notes(summary.notes)]
    parts += [section("Scores", f"<p>{how_to_read(summary.level)}</p>", _scores(summary), _score_plot(summary))]
    if len(summary.segments) > 1:
        parts.append(_broken_down("Segments", "segment", summary.segments, summary))
    parts += [
        _broken_down(f"By {field}", field, figures, summary) for field, figures in summary.groups.items() if figures
    ]
    parts += [section("Cases", shown), f'<p class="soft">{_identity(manifest)}</p>']
    return document(title, parts, data=data)


def quality_of(figures: Figures, name: str) -> Rate | None:
    """By the scorer `name`: the corrected rate where there is one; None where no case could be judged."""
    return figures.corrected.get(name) or figures.scores.get(name)


def span(manifest: Manifest) -> str:
    """When the run was made, such as "on 25 November 2026 from 09:30 to 09:41 UTC"."""
    since = manifest.started_at.astimezone(UTC)
    until = manifest.finished_at.astimezone(UTC) if manifest.finished_at else since
    begun = f"on {_day(since)} from {since:%H:%M}"
    if until.date() != since.date():
        return f"{begun} to {_day(until)} {until:%H:%M} UTC"
    return f"{begun} UTC" if f"{until:%H:%M}" == f"{since:%H:%M}" else f"{begun} to {until:%H:%M} UTC"


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}"


def _story(summary: Summary, run: Run) -> str:
    manifest = summary.manifest
    often = "once" if manifest.repeats == 1 else f"{manifest.repeats} times"
    told = [
        f"The {manifest.cases:,} cases of the suite {named(manifest.suite)} (revision {named(manifest.revision)}) "
        f"were put to {named(manifest.target)}, each {often}, {span(manifest)}."
    ]
    if not summary.complete:
        told.append(
            f"The run is not complete: {len(run.rows):,} of {manifest.cases * manifest.repeats:,} are done."
        )
    told.append(_judges(manifest))
    told.append(_models(run))
    return " ".join(part for part in told if part)


def _judges(manifest: Manifest) -> str:
    names = [
        named(name) + (f" (by the model {named(facts.model)})" if facts.model else "")
        for name, facts in manifest.scorers.items()
    ]
    told = f"Answers were judged by {_listed(names)}."
    if len(names) > 1:
        told += f" What is called quality here is {named(manifest.quality)}."
    return told


def _models(run: Run) -> str:
    models = Counter(row.answer.model for row in run.rows if row.answer and row.answer.model)
    if not models or set(models) == {run.manifest.target}:
        return ""
    most = [f"{named(name)} ({count:,})" for name, count in models.most_common(_MOST_MODELS)]
    others = len(models) - len(most)
    return f"The answers are by {_listed([*most, f'{others} other models'] if others else most)}."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _headline(summary: Summary) -> list[tuple[str, str, str]]:
    overall, name = summary.overall, summary.manifest.quality
    rate = quality_of(overall, name)
    told = [("Quality", figure(rate.value if rate else None, "share"), _of_quality(summary, rate))]
    total = f"{figure(float(overall.total_cost), 'usd')} in all" if overall.total_cost is not None else ""
    for heading, interval, kind, note in (
        ("Cost of an answer", overall.cost, "usd", total),
        ("Latency, median", overall.latency_p50_ms, "ms", ""),
        ("Latency, P95", overall.latency_p95_ms, "ms", "19 of 20 answers came sooner"),
    ):
        if interval is None:
            told.append((heading, NOTHING, "not known"))
        else:
            bounds = between(interval, "usd" if kind == "usd" else "ms")
            value = figure(interval.value, "usd" if kind == "usd" else "ms")
            told.append((heading, value, f"{bounds}; {note}" if note else bounds))
    share = overall.errors / overall.answers if overall.answers else 0.0
    told.append(("Errors", f"{overall.errors:,}", f"{figure(share, 'share')} of {overall.answers:,} requests"))
    return told


def _of_quality(summary: Summary, rate: Rate | None) -> str:
    if rate is None:
        return "no case was judged yet"
    name = summary.manifest.quality
    corrected = ", corrected for the judge's errors" if name in summary.overall.corrected else ""
    grouped = f" in {rate.clusters:,} clusters" if rate.clusters < rate.n else ""
    return f"{summary.level:.0%} interval {between(rate, 'share')}; {name}{corrected}, {rate.n:,} cases{grouped}"


def _scores(summary: Summary) -> str:
    manifest, overall = summary.manifest, summary.overall
    judges = bool(overall.corrected or manifest.calibrations)
    headings = ["scorer", "score", f"{summary.level:.0%} interval", "standard error", "cases", "clusters"]
    headings += ["corrected", "corrected interval", "kappa with people"] if judges else []
    rows = []
    for name, rate in overall.scores.items():
        row = [text_cell(_kind(manifest, name)), *cells(rate, "share")]
        row += [Cell(figure(rate.standard_error, "share"), rate.standard_error)]
        row += [count_cell(rate.n), count_cell(rate.clusters)]
        if judges:
            row += [*cells(overall.corrected.get(name), "share"), _kappa(manifest, name)]
        rows.append(row)
    return table("Scores", headings, rows) if rows else "<p>Nothing was scored yet.</p>"


def _kind(manifest: Manifest, name: str) -> str:
    known = manifest.scorers.get(name)
    return f"{name} ({known.kind})" if known and known.kind != name else name


def _kappa(manifest: Manifest, name: str) -> Cell:
    found = manifest.calibrations.get(name)
    if found is None:
        return Cell(NOTHING)
    return Cell(f"{found.kappa:.2f} ({found.kappa_low:.2f} to {found.kappa_high:.2f})", found.kappa)


def _score_plot(summary: Summary) -> str:
    overall = summary.overall
    places = dict(overall.scores) | {f"{name}, corrected": rate for name, rate in overall.corrected.items()}
    return intervals("Scores with their intervals", "%", places) if len(places) >= _SEVERAL else ""


def _broken_down(heading: str, what: str, parts: Sequence[Figures], summary: Summary) -> str:
    manifest, level = summary.manifest, summary.level
    others = [name for name in manifest.scorers if name != manifest.quality]
    headings = [what, "cases", "quality", f"{level:.0%} interval", *others, "errors", "cost", "P50", "P95"]
    rows = []
    for part in parts:
        row = [text_cell(part.name), count_cell(part.cases), *cells(quality_of(part, manifest.quality), "share")]
        row += [cells(quality_of(part, name), "share")[0] for name in others]
        row += [count_cell(part.errors), cells(part.cost, "usd")[0]]
        row += [cells(part.latency_p50_ms, "ms")[0], cells(part.latency_p95_ms, "ms")[0]]
        rows.append(row)
    places = {part.name: quality_of(part, manifest.quality) for part in parts}
    plot = intervals(f"Quality: {heading.lower()}", "%", places)
    return section(heading, table(heading, headings, rows, sortable=True), plot)


def _telling(run: Run, known: Sequence[str]) -> list[str]:
    """Further fields of the metadata that cases can be picked by: few values, and each in several cases."""
    values: dict[str, Counter[str]] = {}
    for case in run.cases.values():
        for field, value in case.metadata.items():
            if isinstance(value, str | bool):
                values.setdefault(field, Counter())[str(value)] += 1
    return [
        field
        for field, found in values.items()
        if field not in known and 1 < len(found) <= _MOST_CHOICES and found.total() > _SEVERAL * len(found)
    ]


def _identity(manifest: Manifest) -> str:
    return (
        f"Suite {named(manifest.suite_version)}, target {named(manifest.target_version)}, settings "
        f"{named(manifest.config_hash)}, Weir {named(manifest.weir)}."
    )
