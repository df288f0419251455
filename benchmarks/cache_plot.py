"""Hits against wrong hits, as SVG: cosine and verifier at every threshold, and where bounds put the cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cache_data import CacheData
from benchmarks.cache_study import FLOOR, Study, Vectors
from cache.matching.evaluation import curve
from cache.matching.training import Labelled, mined
from weir.curve_svg import side_by_side, svg

_MOST_WRONG = 0.06


def draw(file: Path, study: Study, data: CacheData, vectors: Vectors, results: Sequence[dict[str, Any]]) -> None:
    """One plot for each of A, S and I."""
    plots = []
    for name in ("A", "S", "I"):
        pairs, lookups = _pairs(data, name, vectors), len(data.named(name))
        scores = {"cosine": [pair.similarity for pair in pairs], "verifier": _scores(study, name, pairs)}
        dots = [
            (result["wrong"], result["hits"], result["asked"])
            for result in results
            if result.get("stream") == name and result.get("order") == "arrival"
        ]
        lines = {label: curve(pairs, some, lookups=lookups, floor=FLOOR) for label, some in scores.items()}
        plots.append(svg(lines, most_wrong=_MOST_WRONG, title=name, dots=dots))
    file.write_text(side_by_side(plots), encoding="utf-8")


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
