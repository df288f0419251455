"""The verdict for people: a page in Markdown, and a plot of what each confidence would deliver, right and wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from distill.student.gating.gated import Gated, OfVariant
from distill.student.gating.verdict import Figures
from distill.student.table import Row, table
from evals.curve_plot import svg
from evals.gating.verdict import Check
from evals.statistics.interval import Interval
from heads.intents import UNKNOWN
from system.files import replace_file

REPORT, PLOT = "gate.md", "plot.svg"
_MEANS_SOMETHING = re.compile(r"([\\`*_\[\]<>#|])")


def write_report(gated: Gated, folder: Path) -> None:
    """The same bytes for the same verdict."""
    replace_file(folder / REPORT, ("\n".join(_lines(gated)) + "\n").encode())
    replace_file(folder / PLOT, _plot(gated).encode())


def _lines(gated: Gated) -> Iterator[str]:
    student, figures = gated.student, gated.first.judged.figures
    whose = f" of tenant {_text(student.owner)}" if student.owner else ""
    yield f"# The student of route {_text(student.route)}{whose}: {'passed' if gated.passed else 'refused'}"
    yield f"\n{_summary(gated, figures)}"
    yield f"\n## Checks of `{gated.first.variant.name}`\n"
    yield from _checks(gated.first.judged.checks)
    yield "\n## Variants\n"
    yield table([*map(_row, gated.variants), *_not_made(gated.not_made)]).rstrip()
    yield "\nQuality is the whole's: the student's answers where they are delivered, the teacher's elsewhere."
    yield "\n## Intents\n"
    yield from _intents(gated, figures)
    yield "\n## Segments\n"
    yield from _segments(figures)
    yield "\n## How it was judged\n"
    yield from _how(gated, figures)


def _summary(gated: Gated, figures: Figures) -> str:
    student = gated.student
    if not student.intents:
        return f"It may answer nothing: {gated.chosen.why}."
    return (
        f"It may answer {len(student.intents)} intents, where its answer is good with a probability of "
        f"{student.least_good:.3f} or more. By {figures.questions} test questions in {figures.groups} groups that "
        f"is {_share(figures.share)} of the traffic, and quality is {_points(figures.change)} points beside the "
        f"teacher alone. Of the delivered answers {_share(figures.wrong)} are worse than the teacher's; of the "
        f"questions that it may not answer, it answers {_share(figures.leak)}."
    )


def _checks(checks: Sequence[Check]) -> Iterator[str]:
    yield "| | check | figure | must be | |"
    yield "| --- | --- | ---: | ---: | --- |"
    for one in checks:
        said, why = ("held", "") if one.passed else ("**failed**", _text(one.why))
        yield f"| {said} | {_text(one.name)} | {_text(one.figure)} | {_text(one.limit)} | {why} |"


def _row(one: OfVariant) -> Row:
    figures = one.judged.figures
    refused = "; ".join(f"{check.name}: {check.told}" for check in one.judged.checks if not check.passed)
    return Row(
        variant=one.variant.name,
        engine=one.variant.engine,
        bytes=one.variant.bytes,
        tokens_s=one.tokens_s,
        p95_ms=one.p95_ms,
        memory_mb=one.memory_mb,
        quality=figures.quality.value,
        low=figures.quality.low,
        high=figures.quality.high,
        remark=f"delivers {figures.share.value:.1%}, " + (f"refused: {refused}" if refused else "passed"),
    )


def _not_made(reasons: Mapping[str, str]) -> list[Row]:
    return [Row(variant=name, remark=f"not made: {reason}") for name, reason in reasons.items()]


def _intents(gated: Gated, figures: Figures) -> Iterator[str]:
    tested = {one.intent: one for one in figures.intents}
    yield "| intent | | traffic | tested | delivered | student | teacher | agreement | by the tuning questions |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
    rows = {one.intent: (("answers" if one.allowed else "left out"), one.reason) for one in gated.chosen.considered}
    rows[UNKNOWN] = ("kept away", "all that was not picked")
    for intent, (what, why) in sorted(rows.items(), key=lambda row: (row[1][0], row[0])):
        found = tested.get(intent)
        figures_of = (
            [f"{found.share:.1%}", f"{found.questions}", f"{found.delivered}"] if found else ["", "0", "0"]
        ) + [_number(getattr(found, name, None)) for name in ("student", "teacher", "agreement")]
        yield f"| {_text(intent)} | {what} | {' | '.join(figures_of)} | {_text(why)} |"


def _segments(figures: Figures) -> Iterator[str]:
    if not figures.segments:
        yield "None has any answer of the student's."
        return
    yield "| segment | questions | delivered | points beside the teacher | p of a greater fall than allowed |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for one in figures.segments:
        p = "too few groups" if one.p_worse is None else f"{one.p_worse:.3f}"
        yield f"| {_text(one.name)} | {one.questions} | {one.delivered} | {_points(one.change)} | {p} |"


def _how(gated: Gated, figures: Figures) -> Iterator[str]:
    measures = ", ".join(f"{_text(name)} ({many})" for name, many in figures.measures.items())
    yield f"- What an answer is worth was measured by: {measures or 'nothing'}. Beside its own answer the teacher"
    yield "  is worth 1; where a suite's scorer judges, both are scored."
    yield f"- By itself the teacher scores {figures.teacher:.3f} on the test. {_delivered(figures)}"
    yield f"- The head for answers: {_text(gated.check)}. The choice: {_text(gated.chosen.why)}."
    yield f"- The teacher was asked for {gated.taught} answers that were not known."
    turns = gated.student.turns
    yield "- The traffic is all requests " + ("that begin a conversation" if turns == 1 else f"up to turn {turns}")
    yield "  and have a question in text, those too whose answer was not good enough to learn or to test with."
    yield f"  Each question counts for its intent's share of them; {figures.untested:.1%} are of intents that no"
    yield "  test question has, and count as not delivered."
    yield f"- Intervals hold with a probability of {gated.settings['level']:.0%}; whole groups are drawn."
    yield "- Settings: " + ", ".join(f"`{name}: {value}`" for name, value in gated.settings.items()) + "."


def _delivered(figures: Figures) -> str:
    """What both are worth where the student answers, one question counting as another."""
    some = [one for one in figures.intents if one.student is not None and one.teacher is not None]
    many = sum(one.delivered for one in some)
    if not many:
        return "Nothing is delivered."
    student, teacher = (
        sum((getattr(one, who) or 0.0) * one.delivered for one in some) / many for who in ("student", "teacher")
    )
    return (
        f"On the {many} questions that are delivered the student scores {student:.3f}, the teacher {teacher:.3f}."
    )


def _plot(gated: Gated) -> str:
    figures = gated.first.judged.figures
    curves = {"tuning questions": gated.tune_curve, "test questions": figures.curve}
    chosen = (figures.share.value, figures.wrong.value if figures.wrong else 0.0)
    return svg(
        {name: curve for name, curve in curves.items() if curve},
        {"chosen, by the test": chosen},
        across="delivered, share of the traffic",
        up="worse than the teacher's, share of what is delivered",
        title="",
    )


def _share(found: Interval | None) -> str:
    return "none" if found is None else f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def _points(found: Interval) -> str:
    return f"{100 * found.value:+.2f} ({100 * found.low:+.2f} to {100 * found.high:+.2f})"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _text(text: str) -> str:
    """On one line, without a meaning for Markdown."""
    return _MEANS_SOMETHING.sub(r"\\\1", " ".join(text.split()))
