"""Hits against wrong hits, as SVG: cosine and verifier at every threshold, and where bounds put the cache."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from benchmarks.cache_data import CacheData
from benchmarks.cache_study import FLOOR, Study, Vectors
from cache.matching.evaluation import best_of
from cache.matching.training import Labelled, mined

Point = tuple[float, float]

_WIDE, _HIGH, _EDGE = 340, 300, 48
_MOST_WRONG = 0.06
_COLOURS = {"cosine": "#b0752a", "verifier": "#1f6f8b"}


def draw(file: Path, study: Study, data: CacheData, vectors: Vectors, results: Sequence[dict[str, Any]]) -> None:
    """One panel for each of A, S and I."""
    panels = []
    for place, name in enumerate(("A", "S", "I")):
        pairs, lookups = _pairs(data, name, vectors), len(data.named(name))
        curves = {
            "cosine": _curve(pairs, [pair.similarity for pair in pairs], lookups),
            "verifier": _curve(pairs, _scores(study, name, pairs), lookups),
        }
        kept = [
            (result["wrong"], result["hits"], result["asked"])
            for result in results
            if result.get("stream") == name and result.get("order") == "arrival"
        ]
        panels.append(_panel(place, name, curves, kept))
    width, height = 3 * (_WIDE + _EDGE) + _EDGE, _HIGH + 2 * _EDGE
    file.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="12"><rect width="{width}" height="{height}" fill="white"/>{"".join(panels)}</svg>\n',
        encoding="utf-8",
    )


def _pairs(data: CacheData, name: str, vectors: Vectors) -> list[Labelled]:
    stream = data.named(name)
    return mined(
        [lookup.query for lookup in stream],
        [lookup.answer for lookup in stream],
        np.array([vectors[lookup.query.strip()] for lookup in stream]),
        sources=[lookup.source for lookup in stream],
    )


def _scores(study: Study, name: str, pairs: Sequence[Labelled]) -> list[float]:
    verifier = study.of(name).verifier
    return [
        verifier.judge(verifier.profile(pair.query), [verifier.profile(pair.stored)], [pair.similarity])[0]
        for pair in pairs
    ]


def _curve(pairs: Sequence[Labelled], scores: Sequence[float], lookups: int) -> list[Point]:
    """Wrong and all hits, as shares of lookups, from the strictest threshold on."""
    bad = 0
    points: list[Point] = [(0.0, 0.0)]
    best = sorted(best_of(pairs, scores, floor=FLOOR), key=lambda scored: -scored[1])
    for served, (pair, _) in enumerate(best, 1):
        bad += not pair.right
        if served % 10 == 0 and bad / lookups <= _MOST_WRONG:
            points.append((bad / lookups, served / lookups))
    return points


def _panel(
    place: int, name: str, curves: dict[str, list[Point]], kept: Sequence[tuple[float, float, float]]
) -> str:
    most = max(0.05, *(hits for points in curves.values() for _, hits in points)) * 1.1
    left, bottom = _EDGE + place * (_WIDE + _EDGE), _EDGE + _HIGH

    def at(wrong: float, hits: float) -> str:
        return f"{left + wrong / _MOST_WRONG * _WIDE:.1f},{bottom - hits / most * _HIGH:.1f}"

    parts = [
        f'<text x="{left}" y="{_EDGE - 16}" font-size="15">{escape(name)}</text>',
        f'<polyline points="{at(0, most)} {at(0, 0)} {at(_MOST_WRONG, 0)}" fill="none" stroke="#444"/>',
        f'<text x="{left}" y="{bottom + 36}">wrong answers, share of lookups</text>',
    ]
    parts += _ticks(left, bottom, most)
    for row, (label, points) in enumerate(curves.items()):
        colour = _COLOURS[label]
        line = " ".join(at(*point) for point in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{left + 12}" y="{_EDGE + 4 + 16 * row}" fill="{colour}">{label}</text>')
    for wrong, hits, asked in kept:
        x, y = at(wrong, hits).split(",")
        (asked_x, _), (_, zero) = at(asked, 0).split(","), at(0, 0).split(",")
        parts.append(
            f'<line x1="{asked_x}" y1="{zero}" x2="{asked_x}" y2="{_EDGE}" stroke="#999" stroke-dasharray="4"/>'
        )
        parts.append(f'<line x1="{x}" y1="{y}" x2="{asked_x}" y2="{y}" stroke="#999"/>')
        parts.append(f'<circle cx="{x}" cy="{y}" r="5" fill="#c0392b"><title>asked {asked:g}</title></circle>')
    return "".join(parts)


def _ticks(left: int, bottom: int, most: float) -> Iterable[str]:
    for wrong in (0.01, 0.02, 0.05):
        x = left + wrong / _MOST_WRONG * _WIDE
        yield f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{wrong:.0%}</text>'
    for hits in (most / 4, most / 2, 3 * most / 4):
        y = bottom - hits / most * _HIGH
        yield f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{hits:.0%}</text>'
