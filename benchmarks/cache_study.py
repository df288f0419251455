"""What is learned from one folder of labelled questions: verifiers, and the evidence with which scopes start.

Two verifiers, as two tenants would have them: one of questions whose answers must be exactly right, one of intents,
where "transfer 10" and "transfer 20" have the same answer. Evidence is cross-fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.cache_data import CacheData, Lookup
from cache.limits import SemanticLimits
from cache.matching.cosine import CosineVerifier
from cache.matching.evaluation import evidence_of
from cache.matching.training import Labelled, mined, train
from cache.matching.verifier import Verifier
from cache.room import VERIFIER
from cache.semantic import Verifies
from encoder.session import Session

Vectors = Mapping[str, NDArray[np.float32]]
Say = Callable[[str], None]

FLOOR = SemanticLimits().floor
INTENTS = ("I", "clinc150", "banking77")
_MIXES = ("A", "S", "I")


class Learned(Struct, frozen=True):
    """A verifier, and the state of an `Evidence` for each stream it has seen."""

    verifier: Verifies
    evidence: Mapping[str, bytes]


class Study(Struct, frozen=True):
    """What one folder taught. `cosine` is the plain threshold, chosen in the same way."""

    answers: Learned
    intents: Learned
    cosine: Learned

    def of(self, name: str) -> Learned:
        """What is used for the stream `name`."""
        return self.intents if name in INTENTS else self.answers


def encoded(texts: Sequence[str], session: Session, keep: Path | None, say: Say) -> dict[str, NDArray[np.float32]]:
    """A vector for each text. `keep` is a file that remembers them for the next time."""
    known: dict[str, NDArray[np.float32]] = {}
    file = keep / f"vectors-{session.card.version}.npz" if keep else None
    if file is not None and file.exists():
        with np.load(file, allow_pickle=False) as saved:
            known = dict(zip(str(saved["texts"]).split("\0"), saved["vectors"], strict=True))
    new = sorted({text.strip() for text in texts} - known.keys(), key=len)
    for begin in range(0, len(new), 2_048):
        say(f"encoding {begin:,} of {len(new):,} texts")
        some = new[begin : begin + 2_048]
        known.update(zip(some, session.encode(some), strict=True))
    if file is not None and new:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, texts=np.array("\0".join(known)), vectors=np.array(list(known.values())))
    return known


def studied(data: CacheData, vectors: Vectors, say: Say) -> Study:
    """Train on `data`, and collect evidence from it."""
    sources = data.sources
    answers = [name for name in ("A", "S", *sources) if name not in INTENTS]
    intents = [name for name in INTENTS if name == "I" or name in sources]
    pairs = [
        Labelled(
            query=pair.b,
            stored=pair.a,
            right=pair.same,
            similarity=float(vectors[pair.a.strip()] @ vectors[pair.b.strip()]),
            group=f"{pair.source}|{pair.a}",
            source=pair.source,
        )
        for pair in data.pairs
    ]
    streams = {name: _neighbours(data.named(name), vectors, say, name) for name in (*answers, *intents)}
    return Study(
        _learned(data, {name: streams[name] for name in answers}, pairs, say),
        _learned(data, {name: streams[name] for name in intents}, [], say),
        Learned(
            CosineVerifier(),
            {
                name: _evidence(data, name, streams[name], [max(0.0, pair.similarity) for pair in streams[name]])
                for name in _MIXES
            },
        ),
    )


def _learned(
    data: CacheData, streams: Mapping[str, Sequence[Labelled]], more: Sequence[Labelled], say: Say
) -> Learned:
    unique: dict[tuple[str, str], Labelled] = {}
    for pair in (pair for some in (*streams.values(), more) for pair in some):
        unique.setdefault((pair.query, pair.stored), pair)
    say(f"training on {len(unique):,} pairs")
    trained = train(list(unique.values()), Verifier.load(VERIFIER).meanings, provenance={"made by": "a benchmark"})
    scores = dict(zip(unique, trained.scores.tolist(), strict=True))
    evidence = {
        name: _evidence(data, name, some, [scores[pair.query, pair.stored] for pair in some])
        for name, some in streams.items()
    }
    return Learned(trained.verifier, evidence)


def _neighbours(stream: Sequence[Lookup], vectors: Vectors, say: Say, name: str) -> list[Labelled]:
    say(f"finding neighbours in {name}: {len(stream):,} questions")
    return mined(
        [lookup.query for lookup in stream],
        [lookup.answer for lookup in stream],
        np.array([vectors[lookup.query.strip()] for lookup in stream]).reshape(len(stream), -1),
        sources=[lookup.source for lookup in stream],
        groups=[lookup.group for lookup in stream],
    )


def _evidence(data: CacheData, name: str, pairs: Sequence[Labelled], scores: Sequence[float]) -> bytes:
    return evidence_of(pairs, scores, lookups=len(data.named(name)), floor=FLOOR).state()
