"""The model card of a stored artefact, in Markdown: what it is, what it was learned from, and what was found.

The non-obvious decision: a card is any JSON object, and nothing of it is left out. These keys have a place of their
own; what has another name comes after them, under "More".

    summary       a text: what it is and what it is for
    licence       an SPDX name; languages, tags, datasets: lists of words; base_model: what it was trained from;
                  library, task: what runs it, and the task it is for, as Hugging Face calls them
    lineage       an object; a list of objects in it, such as its `sources`, becomes a table
    evidence      a list of objects, a row each ({"metric", "value", "low", "high", "n"}), or an object
    verdict       an object: the gate's, such as {"passed": true, "reasons": [...]}
    limits        a list of texts: where it is not to be trusted

Those of the second line stand in the front matter (`registry.front_matter`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from typing import Any

from registry.change_log import Entry
from registry.front_matter import TRANSLATED, front_matter, plain
from registry.store import StoredArtefact

_SECTIONS = {"lineage": "Where it comes from", "evidence": "Evidence", "verdict": "Verdict", "limits": "Limits"}
_DEEPEST = 6
_FIRST = ("name", "metric", "value", "low", "high", "n")
"""Columns of a table that come before the others: a stored card has its keys in order of the alphabet."""
_MARKDOWN = re.compile(r"([\\`*_\[\]<>#|])")


def markdown(artefact: StoredArtefact, changes: Iterable[Entry] = ()) -> str:
    """The card. `changes` are the log's entries about the name; those about other versions are left out."""
    card = artefact.card
    lines = ["---", *front_matter(artefact), "---", "", f"# {_text(artefact.kind)} {_text(artefact.name)}", ""]
    if card.get("summary"):
        lines += [_text(card["summary"]), ""]
    lines += [f"Version `{artefact.version}`; files: {', '.join(f'`{name}`' for name in artefact.files)}.", ""]
    for key, heading in _SECTIONS.items():
        if key in card:
            lines += [f"## {heading}", "", *_shown(card[key]), ""]
    more = {key: value for key, value in card.items() if key not in {*_SECTIONS, *TRANSLATED, "summary"}}
    if more:
        lines += ["## More", "", *_shown(more), ""]
    lines += ["## What became of it", "", *_history(artefact.version, changes), ""]
    return "\n".join(line for line, before in zip(lines, ["", *lines], strict=False) if line or before)


def _shown(value: Any, depth: int = 0) -> list[str]:
    """A list of objects with plain values as a table, other lists and objects as nested points."""
    if _is_table(value):
        return _table(value)
    if not isinstance(value, list | dict):
        return [_text(value)]
    if not value:
        return ["none"]
    lines: list[str] = []
    for mark, one in _points(value):
        if isinstance(one, list | dict) and one and depth < _DEEPEST:
            inner = _shown(one, depth + 1)
            gap = [""] if _is_table(one) else []
            lines += [f"- {mark}".rstrip(), *gap, *(f"  {line}".rstrip() for line in inner), *gap]
        else:
            lines.append(f"- {mark} {_text(one)}".replace("-  ", "- "))
    return lines


def _points(value: Sequence[Any] | Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return ((f"{_text(key)}:", one) for key, one in value.items())
    return (("", one) for one in value)


def _is_table(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(row, dict) and row for row in value)
        and not any(isinstance(cell, list | dict) for row in value for cell in row.values())
    )


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    found = dict.fromkeys(key for row in rows for key in row)
    headings = [key for key in _FIRST if key in found] + [key for key in found if key not in _FIRST]
    body = [[_text(row[key]) if key in row else "" for key in headings] for row in rows]
    return [
        _row([_text(key) for key in headings]),
        _row(["---"] * len(headings)),
        *(_row(cells) for cells in body),
    ]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _history(version: str, changes: Iterable[Entry]) -> list[str]:
    rows = []
    for entry in changes:
        if version in (entry.version, entry.before):
            at = entry.at.astimezone(UTC)
            row = {"when": f"{at:%Y-%m-%d %H:%M} UTC", "what": _happened(entry, version)}
            rows.append({**row, "by": entry.by, "reason": entry.reason})
    return _table(rows) if rows else ["Nothing is written about it in the log."]


def _happened(entry: Entry, version: str) -> str:
    if entry.what == "put":
        return "put"
    if entry.what == "verdict":
        return "passed the gate" if entry.evidence.get("passed") else "refused by the gate"
    if entry.version == version:
        return f"became {entry.alias}" + (" again, by rollback" if entry.what == "rollback" else "")
    if not entry.version:
        return f"{entry.alias} was dropped"
    return f"{entry.alias} became {entry.version}" + (" again, by rollback" if entry.what == "rollback" else "")


def _text(value: Any) -> str:
    """On one line, and such that Markdown reads it as it is."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None or isinstance(value, bool):
        return {None: "unknown", True: "yes", False: "no"}[value]
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False)
    return _MARKDOWN.sub(r"\\\1", plain(value))
