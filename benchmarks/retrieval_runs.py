"""Retrieval as the server does it: a folder is brought into a store, and conversations are searched there.

Each test set is a tenant of its own. A passage of a test set is a document; where it is cut into several chunks, it
is ranked by the best of them.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray
from rich import progress as bars

from benchmarks.retrieval_data import CHUNKING, Asked, PassageSet
from contracts.retrieval import Passage, Turn
from encoder.session import Session
from rag.ingesting.embedding import Embedding
from rag.ingesting.folder import Progress, sync
from rag.ingesting.preparing import Workshop
from rag.ingesting.reading import Reading
from rag.ingesting.watching import made_store
from rag.ports import Limits, View
from rag.retrieval.ranking import Ranking, Weighing, mean_direction, ranked
from rag.retrieval.rewriting import wanted, with_history
from rag.retrieval.tuned import tuned
from rag.storage.sqlite import SqliteStorage
from weir.encoding import encode_with

STORE = "corpus"
History = Literal["rule", "always", "never"]
Vectors = NDArray[np.float32]


class Recipe(Struct, frozen=True, kw_only=True):
    """A way to search."""

    words: float = field(default_factory=lambda: tuned().shares.words)
    meaning: float = field(default_factory=lambda: tuned().shares.meaning)
    rerank: bool = True
    history: History = "rule"


RECIPES = {
    "words": Recipe(words=1, meaning=0, rerank=False),
    "meaning": Recipe(words=0, meaning=1, rerank=False),
    "fused": Recipe(rerank=False),
    "reranked": Recipe(),
}


class Ingested(Struct, frozen=True):
    """Chunks that were put into a store, how many had to be encoded, the seconds that took, and how many of them
    the encoder was at work."""

    chunks: int
    encoded: int
    seconds: float
    encoding_s: float


class Shop:
    """The embedded storage with what ingests and what searches."""

    def __init__(self, storage: SqliteStorage, session: Session, reading: Reading) -> None:
        self.storage = storage
        self._encode = encode_with(session)
        self._encoding_s = 0.0
        self._known: dict[str, Vectors] = {}
        card = session.card
        self._workshop = Workshop(reading, Embedding(storage, self._timed, card.version, card.dimensions))

    async def ingest(self, tenant: str, folder: Path, tell: Callable[[Progress], None]) -> Ingested:
        await made_store(self.storage, tenant, STORE)
        self._encoding_s, began = 0.0, time.perf_counter()
        done = await sync(self.storage, self._workshop, tenant, STORE, folder, limits=Limits(), tell=tell)
        if done.failures:
            raise ValueError(f"{tenant}: {len(done.failures)} files could not be read: {next(iter(done.failures))}")
        return Ingested(done.store.chunks, done.computed, time.perf_counter() - began, self._encoding_s)

    def encode(self, texts: Sequence[str]) -> None:
        """So that searching is timed without encoding."""
        missing = list(dict.fromkeys(text for text in texts if text not in self._known))
        self._known |= dict(zip(missing, self._encode(missing), strict=True))

    def seconds_to_encode(self, text: str) -> float:
        began = time.perf_counter()
        self._encode([text])
        return time.perf_counter() - began

    async def view(self, tenant: str) -> View:
        return await self.storage.view(tenant, STORE)

    async def search(self, tenant: str, turns: Sequence[Turn], recipe: Recipe, most: int = 50) -> Ranking:
        want = (
            with_history(turns) if recipe.history == "always" else wanted(turns, history=recipe.history == "rule")
        )
        vector = None
        if recipe.meaning:
            self.encode(want.texts)
            vector = mean_direction([self._known[text] for text in want.texts])
        weighing = Weighing(words=recipe.words, meaning=recipe.meaning, rerank=recipe.rerank)
        return await ranked([await self.view(tenant)], [(want, vector)], most=most, weighing=weighing)

    def _timed(self, texts: Sequence[str]) -> Vectors:
        began = time.perf_counter()
        rows = self._encode(texts)
        self._encoding_s += time.perf_counter() - began
        return rows


@asynccontextmanager
async def shop(session: Session, state: Path) -> AsyncIterator[Shop]:
    storage = SqliteStorage(state)
    await storage.prepare()
    reading = Reading(Limits())
    try:
        yield Shop(storage, session, reading)
    finally:
        await reading.close()
        await storage.close()


def write(passages: PassageSet, folder: Path) -> None:
    """A file for each passage, named by its number."""
    folder.mkdir(parents=True)
    for number, (title, text) in enumerate(passages.passages):
        name = f"{number}.md" if title else f"{number}.txt"
        (folder / name).write_text(f"# {title}\n\n{text}" if title else text, "utf-8")


def numbers(passages: Sequence[Passage]) -> list[int]:
    """Of the test set's passages, as `write` named them, each once, the best first."""
    return list(dict.fromkeys(int(passage.filename.partition(".")[0]) for passage in passages))


async def ranks(
    shop: Shop, tenant: str, asked: Sequence[Asked], recipe: Recipe, step: Callable[[], None]
) -> list[list[int]]:
    """For each question the numbers of passages, the best first."""
    found: list[list[int]] = []
    for each in asked:
        found.append(numbers((await shop.search(tenant, each.turns, recipe)).passages))
        step()
    return found


async def ingest_all(
    store: Shop, sets: Sequence[PassageSet], texts: Mapping[str, str], folder: Path, progress: bars.Progress
) -> dict[str, Ingested]:
    """The sets, and `texts` by name as a set of their own. Raises ValueError for what cannot be read."""
    for each in sets:
        write(each, folder / each.name)
    (folder / CHUNKING).mkdir()
    for name, text in texts.items():
        (folder / CHUNKING / f"{name}.md").write_text(text, "utf-8", newline="")
    ingested: dict[str, Ingested] = {}
    for name in (*(each.name for each in sets), CHUNKING):
        task = progress.add_task(f"ingest {name}: chunks", total=None)
        ingested[name] = await store.ingest(
            tenant_of(name),
            folder / name,
            lambda done, task=task: progress.update(task, completed=done.encoded, total=done.chunks),  # type: ignore[misc]
        )
    return ingested


def tenant_of(name: str) -> str:
    """A test set's."""
    return name.replace("/", "-")
