"""What the thresholds of `evals/importing/alike.py` join: right pairs, wrong ones, and neighbours.

    .venv/bin/python benchmarks/eval_alike.py --data DIR
    .venv/bin/python benchmarks/eval_alike.py --data DIR --json

DIR as `benchmarks/cache_data.py` says; its streams label each question with a class of answers. A row says of one
source and threshold: `right`, of the pairs of questions that are so near and whose marks (numbers, denials,
opposites) agree, the share that has one answer; `lost`, the share of questions whose nearest such neighbour has
another answer, which an import would drop; `twins`, of the questions that have a twin with the same answer, those
that have one so near, whatever the marks say.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cache_data import read
from benchmarks.scenes import tell
from encoder.card import BUILT
from encoder.session import Session
from evals.importing.alike import RESEMBLING, SAME, Marks

_SOURCES = ("covid-q", "snips", "disfl-qa", "t2s-advising", "t2s-geography", "t2s-scholar", "qqp")
_MOST = 2000
"""Questions of a source, for a matrix of all pairs."""
_THRESHOLDS = (RESEMBLING, 0.9, SAME)
_BLOCK = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    data, session = read(arguments.data), Session(BUILT)
    rows: list[dict[str, Any]] = []
    for source in _SOURCES:
        asked = data.named(source)
        random.Random(1).shuffle(asked)
        some = asked[:_MOST]
        texts = [one.query for one in some]
        vectors = np.vstack([session.encode(texts[at : at + _BLOCK]) for at in range(0, len(texts), _BLOCK)])
        rows += rows_of(source, texts, [one.answer for one in some], vectors)
    tell(rows, {"same": SAME, "resembling": RESEMBLING}, as_json=arguments.json)


def rows_of(source: str, texts: Sequence[str], answers: Sequence[str], vectors: NDArray[np.float32]) -> list[Any]:
    near = vectors @ vectors.T
    np.fill_diagonal(near, -1.0)
    classes = np.unique(np.array(answers), return_inverse=True)[1]
    same = classes[:, None] == classes[None, :]
    np.fill_diagonal(same, False)
    marks = [Marks.of(text) for text in texts]
    agree = np.zeros_like(same)
    for one, other in zip(*np.nonzero(near >= min(_THRESHOLDS)), strict=True):
        agree[one, other] = marks[one].agree_with(marks[other])
    rows = []
    for threshold in _THRESHOLDS:
        joined = (near >= threshold) & agree
        best = np.where(joined, near, -1.0).argmax(axis=1)
        wrong = joined.any(axis=1) & ~same[np.arange(len(texts)), best]
        twins = same.any(axis=1)
        found = (same & (near >= threshold)).any(axis=1)
        rows.append(
            {
                "source": source,
                "questions": len(texts),
                "threshold": threshold,
                "pairs": int(joined.sum()) // 2,
                "right": float((joined & same).sum() / joined.sum()) if joined.any() else None,
                "lost": float(wrong.mean()),
                "twins": float(found[twins].mean()) if twins.any() else None,
            }
        )
    return rows


if __name__ == "__main__":
    main()
