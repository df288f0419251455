"""Blocks into pieces that no chunk parts: sentences, list items, rows, lines of code.

The non-obvious decision: a sentence may begin with a small letter. Reports and chats are often written without
capitals; what an abbreviation too many costs is a shorter piece.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from rag.chunking.blocks import Block, blocks_of, code_lines
from rag.chunking.sizes import token_starts, tokens_in

Path = tuple[str, ...]
HEADING_STRENGTH = 10
"""Less its level."""
BLOCK, TIGHT, SENTENCE, FORCED, AFTER_HEADING = 3, 2, 1, 0, -1
"""How good a place to cut lies before a piece: a paragraph or list begins, its next item or row, a sentence, a part
of a sentence too long for a chunk; after a heading is the worst."""

_ABBREVIATIONS_TEXT = """
mr mrs ms dr prof sr jr st vs etc inc ltd co corp no nr fig e.g i.e eg ie cf al approx dept est gen gov hon lt col
sgt rev sen rep vol pp jan feb mar apr jun jul aug sep sept oct nov dec u.s u.k a.m p.m z.b bzw ca
"""
_ABBREVIATIONS = frozenset(_ABBREVIATIONS_TEXT.split())
_LONGEST_ABBREVIATION = 8
_CLOSERS = "\"'”’»)\\]"
_END = re.compile(
    # Each run is looked at once, from its beginning: a page of full stops would take hours otherwise.
    rf"(?<![.!?…])[.!?…]++[{_CLOSERS}]*+(?=\s|\\n|\Z)|[。！？｡]+[{_CLOSERS}」』）]*"  # \n as JSON and logs write it
)
_LAST_WORD = re.compile(r"[\w.]*\Z")
_PAUSES = tuple(map(re.compile, (r"\n", r"\\n|[;:。]\s*", r",\s|[，、]", r"\s+")))
"""Where a sentence that is too long is cut, the best first."""


class Piece(NamedTuple):
    """Characters `start` to `end`, of `size` tokens, under the headings of `path`. Of a table's rows but the first,
    `header` is the first."""

    start: int
    end: int
    strength: int
    size: int
    path: Path
    header: str = ""


def pieces_of(text: str, *, markdown: bool, most: int) -> list[Piece]:
    """In order; only white space is between them, and each has at most `most` tokens."""
    pieces: list[Piece] = []
    path: list[tuple[int, str]] = []
    header, under = "", 0
    for block in blocks_of(text, markdown=markdown):
        if block.kind == "heading":
            path = [step for step in path if step[0] < block.level]
            path.append((block.level, " ".join(block.title.split())))
        if not block.tight:
            header = ""
        titles = tuple(title for _, title in path)
        belongs = under and (block.kind != "heading" or block.level > under)
        strength = AFTER_HEADING if belongs else _strength(block)
        for start, end in _parts(text, block):
            for cut_start, cut_end in cut(text, start, end, most):
                size = tokens_in(text, cut_start, cut_end)
                pieces.append(Piece(cut_start, cut_end, strength, size, titles, header))
                strength = FORCED
            strength = SENTENCE
        if block.kind == "row" and not header:
            header = " ".join(text[block.start : block.end].split())
        under = block.level
    return pieces


def _strength(block: Block) -> int:
    if block.kind == "heading":
        return HEADING_STRENGTH - block.level
    return TIGHT if block.tight else BLOCK


def _parts(text: str, block: Block) -> Iterator[tuple[int, int]]:
    if block.kind == "code":
        return code_lines(text, block)
    if block.kind in ("paragraph", "item"):
        return sentences(text, block.start, block.end)
    return iter([(block.start, block.end)])


def sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Together they are characters `start` to `end`."""
    begun = start
    for match in _END.finditer(text, start, end):
        if match[0][0] == "." and _abbreviates(text, begun, match.start()):
            continue
        yield begun, match.end()
        begun = match.end()
    if text[begun:end].strip():
        yield begun, end


def _abbreviates(text: str, begun: int, stop: int) -> bool:
    """Whether the full stop at `stop` belongs to a word: *Dr.*, *J.*, or to the number of a list item."""
    found = _LAST_WORD.search(text, max(begun, stop - _LONGEST_ABBREVIATION), stop)
    word = found[0].lower() if found else ""
    if word.isdigit():
        return not text[begun : stop - len(word)].strip()
    return word in _ABBREVIATIONS or (len(word) == 1 and word.isascii() and word.isalpha())


def cut(text: str, start: int, end: int, most: int) -> Iterator[tuple[int, int]]:
    """Characters `start` to `end` without outer white space, in parts of at most `most` tokens: one, where it fits,
    else cut at the best pause of the second half."""
    while True:
        while start < end and text[start].isspace():
            start += 1
        while start < end and text[end - 1].isspace():
            end -= 1
        if start == end:
            return
        bound = next(islice(token_starts(text, start, end), most, None), None)
        if bound is None:
            yield start, end
            return
        stop = _pause(text, start, bound)
        kept = stop
        while text[kept - 1].isspace():
            kept -= 1
        yield start, kept
        start = stop


def _pause(text: str, start: int, bound: int) -> int:
    for pause in _PAUSES:
        ends = [match.end() for match in pause.finditer(text, start + (bound - start) // 2, bound)]
        if ends:
            return ends[-1]
    return bound
