"""The runs in a folder: found, and listed on a page from which each is opened, or two are compared."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from html import escape
from pathlib import Path
from urllib.parse import urlencode

import msgspec

from evals.records import Manifest
from evals.reporting.figures import between, figure, named, safe, text_td
from evals.reporting.frame import document
from evals.reporting.page import quality_of
from evals.run_folder import CASES, MANIFEST, RESULTS, SUMMARY, RunUnusable, read_manifest, read_run
from evals.summary import LEVEL, Summary, summarise
from ledger.reports.formats.values import NOTHING

_DEEPEST = 3
"""Folders below the one that is looked at in which runs are searched for."""
Stamp = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """A folder with a run. One that has no figures, or is damaged, has a `fault` that says so and no `summary`."""

    name: str
    manifest: Manifest | None = None
    summary: Summary | None = None
    fault: str = ""


def folders_in(folder: Path) -> dict[str, Path]:
    """The runs in `folder`, or the one it is, by their names below it, sorted. Raises OSError."""
    if _is_run(folder):
        return {folder.resolve().name: folder}
    return {found.relative_to(folder).as_posix(): found for found in _runs_in(folder, _DEEPEST)}


def stamp(folder: Path) -> Stamp:
    """Changes when anything in the run does."""
    found = []
    for name in (MANIFEST, CASES, RESULTS, SUMMARY):
        try:
            about = (folder / name).stat()
        except OSError:
            found.append((0, -1))
        else:
            found.append((about.st_mtime_ns, about.st_size))
    return tuple(found)


def listed(name: str, folder: Path) -> Listed:
    """What the list says of a run; never raises for a damaged one."""
    try:
        manifest = read_manifest(folder)
    except RunUnusable as error:
        return Listed(name, fault=f"damaged: {error}")
    try:
        return Listed(name, manifest, written_summary(folder) or summarise(read_run(folder)))
    except RunUnusable as error:
        return Listed(name, manifest, fault=f"damaged: {error}")
    except ValueError as error:
        return Listed(name, manifest, fault=str(error))


def written_summary(folder: Path) -> Summary | None:
    """The summary that the run left at its end, unless an answer has come since."""
    path, results = folder / SUMMARY, folder / RESULTS
    try:
        if path.stat().st_mtime_ns < results.stat().st_mtime_ns:
            return None
        return msgspec.json.decode(path.read_bytes(), type=Summary)
    except (OSError, msgspec.MsgspecError):
        return None


def runs_page(folder: Path, runs: Sequence[Listed]) -> str:
    """The newest first, those that cannot be read at the end."""
    ordered = sorted(
        runs, key=lambda one: one.manifest.started_at.timestamp() if one.manifest else 0.0, reverse=True
    )
    title = f"Runs in {folder}"
    if not runs:
        body = "<p>There are none yet. <code>weir eval run SUITE --target TARGET --out DIR</code> makes one.</p>"
        return document(title, [f"<h1>{safe(title)}</h1>", body])
    rows = "\n".join(_row(one, place, len(ordered)) for place, one in enumerate(ordered))
    compare = (
        '<p><button class="go" type="submit">Compare the two that are chosen</button> '
        '<span class="soft">B is judged beside A.</span></p>'
    )
    headings = [
        "A",
        "B",
        "run",
        "target",
        "quality",
        f"{LEVEL:.0%} interval",
        "cost",
        "started (UTC)",
        "state",
        "suite",
    ]
    head = "".join(f'<th scope="col" class="text">{heading}</th>' for heading in headings)
    grid = (
        f'<form action="/compare" method="get"><div class="scroll" tabindex="0" role="region" aria-label="Runs">'
        f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
        f"{compare if len(runs) > 1 else ''}</form>"
    )
    return document(title, [f"<h1>{safe(title)}</h1>", grid], form=True)


def said_page(title: str, text: str) -> str:
    """Why there is no other page, and the way back to the list."""
    return document(title, [f"<h1>{safe(title)}</h1>", f"<p>{named(text)}</p>", '<p><a href="/">All runs</a></p>'])


def _row(one: Listed, place: int, of: int) -> str:
    manifest, summary = one.manifest, one.summary
    name = named(one.name)
    if manifest is not None and summary is not None:
        name = f'<a href="/run?{escape(urlencode({"name": one.name}))}">{name}</a>'
    rate = quality_of(summary.overall, summary.manifest.quality) if summary else None
    total = summary.overall.total_cost if summary else None
    version = manifest.suite_version.removeprefix("sha256:")[:8] if manifest else ""
    cells = [
        f"<td>{_choice('a', one, checked=place == min(1, of - 1))}</td>",
        f"<td>{_choice('b', one, checked=place == 0)}</td>",
        text_td(one.name, name),
        text_td(manifest.target if manifest else NOTHING),
        text_td(figure(rate.value if rate else None, "share")),
        text_td(between(rate, "share")),
        text_td(figure(None if total is None else float(total), "usd")),
        text_td(f"{manifest.started_at.astimezone(UTC):%Y-%m-%d %H:%M}" if manifest else NOTHING),
        text_td(_state(one)),
        text_td(f"{manifest.suite} {version}" if manifest else NOTHING),
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _choice(side: str, one: Listed, *, checked: bool) -> str:
    if one.summary is None:
        return ""
    mark = " checked" if checked else ""
    label = safe(f"{one.name} as {side.upper()}")
    return f'<input type="radio" name="{side}" value="{safe(one.name)}" aria-label="{label}" required{mark}>'


def _state(one: Listed) -> str:
    if one.fault:
        return one.fault
    if one.summary and not one.summary.complete:
        manifest = one.summary.manifest
        return f"incomplete: {one.summary.overall.answers:,} of {manifest.cases * manifest.repeats:,}"
    return "complete"


def _is_run(folder: Path) -> bool:
    return (folder / MANIFEST).is_file() or (folder / RESULTS).is_file()


def _runs_in(folder: Path, deep: int) -> Iterator[Path]:
    for found in sorted(folder.iterdir()):
        if found.name.startswith(".") or not found.is_dir() or not os.access(found, os.R_OK | os.X_OK):
            continue
        if found.is_symlink() and folder.resolve().is_relative_to(found.resolve()):
            continue  # it leads back to where it is: all would be listed again
        if _is_run(found):
            yield found
        elif deep > 1:
            yield from _runs_in(found, deep - 1)
