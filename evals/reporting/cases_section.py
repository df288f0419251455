"""The cases of a page: the data that its script shows, and the controls that it is filtered by.

The non-obvious decision: a page holds so many cases that a browser opens it at once. Of a larger run it holds the
worst, and a sample of the others, and says so: whoever reads it wants to see what went wrong, and what is usual.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from contracts.money import ZERO
from evals.cases import Case
from evals.records import Answer, Row
from evals.reporting.figures import figure, safe
from evals.reporting.frame import embedded
from evals.reporting.judged import GOOD, Judged
from ledger.reports.formats.values import printable

MOST_CASES, MOST_BYTES = 5_000, 20_000_000
"""What a page holds at most."""
_RESULTS = {"": "all", "good": "good", "bad": "bad", "error": "error"}
_CHANGES = {"": "all", "gained": "gained", "lost": "lost"}


class Shown(Struct, frozen=True, kw_only=True):
    """A case for the page. The worse, the lower `rank`. `change`: `gained` or `lost`, in a comparison."""

    case: Case
    sides: Sequence[Sequence[Row]]
    scores: Mapping[str, float]
    rank: float
    change: str = ""


def of_run(found: Sequence[Judged], quality: str) -> list[Shown]:
    return [
        Shown(
            case=one.case,
            sides=[one.rows],
            scores=one.scores,
            rank=-1.0 if one.failed else one.scores.get(quality, 1.0),
        )
        for one in found
    ]


def cases_section(
    shown: Sequence[Shown], *, sides: Sequence[str], quality: str, groups: Sequence[str]
) -> tuple[str, dict[str, Any]]:
    """The section's HTML, and the data for the script of the page it is put on.

    `sides` are headings of the answers, one for a run and two for a comparison; `quality` names the scorer by which
    cases are good or bad, `groups` fields of their metadata.
    """
    records = [(one, _record(one, groups)) for one in shown]
    kept = _kept(records)
    changes = any(one.change for one in shown)
    scorers = list(dict.fromkeys([quality, *(name for one in shown for name in one.scores)]))
    controls = [_select("segment", "Segment", {"": "all"} | _same(one.case.segment for one in shown))]
    if len(scorers) > 1 and not changes:
        controls.append(_select("scorer", "Scorer", _same(scorers)))
    controls.append(_select("result", "Change" if changes else "Result", _CHANGES if changes else _RESULTS))
    if chosen := _group_choices(shown, groups):
        controls.append(_select("group", "Group", {"": "all"} | chosen))
    controls.append(
        '<label class="search">Search<input type="search" data-filter="search" '
        'placeholder="in questions, answers and expectations"></label>'
    )
    data = {"quality": quality, "good": GOOD, "sides": list(map(printable, sides)), "cases": kept}
    html = (
        f"{_left_out(len(kept), len(shown))}"
        f'<div class="controls">{"".join(controls)}</div><p class="soft" id="count" role="status"></p>'
        "<noscript><p>The cases are shown by a script, which this browser does not run.</p></noscript>"
        '<div id="cases"></div><button class="more" id="more" type="button" hidden>Show more</button>'
    )
    return html, data


def _kept(records: Sequence[tuple[Shown, dict[str, Any]]]) -> list[dict[str, Any]]:
    """As many as a page holds, in their order: half of that the worst, the rest a sample of the others."""
    sizes = [len(embedded(record).encode()) for _, record in records]
    if len(records) <= MOST_CASES and sum(sizes) <= MOST_BYTES:
        return [record for _, record in records]
    worst = sorted(range(len(records)), key=lambda place: records[place][0].rank)
    kept = _fitting(worst, sizes, MOST_CASES // 2, MOST_BYTES // 2)
    others = [place for place in range(len(records)) if place not in kept]
    random.Random(0).shuffle(others)  # noqa: S311 - a sample, and the same one each time
    room = MOST_BYTES - sum(sizes[place] for place in kept)
    kept |= _fitting(others, sizes, MOST_CASES - len(kept), room)
    return [records[place][1] for place in sorted(kept)]


def _fitting(places: Iterable[int], sizes: Sequence[int], most: int, room: int) -> set[int]:
    kept: set[int] = set()
    for place in places:
        if len(kept) == most:
            break
        if sizes[place] <= room:
            kept.add(place)
            room -= sizes[place]
    return kept


def _left_out(kept: int, of: int) -> str:
    if kept == of:
        return ""
    return (
        f"<p>This page holds {kept:,} of {of:,} cases: the worst ones, and a sample of the others. The filters and "
        "the search see only these; all figures above are of all cases.</p>"
    )


def _record(one: Shown, groups: Sequence[str]) -> dict[str, Any]:
    case = one.case
    return {
        "id": _clean(case.id),
        "segment": _clean(case.segment),
        "groups": _groups(case, groups),
        "turns": [[_clean(str(turn["role"])), _clean(_content(turn))] for turn in case.messages],
        "expected": _clean(_expected(case)),
        "documents": [[_clean(document.id), _clean(document.text)] for document in case.documents],
        "scores": one.scores,
        "failed": any(row.error for rows in one.sides for row in rows),
        "change": one.change,
        "sides": [[_answer(row) for row in rows] for rows in one.sides],
    }


def _answer(row: Row) -> dict[str, Any]:
    answer = row.answer or Answer()
    return {
        "text": _clean(answer.shown),
        "error": _clean(row.error),
        "scores": [[_clean(name), score.value, _clean(score.why)] for name, score in row.scores.items()],
        "about": _clean(" · ".join(_about(row))) if row.answer else "",
    }


def _about(row: Row) -> Iterable[str]:
    answer = row.answer or Answer()
    if answer.model:
        yield answer.model
    yield f"{answer.prompt_tokens:,} + {answer.completion_tokens:,} tokens"
    if answer.cost is not None:
        yield "free" if answer.cost == ZERO else figure(float(answer.cost), "usd")
    if answer.latency_ms is not None:
        yield figure(answer.latency_ms, "ms")
    if answer.finish not in ("", "stop"):
        yield f"ended: {answer.finish}"
    yield from (f"{name}: {value}" for name, value in answer.evidence.items())
    if row.recalled:
        yield "recalled from an earlier run"


def _content(turn: Mapping[str, Any]) -> str:
    content = turn.get("content")
    texts = [content] if isinstance(content, str) else [_part(part) for part in content or ()]
    calls = [json.dumps(call, ensure_ascii=False) for call in turn.get("tool_calls") or ()]
    return "\n".join([*texts, *calls])


def _part(part: Mapping[str, Any]) -> str:
    return str(part["text"]) if part.get("text") else f"[{part.get('type', 'part')}]"


def _expected(case: Case) -> str:
    return "\n".join(f"{name}: {_value(value)}" for name, value in case.expected.items())


def _value(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return "; ".join(value)
    return json.dumps(value, ensure_ascii=False)


def _groups(case: Case, fields: Sequence[str]) -> dict[str, str]:
    return {_clean(field): _clean(_value(case.metadata[field])) for field in fields if field in case.metadata}


def _group_choices(shown: Sequence[Shown], fields: Sequence[str]) -> dict[str, str]:
    pairs = {pair for one in shown for pair in _groups(one.case, fields).items()}
    return {json.dumps(pair, ensure_ascii=False): f"{pair[0]}: {pair[1]}" for pair in sorted(pairs)}


def _same(names: Iterable[str]) -> dict[str, str]:
    return {_clean(name): name for name in names}


def _select(name: str, label: str, options: Mapping[str, str]) -> str:
    listed = "".join(f'<option value="{safe(value)}">{safe(text)}</option>' for value, text in options.items())
    return f'<label>{label}<select data-filter="{name}">{listed}</select></label>'


def _clean(text: str) -> str:
    """`text` as `printable` has it, but for the ends of its lines."""
    return "\n".join(printable(line.replace("\t", "    ")) for line in text.replace("\r\n", "\n").split("\n"))
