"""What a search found, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from distill.student.searching.search import Found, SearchSettings, Tried, front


def search_page(found: Found, settings: SearchSettings) -> str:
    """The page: what was asked for, what was found, and all that was tried, the cheapest first."""
    return "\n".join(_lines(found, settings)) + "\n"


def verdict_line(found: Found) -> str:
    """In a sentence."""
    if found.best is None:
        return f"None of {len(found.tried):,} that were tried is good and quick enough."
    best = found.best
    return (
        f"Found: {best.choice.name}, quality {best.score.quality:.3f} (the teacher's {best.score.teacher:.3f}), "
        f"P95 {best.score.p95_ms:.0f} ms, ${best.cost_usd:.4f} for 1,000 answers."
    )


def _lines(found: Found, settings: SearchSettings) -> Iterator[str]:
    yield "# The search for a student\n"
    yield (
        f"Looked for: the cheapest whose P95 is at most {settings.p95_ms:g} ms and whose quality is at most "
        f"{settings.margin:g} below the teacher's, at ${settings.hour_usd} an hour of the machine.\n"
    )
    yield verdict_line(found)
    yield "It was chosen by the tuning questions, so its quality is flattered: the gate has the last word.\n"
    yield "| student | precision | steps | quality | P95 ms | MB | $ for 1,000 | |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |"
    edge = front([one for one in found.tried if one.whole], lambda one: one.cost_usd)
    for one in sorted(found.tried, key=lambda one: (-one.share, one.cost_usd)):
        yield _row(one, best=one == found.best, edge=one in edge)
    yield "\n![Quality against cost and latency](pareto.svg)\n"
    yield from (f"{note}\n" for note in found.notes)


def _row(one: Tried, *, best: bool, edge: bool) -> str:
    score = one.score
    said = "**found**" if best else one.why_not or ("on the front" if edge else "dearer than what was found")
    figures = f"{score.quality:.3f} | {score.p95_ms:.0f} | {score.megabytes:.1f} | {one.cost_usd:.4f}"
    return f"| {one.choice.student} | {one.choice.precision} | {one.share:.0%} | {figures} | {said} |"
