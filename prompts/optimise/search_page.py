"""A search as a page, for somebody who did not make it: what it was after, what it found, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evals.curve_plot import svg
from evals.reporting.figures import (
    Cell,
    count_cell,
    facts,
    figure,
    how_to_read,
    named,
    notes,
    safe,
    section,
    table,
    text_cell,
)
from evals.reporting.frame import document
from ledger.reports.document import Kind
from prompts.differences import difference
from prompts.evidence import Change, Evidence
from prompts.optimise.outcome import Outcome
from prompts.prompt import BookedPrompt

_CURVE = "best prompt so far"
_GAP = "\n\n"


def search_page(outcome: Outcome, *, comparison: str = "") -> str:
    """A self-contained page in UTF-8. `comparison` is the address of the page on both runs, where there is one."""
    title = f"The prompt {outcome.name}, optimised by {outcome.optimiser}"
    parts = [f"<h1>{safe(title)}</h1>", _verdict(outcome), f"<p>{_story(outcome)}</p>"]
    if outcome.evidence is not None:
        parts.append(facts(_headline(outcome.evidence)))
        parts.append(_evidence(outcome.evidence, comparison))
    parts.append(section("The search", _curve(outcome)))
    if outcome.found is not None:
        parts.append(section("What changed", *_changes(outcome.before, outcome.found)))
    parts.append(_turned_away(outcome))
    return document(title, parts)


def _verdict(outcome: Outcome) -> str:
    kind = {"passed": "good", "refused": "bad"}.get(outcome.came_to, "open")
    said = {
        "passed": "Better, and it may serve.",
        "refused": "It may not serve.",
        "nothing": "Nothing better was found.",
        "stopped": "Not finished.",
    }[outcome.came_to]
    return f'<div class="verdict {kind}"><p><strong>{said}</strong></p><p>{named(outcome.reason)}</p></div>'


def _story(outcome: Outcome) -> str:
    train, validation, test = outcome.cases
    told = (
        f"{named(outcome.optimiser)} looked for a prompt with {_after(outcome)} on the route {named(outcome.route)}"
        f", beginning with version {named(outcome.before.version)}. It learned from {train:,} cases of the suite "
        f"{named(outcome.suite)} and chose by {validation:,}; the {test:,} others, which it never saw, are the test"
        f". {outcome.tried:,} prompts were tried, and {figure(float(outcome.spent), 'usd')} spent in all."
    )
    return f"{told} The search ended early: {named(outcome.ended)}" if outcome.ended else told


def _after(outcome: Outcome) -> str:
    return "better answers" if outcome.objective == "quality" else "answers as good for less money"


def _headline(evidence: Evidence) -> list[tuple[str, str, str]]:
    told = [_fact("Quality", evidence.quality, "share", f"{evidence.cases:,} cases that no optimiser saw")]
    if evidence.cost is not None:
        told.append(_fact("Cost of an answer", evidence.cost, "usd", pays(evidence)))
    tokens = f"{evidence.prompt_tokens_before:,.0f} to {evidence.prompt_tokens_after:,.0f}"
    return [*told, ("Tokens of a request", tokens, "instructions, demonstrations and question")]


def _fact(heading: str, change: Change, kind: Kind, note: str) -> tuple[str, str, str]:
    return heading, f"{figure(change.before, kind)} to {figure(change.after, kind)}", note


def pays(evidence: Evidence) -> str:
    """After how many requests the new version has saved what finding it took."""
    if evidence.breaks_even is None:
        return "no request gets cheaper"
    return (
        f"pays after {evidence.breaks_even:,} requests" if evidence.breaks_even else "pays from the first request"
    )


def change_text(change: Change, kind: Kind) -> str:
    """The change with its interval: points of quality, per cent of dollars."""
    if kind == "share":
        return f"{100 * change.change:+.1f} points ({100 * change.low:+.1f} to {100 * change.high:+.1f})"
    value, low, high = (100 * (ratio - 1) for ratio in (change.change, change.low, change.high))
    return f"{value:+.1f}% ({low:+.1f} to {high:+.1f})"


def _evidence(evidence: Evidence, comparison: str) -> str:
    headings = ["", "before", "after", f"change and {evidence.level:.0%} interval", "verdict"]
    told: list[tuple[str, Change | None, Kind]] = [
        ("quality", evidence.quality, "share"),
        ("cost of an answer", evidence.cost, "usd"),
    ]
    rows = [_row(text_cell(name), change, kind) for name, change, kind in told if change is not None]
    parts = [f"<p>{how_to_read(evidence.level)}</p>", table("Outcomes", headings, rows)]
    if evidence.segments:
        shares = [
            [*_row(text_cell(share.segment), share.quality, "share"), count_cell(share.cases)]
            for share in evidence.segments
        ]
        headings = ["segment", *headings[1:], "cases"]
        parts += ["<h3>Quality by segment</h3>", table("Segments", headings, shares, sortable=True)]
    if comparison:
        parts.append(f'<p><a href="{safe(comparison)}">Each case that changed, side by side</a></p>')
    return section("The test", *parts)


def _row(name: Cell, change: Change, kind: Kind) -> list[Cell]:
    return [
        name,
        Cell(figure(change.before, kind), change.before),
        Cell(figure(change.after, kind), change.after),
        Cell(change_text(change, kind), change.change),
        text_cell(change.verdict),
    ]


def _curve(outcome: Outcome) -> str:
    """The best mean score so far, as stairs, against what had been spent."""
    if not outcome.steps:
        return "<p>No prompt answered the whole validation part.</p>"
    points: list[tuple[float, float]] = []
    for step in outcome.steps:
        if points:
            points.append((float(step.spent), points[-1][1]))
        points.append((float(step.spent), step.value))
    end = max(float(outcome.searched), points[-1][0])
    drawing = svg(
        {_CURVE: [*points, (end, points[-1][1])]},
        {},
        across="dollars spent",
        up="mean score on the validation part",
    )
    return f'<figure tabindex="0" role="group" aria-label="Best score by dollars spent">{drawing}</figure>'


def _changes(before: BookedPrompt, after: BookedPrompt) -> Iterator[str]:
    """Word by word."""
    found = difference(before, after)
    for part in found.sections:
        if part.change != "same":
            said = "".join(_marked(passage.change, passage.text) for passage in part.passages)
            yield f'<h3>{safe(part.name)}</h3><div class="said">{said}</div>'
        elif part.locked[1]:
            yield f"<h3>{safe(part.name)}</h3><p>Locked: the same.</p>"
    shown = [
        f'<div class="said">{_marked(change, f"{one.user}{_GAP}{one.assistant}")}</div>'
        for change, demonstrations in (
            ("removed", found.demonstrations_removed),
            ("added", found.demonstrations_added),
        )
        for one in demonstrations
    ]
    if shown:
        yield "<h3>Demonstrations</h3>" + "\n".join(shown)


def _marked(change: str, text: str) -> str:
    element = {"removed": "del", "added": "ins"}.get(change)
    said = "\n".join(safe(line) for line in text.split("\n"))
    return f"<{element}>{said}</{element}>" if element else said


def _turned_away(outcome: Outcome) -> str:
    told: Sequence[str] = [f"{one.version}: {one.why}" for one in outcome.turned_away]
    refusals = outcome.evidence.refusals if outcome.evidence is not None else ()
    return notes([*refusals, *(f"A prompt that scored better may not serve. {text}" for text in told)])
