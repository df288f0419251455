"""Makes the verifier that ships, from labelled questions whose licences allow it, and judges it on others.

    .venv/bin/python benchmarks/cache_verifier.py --data DIR --out artefacts/cache-verifier.npz

DIR as for benchmarks/cache.py. What is shipped learns from all of it; the figures in it, which are printed too, are
those of one that was trained in the same way on 70 % of the groups and judged on the rest: hits with 1 % of all
lookups answered wrongly at the threshold that an oracle chooses, where every question is stored.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from safetensors.numpy import load_file

from benchmarks.cache_data import CacheData, Lookup, halves, read
from benchmarks.cache_study import FLOOR, Vectors, encoded
from cache.matching.evaluation import hits_at
from cache.matching.training import Labelled, Trained, mined, train
from cache.matching.verifier import Meanings, Verifier
from encoder.build import packaged
from encoder.card import BUILT
from encoder.session import Session

LICENCES = {
    "adv-banking": "MIT",
    "adv-finance": "MIT",
    "arena-hard": "Apache-2.0",
    "disfl-qa": "CC BY 4.0",
    "gptcache-mock": "MIT",
    "hwu64": "CC BY 4.0",
    "mt-bench": "Apache-2.0",
    "pawsx-de": "PAWS-X: any purpose, Google LLC acknowledged",
    "snips": "CC0 1.0",
    "t2s-advising": "CC BY 4.0",
}
"""The sources that may be learned from, and why."""
_SIZE = 64
_NOTES = Console(stderr=True, soft_wrap=True)


def meanings() -> Meanings:
    """Of the encoder's word pieces that are words."""
    folder = packaged()
    table = load_file(folder / "model.safetensors")["embeddings.word_embeddings.weight"]
    vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    words = sorted((place, word) for word, place in vocabulary.items() if re.fullmatch(r"[a-z]{2,}", word))
    return Meanings.reduced([word for _, word in words], table[[place for place, _ in words]], _SIZE)


def allowed(data: CacheData) -> CacheData:
    """What may be learned from."""
    return CacheData(
        tuple(lookup for lookup in data.stream if lookup.source in LICENCES),
        tuple(pair for pair in data.pairs if pair.source in LICENCES),
        (),
    )


def learned(data: CacheData, vectors: Vectors, words: Meanings, about: dict[str, Any]) -> Trained:
    """A verifier of what may be learned from."""
    free = allowed(data)
    pairs = [
        *_neighbours(free.stream, vectors),
        *(
            Labelled(
                query=pair.b,
                stored=pair.a,
                right=pair.same,
                similarity=float(vectors[pair.a.strip()] @ vectors[pair.b.strip()]),
                group=f"{pair.source}|{pair.a}",
                source=pair.source,
            )
            for pair in free.pairs
        ),
    ]
    counts = Counter(pair.source for pair in pairs)
    sources = {source: {"pairs": count, "licence": LICENCES[source]} for source, count in sorted(counts.items())}
    _NOTES.print(f"training on {len(pairs):,} pairs")
    return train(pairs, words, provenance={**about, "pairs": len(pairs), "sources": sources})


def judged(verifier: Verifier, data: CacheData, vectors: Vectors) -> dict[str, float]:
    """Hits at 1 % wrong of A and S, by the verifier and by cosine."""
    figures = {}
    for name in ("A", "S"):
        stream = data.named(name)
        pairs = _neighbours(stream, vectors)
        cosines = [pair.similarity for pair in pairs]
        scores = [
            verifier.judge(verifier.profile(pair.query), [verifier.profile(pair.stored)], [pair.similarity])[0]
            for pair in pairs
        ]
        for kind, some in (("verifier", scores), ("cosine", cosines)):
            hits = hits_at(pairs, some, lookups=len(stream), floor=FLOOR, wrong=0.01)
            figures[f"{name} at 1 %, {kind}"] = round(hits, 4)
    return figures


def _neighbours(stream: Sequence[Lookup], vectors: Vectors) -> list[Labelled]:
    return mined(
        [lookup.query for lookup in stream],
        [lookup.answer for lookup in stream],
        np.array([vectors[lookup.query.strip()] for lookup in stream]),
        sources=[lookup.source for lookup in stream],
        groups=[lookup.group for lookup in stream],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--keep", type=Path, help="folder that keeps vectors for the next run")
    given = parser.parse_args()
    data, session, words = read(given.data), Session(BUILT), meanings()
    texts = {lookup.query for lookup in data.stream} | {text for pair in data.pairs for text in (pair.a, pair.b)}
    vectors = encoded(sorted(texts), session, given.keep, _NOTES.print)
    about: dict[str, Any] = {
        "encoder": f"{session.card.name} {session.card.version}",
        "meanings": f"word pieces of {session.card.provenance.source}, {_SIZE} principal components",
    }
    train_part, test_part = halves(data)
    figures = judged(learned(train_part, vectors, words, about).verifier, test_part, vectors)
    learned(data, vectors, words, {**about, "figures": figures}).verifier.save(given.out)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
