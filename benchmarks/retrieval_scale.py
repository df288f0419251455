"""What a search costs in a small and in a large store of the embedded storage: a ratio, and where the time goes.

    .venv/bin/python benchmarks/retrieval_scale.py
    .venv/bin/python benchmarks/retrieval_scale.py --chunks 1000,10000,100000 --json

Texts are made: a hundred words each, drawn by Zipf's law from fifty thousand, without the thirty most usual ones,
which stand for stop words. Vectors are made too: topics, and chunks around them. A question is six words drawn in
the same way, with a vector near that of some topic; a conversation has two more such turns and an answer of eighty
words before it, so that some forty words are searched for. Encoding is not part of it, and is told for comparison
where an encoder is built.

`parts` are medians of what a question asks of the storage, by words and by meaning at once; most of the rest is
reranking. `chunks_per_s` is what comes into the store a second, without encoding. 100,000 chunks take 3 minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.targets import below, tell
from contracts.retrieval import Passage, StoreState, Turn
from encoder.card import BUILT, EncoderFault
from encoder.session import Session
from rag.ports import Chunk, Prepared, Put, Ranked, View, WordCounts
from rag.retrieval.ranking import ranked
from rag.retrieval.rewriting import Wanted, wanted, with_history
from rag.retrieval.words import counted
from rag.storage.sqlite import SqliteStorage

DIMENSIONS = 384
QUERIES = 200
TENANT = "scale"
_WORDS, _USUAL, _LENGTH, _ANSWER = 50_000, 30, 100, 80
_TOPICS, _NEAR, _QUESTION_NEAR = 2000, 0.7, 0.8
_SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
_IN_DOCUMENT, _IN_STEP = 50, 100
_AT = datetime(2026, 1, 1, tzinfo=UTC)
_NOTES = Console(stderr=True, soft_wrap=True)
Floats = NDArray[np.float32]
T = TypeVar("T")


def main() -> None:
    """Told in the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", default="1000,100000", help="sizes, the smallest first")
    parser.add_argument("--json", action="store_true", help="a JSON object on each line")
    options = parser.parse_args()
    results = [asyncio.run(measure(int(size))) for size in options.chunks.split(",")]
    first, last = results[0], results[-1]
    ratios = {kind: last[f"{kind}_ms"] / first[f"{kind}_ms"] for kind in ("question", "conversation")}
    about = f"{last['chunks']:,} chunks over {first['chunks']:,}"
    targets = [below(f"median of a {kind}, {about}", ratio, 3, "x") for kind, ratio in ratios.items()]
    tell(results, "\n".join(json.dumps(result, indent=2) for result in results), targets, as_json=options.json)


async def measure(size: int, seed: int = 1) -> dict[str, Any]:
    """Of a store with `size` chunks. Times are medians in milliseconds."""
    made = Made(size, np.random.default_rng(seed))
    with TemporaryDirectory() as folder:
        storage = SqliteStorage(Path(folder))
        await storage.prepare()
        store = await storage.create_store(TENANT, "store")
        filling = await _fill(storage, store.id, made)
        began = time.perf_counter()
        await (await storage.view(TENANT, store.id)).counts(["bada"])
        loading_s = time.perf_counter() - began
        parts: dict[str, list[float]] = {}
        _NOTES.print(f"{size:,} chunks: searching")
        times = {"question": await _search(storage, store.id, made, parts, history=False)}
        times["conversation"] = await _search(storage, store.id, made, {}, history=True)
        await storage.close()
    return {
        "benchmark": "retrieval_scale",
        "chunks": size,
        **{f"{kind}_ms": _ms(each) for kind, each in times.items()},
        "question_p95_ms": round(float(np.quantile(times["question"], 0.95)) * 1000, 2),
        "parts_ms": {name: _ms(each) for name, each in parts.items()},
        "encode_ms": _encode_ms(),
        "chunks_per_s": round(size / filling),
        "first_search_s": round(loading_s, 2),
    }


class Made:
    """`size` chunks and the questions about them."""

    def __init__(self, size: int, draw: np.random.Generator) -> None:
        ranks = np.arange(_USUAL, _USUAL + _WORDS)
        self._share = np.cumsum(1 / ranks) / np.sum(1 / ranks)
        self.size = size
        self._draw = draw
        self._topics = _lengthless(draw.normal(size=(_TOPICS, DIMENSIONS)))
        self._topic = draw.integers(0, _TOPICS, size)

    def text(self, length: int = _LENGTH) -> str:
        return " ".join(_word(int(number)) for number in np.searchsorted(self._share, self._draw.random(length)))

    def vectors(self, chunks: slice) -> Floats:
        centres = self._topics[self._topic[chunks]]
        return _turned(centres, _NEAR, self._draw)

    def wanted(self, *, history: bool) -> Wanted:
        """Six words, and where there is history what was said before."""
        if not history:
            return wanted([Turn("user", self.text(6))])
        said = [Turn("user", self.text(6)), Turn("user", self.text(6)), Turn("assistant", self.text(_ANSWER))]
        return with_history([*said, Turn("user", self.text(6))])

    def vector(self) -> Floats:
        """Of a question about some chunk's topic."""
        centre = self._topics[self._topic[self._draw.integers(0, self.size)]][None]
        row: Floats = _turned(centre, _QUESTION_NEAR, self._draw)[0]
        return row


def _word(number: int) -> str:
    """Three syllables, as good as any: what words begin with matters to how fast they are compared."""
    scattered = number * 48_271 % len(_SYLLABLES) ** 3
    first, rest = divmod(scattered, len(_SYLLABLES) ** 2)
    return _SYLLABLES[first] + _SYLLABLES[rest // len(_SYLLABLES)] + _SYLLABLES[rest % len(_SYLLABLES)]


class TimedView:
    """A view that keeps what each of its answers took, in seconds."""

    def __init__(self, view: View, parts: dict[str, list[float]]) -> None:
        self._view = view
        self._parts = parts

    @property
    def state(self) -> StoreState:
        return self._view.state

    @property
    def encoder(self) -> str:
        return self._view.encoder

    async def counts(self, words: Sequence[str]) -> WordCounts:
        return await self._timed("counts", self._view.counts(words))

    async def by_words(
        self, words: Mapping[str, float], most: int, filters: Mapping[str, Any] | None = None
    ) -> Sequence[Ranked]:
        return await self._timed("by_words", self._view.by_words(words, most, filters))

    async def by_meaning(
        self, vector: Floats, most: int, filters: Mapping[str, Any] | None = None
    ) -> Sequence[Ranked]:
        return await self._timed("by_meaning", self._view.by_meaning(vector, most, filters))

    async def passages(self, chunks: Sequence[int]) -> Mapping[int, Passage]:
        return await self._timed("passages", self._view.passages(chunks))

    async def _timed(self, name: str, answer: Awaitable[T]) -> T:
        began = time.perf_counter()
        result = await answer
        self._parts.setdefault(name, []).append(time.perf_counter() - began)
        return result


async def _fill(storage: SqliteStorage, store_id: str, made: Made) -> float:
    """Seconds that the storage took to take them in."""
    seconds = 0.0
    for start in range(0, made.size, _IN_DOCUMENT * _IN_STEP):
        end = min(made.size, start + _IN_DOCUMENT * _IN_STEP)
        puts = [_put(made, slice(at, min(end, at + _IN_DOCUMENT))) for at in range(start, end, _IN_DOCUMENT)]
        began = time.perf_counter()
        await storage.change(TENANT, store_id, puts, [])
        seconds += time.perf_counter() - began
        _NOTES.print(f"{end:,} of {made.size:,} chunks are in", end="\r")
    return seconds


def _put(made: Made, chunks: slice) -> Put:
    texts = [made.text() for _ in range(chunks.start, chunks.stop)]
    places: list[Chunk] = []
    start = 0
    for text in texts:
        places.append(Chunk(start, start + len(text), "", _LENGTH))
        start += len(text) + 1
    whole = "\n".join(texts)
    return Put(
        filename=f"{chunks.start}.txt",
        content=whole.encode(),
        updated_at=_AT,
        prepared=Prepared(
            text=whole,
            tokens=_LENGTH * len(texts),
            chunks=tuple(places),
            words=tuple(counted(text) for text in texts),
            vectors=made.vectors(chunks),
            encoder="made",
        ),
    )


async def _search(
    storage: SqliteStorage, store_id: str, made: Made, parts: dict[str, list[float]], *, history: bool
) -> list[float]:
    """Seconds of each search; the first few are not counted."""
    seconds: list[float] = []
    for number in range(QUERIES + 10):
        want, vector = made.wanted(history=history), made.vector()
        if number == 10:
            parts.clear()
        began = time.perf_counter()
        view = await storage.view(TENANT, store_id)
        parts.setdefault("view", []).append(time.perf_counter() - began)
        await ranked([TimedView(view, parts)], [(want, vector)])
        seconds.append(time.perf_counter() - began)
    return seconds[10:]


def _encode_ms() -> float | None:
    try:
        session = Session(BUILT)
    except EncoderFault:
        return None
    seconds: list[float] = []
    for number in range(50):
        began = time.perf_counter()
        session.encode([f"what does it cost to return {number} pairs of boots"])
        seconds.append(time.perf_counter() - began)
    return _ms(seconds)


def _turned(rows: Floats, cosine: float, draw: np.random.Generator) -> Floats:
    """Each aside by about this cosine."""
    aside = _lengthless(draw.normal(size=rows.shape))
    return _lengthless(cosine * rows + (1 - cosine**2) ** 0.5 * aside)


def _lengthless(rows: NDArray[Any]) -> Floats:
    """Of length one each."""
    found: Floats = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    return found


def _ms(seconds: Sequence[float]) -> float:
    return round(float(np.median(seconds)) * 1000, 2)


if __name__ == "__main__":
    main()
