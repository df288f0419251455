"""Markers in an answer, read as citations of the passages that its model was given.

The non-obvious decision: only what a model was asked to write counts as a marker: a number of at most three digits
in brackets, outside of code and not the text of a link; in JSON, inside of its strings. So neither years nor list
indices become citations.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from contracts.retrieval import Passage

_NUMBERS = r"\d{1,3}(?:\s*[,;–-]\s*\d{1,3})*"
_MARKER = re.compile(rf"\[({_NUMBERS})\](?!\()|【({_NUMBERS})(?:†[^【】\n]*)?】")
_RANGE = re.compile(r"(\d+)(?:\s*[–-]\s*(\d+))?")
_FENCE = re.compile(r"^ {0,3}(`{3,}(?=[^`\n]*$)|~{3,})(.*)$", re.MULTILINE)
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
"""Of JSON. The last one may be cut off."""
_TICKS = re.compile(r"`+")
_LONGEST_QUOTE = 300
"""Characters of a passage that a client is shown of it."""
_MOST = 1_000
"""Annotations of a text: a model may cite without end, by mistake or because a document told it to."""

Annotation = dict[str, Any]


class Citations(Struct, frozen=True):
    """What a text cites: an annotation for each passage of each marker, in the order of the text. `cited` are
    numbers of passages, from 1; `stray` counts numbers that lead to none."""

    annotations: tuple[Annotation, ...]
    cited: frozenset[int]
    stray: int


def citations_in(
    text: str, passages: Sequence[Passage], *, whole: bool = False, is_json: bool = False
) -> Citations:
    """`start_index` and `end_index` count code points of `text`, the brackets included.

    `whole`: quotes are not cut, for one who judges answers by them. Beyond `_MOST` annotations, what is cited is
    only counted.
    """
    annotations: list[Annotation] = []
    cited: set[int] = set()
    stray = 0
    for marker in _markers_in_strings(text) if is_json else _markers(text, 0, len(text)):
        for number in _numbers(marker[1] or marker[2]):
            if not 1 <= number <= len(passages):
                stray += 1
                continue
            cited.add(number)
            if len(annotations) < _MOST:
                annotations.append(_annotation(marker, number, passages[number - 1], whole))
    return Citations(tuple(annotations), frozenset(cited), stray)


def _markers_in_strings(text: str) -> Iterator[re.Match[str]]:
    for string in _STRING.finditer(text):
        yield from _markers(text, *string.span())


def _markers(text: str, start: int, end: int) -> Iterator[re.Match[str]]:
    code = sorted(_code(text, start, end)) if "`" in text or "~~~" in text else []
    for marker in _MARKER.finditer(text, start, end):
        before = bisect_right(code, (marker.start(), len(text)))
        if not before or code[before - 1][1] <= marker.start():
            yield marker


def _code(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where there is code, as in CommonMark: between fences, and between two runs of equally many backticks in a
    paragraph."""
    outside, fence, began = start, "", 0
    for found in _FENCE.finditer(text, start, end):
        if not fence:
            yield from _in_paragraphs(text, outside, found.start())
            fence, began = found[1], found.start()
        elif found[1].startswith(fence) and not found[2].strip():
            yield began, found.end()
            fence, outside = "", found.end()
    if fence:
        yield began, end
    else:
        yield from _in_paragraphs(text, outside, end)


def _in_paragraphs(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for blank in _BLANK_LINE.finditer(text, start, end):
        yield from _inline(text, start, blank.start())
        start = blank.end()
    yield from _inline(text, start, end)


def _inline(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    runs = [run.span() for run in _TICKS.finditer(text, start, end)]
    closing: dict[int, int] = {}
    following = [-1] * len(runs)
    for place in range(len(runs) - 1, -1, -1):
        length = runs[place][1] - runs[place][0]
        following[place] = closing.get(length, -1)
        closing[length] = place
    place = 0
    while place < len(runs):
        close = following[place]
        if close >= 0:
            yield runs[place][0], runs[close][1]
        place = max(place, close) + 1


def _numbers(said: str) -> Iterator[int]:
    """The numbers of one marker, each once; of a range that runs backwards or is long, its two ends."""
    seen = set()
    for found in _RANGE.finditer(said):
        first, last = int(found[1]), int(found[2] or found[1])
        for number in range(first, last + 1) if first <= last <= first + 50 else (first, last):
            if number not in seen:
                seen.add(number)
                yield number


def _annotation(marker: re.Match[str], number: int, passage: Passage, whole: bool) -> Annotation:
    return {
        "type": "file_citation",
        "text": marker[0],
        "start_index": marker.start(),
        "end_index": marker.end(),
        "file_citation": {
            "number": number,
            "file_id": passage.file_id,
            "filename": passage.filename,
            "vector_store_id": passage.store_id,
            "start": passage.start,
            "end": passage.end,
            "quote": passage.text if whole else passage.text[:_LONGEST_QUOTE],
            "updated_at": passage.updated_at.isoformat(),
            "score": round(passage.score, 4),
        },
    }
