"""A verdict as Markdown, as GitHub shows it in a job's summary or a comment.

The non-obvious decision: names of data are shown as code, with the two signs that could end a cell or the code
replaced. Nothing else has a meaning there, no mention is sent, and the source stays readable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from evals.gating.verdict import Check, Verdict

_MEANS_SOMETHING = re.compile(r"([\\`*_{}\[\]<>#|~$!&])")
_MENTION = "@\N{WORD JOINER}"


def to_markdown(verdict: Verdict) -> str:
    """The sentence, the failed checks, and the others folded away."""
    return "\n".join(_lines(verdict)) + "\n"


def _lines(verdict: Verdict) -> Iterator[str]:
    yield f"### Gate {'passed' if verdict.passed else 'refused'}: {_code(verdict.target)} on {_code(verdict.suite)}"
    yield ""
    yield _text(verdict.summary)
    if verdict.segments:
        yield f"\n**Segments that failed:** {', '.join(map(_code, verdict.segments))}"
    if verdict.groups:
        yield f"\n**Groups that fell behind:** {', '.join(map(_code, verdict.groups))}"
    if verdict.failed:
        yield ""
        yield from _table(verdict.failed)
    passed = [check for check in verdict.checks if check.passed]
    if passed:
        yield f"\n<details><summary>{len(passed)} passed</summary>\n"
        yield from _table(passed)
        yield "\n</details>"
    for note in verdict.notes:
        yield f"\n- {_text(note)}"
    yield f"\nRun {_code(verdict.run)}, suite version {_code(verdict.suite_version)}" + (
        f", baseline {_code(verdict.baseline)}." if verdict.baseline else "."
    )


def _table(checks: Sequence[Check]) -> Iterator[str]:
    yield "| rule | about | figure | must be | why |"
    yield "| --- | --- | --- | --- | --- |"
    for check in checks:
        cells = (_code(check.rule), _code(check.about), _text(check.figure), _text(check.limit), _text(check.why))
        yield f"| {' | '.join(cells)} |"


def _code(name: str) -> str:
    line = " ".join(name.replace("`", "'").replace("|", "¦").split())
    plain = "".join(sign if sign.isprintable() else "�" for sign in line)
    return f"`{plain}`" if plain else ""


def _text(text: str) -> str:
    """On one line, without meaning for Markdown or HTML, and without mentions."""
    return _MEANS_SOMETHING.sub(r"\\\1", " ".join(text.split())).replace("@", _MENTION)
