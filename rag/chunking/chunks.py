"""Pieces into chunks, each of which reads as a whole.

The non-obvious decision: where chunks end is decided twice. First a text is parted at seams, places that are better
than all others near them by what is written there alone, so that a change in one paragraph leaves the chunks beyond
the next seam as they were, and their vectors are known. Between seams, the cuts are those whose sum of costs is
least (dynamic programming), of chunks unlike the usual size and of cuts at bad places.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from itertools import pairwise

from contracts.retrieval import ChunkRules
from rag.chunking.pieces import (
    AFTER_HEADING,
    BLOCK,
    FORCED,
    HEADING_STRENGTH,
    SENTENCE,
    TIGHT,
    Path,
    Piece,
    pieces_of,
)
from rag.ports import Chunk

CHUNKER = "1"
"""Version of what this room does: raised with every change that cuts otherwise."""
OWN_RULES = ChunkRules(size=200, overlap=0)
"""By span recall on held-out questions: see benchmarks/RETRIEVAL.md."""

_USUAL = 0.6
"""Of a chunk's bound: the size that chunks are drawn to."""
_REACH = 4
"""How far a seam is better than all others, in usual sizes."""
_ALWAYS_SEAM = HEADING_STRENGTH - 2
"""Before headings of the first and second level."""
_COSTS = {BLOCK: 0.125, TIGHT: 0.25, SENTENCE: 0.5, FORCED: 1.0}
_WORST_COST = 3.0  # after a heading
_LONGEST_CONTEXT = 300
_LONGEST_HEADER = 160
_STEP = " > "


def chunks_of(
    text: str, *, name: str, title: str = "", rules: ChunkRules | None = None, context: bool = True
) -> tuple[Chunk, ...]:
    """Chunks in the order of the text; all of it but white space is in one. `name` is `markdown` or `plain`.

    A chunk has at most `rules.size` tokens, of which at most `rules.overlap` are whole sentences from before it.
    With `context`, its line is `title`, the headings above it and, inside of a table, that one's first row.
    """
    rules = rules or OWN_RULES
    room = max(1, rules.size - rules.overlap)
    pieces = pieces_of(text, markdown=name == "markdown", most=room)
    found: list[Chunk] = []
    last = 0
    for start, end in pairwise(_seams(text, pieces, _REACH * _USUAL * room)):
        for first, stop in _cuts(pieces, start, end, room):
            begin = _overlapping(pieces, first, last + 1, rules.overlap)
            last = first
            line = _context(title, _first_under_headings(pieces, begin, stop)) if context else ""
            size = sum(piece.size for piece in pieces[begin:stop])
            found.append(Chunk(pieces[begin].start, pieces[stop - 1].end, line, size))
    return tuple(found)


def _seams(text: str, pieces: Sequence[Piece], reach: float) -> list[int]:
    """Numbers of pieces that begin a part, and that of the end. Empty without pieces."""
    if not pieces:
        return []
    ranks = [
        (-piece.strength, blake2b(text[piece.start : piece.end].encode("utf-8", "replace"), digest_size=8).digest())
        for piece in pieces
    ]
    found = [0]
    for place in range(1, len(pieces)):
        strength = pieces[place].strength
        if strength >= _ALWAYS_SEAM or (strength >= SENTENCE and _best_near(pieces, ranks, place, reach)):
            found.append(place)
    return [*found, len(pieces)]


def _best_near(pieces: Sequence[Piece], ranks: Sequence[tuple[int, bytes]], place: int, reach: float) -> bool:
    distance = 0
    for other in range(place + 1, len(pieces)):
        if ranks[other] <= ranks[place]:
            return False
        distance += pieces[other].size
        if distance > reach:
            break
    distance = 0
    for other in range(place - 1, -1, -1):
        if ranks[other] <= ranks[place]:
            return False
        distance += pieces[other].size
        if distance > reach:
            break
    return True


def _cuts(pieces: Sequence[Piece], start: int, end: int, room: int) -> list[tuple[int, int]]:
    """Pieces `start` to `end` as runs of at most `room` tokens. Every piece alone fits."""
    usual = _USUAL * room
    least = {start: 0.0}
    before: dict[int, int] = {}
    for stop in range(start + 1, end + 1):
        size = 0
        best = float("inf")
        for first in range(stop - 1, start - 1, -1):
            size += pieces[first].size
            if size > room:
                break
            cost = least[first] + ((size - usual) / usual) ** 2
            if cost < best:
                best, before[stop] = cost, first
        least[stop] = best + (0.0 if stop == end else _cost(pieces[stop]))
    runs: list[tuple[int, int]] = []
    while end > start:
        runs.append((before[end], end))
        end = before[end]
    return runs[::-1]


def _cost(piece: Piece) -> float:
    """Of a cut before it."""
    return 0.0 if piece.strength > BLOCK else _COSTS.get(piece.strength, _WORST_COST)


def _overlapping(pieces: Sequence[Piece], first: int, least: int, overlap: int) -> int:
    """Where a chunk begins that takes up to `overlap` tokens of what stands before it under the same heading, from
    piece `least` on."""
    taken = 0
    while first > least and pieces[first].strength <= BLOCK and taken + pieces[first - 1].size <= overlap:
        first -= 1
        taken += pieces[first].size
    return first


def _first_under_headings(pieces: Sequence[Piece], first: int, stop: int) -> Piece:
    """Of pieces `first` to `stop`: the one after the headings that they begin with."""
    while first + 1 < stop and pieces[first + 1].strength == AFTER_HEADING:
        first += 1
    return pieces[first]


def _context(title: str, piece: Piece) -> str:
    path: Path = tuple(filter(None, (" ".join(title.split()), *piece.path)))
    if len(path) > 1 and path[0].casefold() == path[1].casefold():
        path = path[1:]
    line = _STEP.join(path)[:_LONGEST_CONTEXT]
    return _STEP.join(filter(None, (line, piece.header[:_LONGEST_HEADER])))
