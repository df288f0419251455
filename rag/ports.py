"""The doors inside the room: what ingests and what searches, and the two storages behind both.

`Storage` is all of `contracts.retrieval.Corpus` and what its owners never see: the queue of documents to ingest,
the steps by which a store changes, and views that are searched. SQLite with an index in memory and PostgreSQL with
pgvector are its two implementations, under one conformance suite (tests/rag/storage/).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from contracts.retrieval import Attributes, ChunkRules, Corpus, Passage, Status, Store, StoreState

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    """(texts, dimensions), rows of length one."""
    Encode = Callable[[Sequence[str]], Vectors]


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds of the configuration's section `rag`, where they are explained."""

    file_bytes: int = 32 * 1024 * 1024
    store_chunks: int = 200_000
    stores: int = 1000
    tenant_bytes: int = 4 * 1024**3
    read_s: float = 60.0
    read_bytes: int = 1024**3


def digest_of(content: bytes) -> str:
    """The hash that a file is known by, as 32 hex digits."""
    return blake2b(content, digest_size=16).hexdigest()


def indexed(context: str, text: str) -> str:
    """What of a chunk is encoded, and what its words are counted in."""
    return f"{context}\n{text}" if context else text


def vector_key(encoder: str, context: str, text: str) -> bytes:
    """What a vector is known by, 16 bytes: equal texts have equal vectors, of the same encoder."""
    return blake2b(f"{encoder}\0{context}\0{text}".encode(), digest_size=16).digest()


class Chunk(Struct, frozen=True):
    """Characters `start` to `end` of a document's text. `context` is a line that says where that stands, such as
    the headings above it; it is indexed with the text, and is not part of it."""

    start: int
    end: int
    context: str
    tokens: int


class Prepared(Struct, frozen=True, kw_only=True):
    """What ingest made of a file, all of which a store takes over in one step.

    `words` are what each chunk is found by, with how often each word is in it: see `rag.retrieval.words`. `vectors`
    are those of each chunk, by the encoder of version `encoder`. `chunker` says how it was cut: version, rules,
    context.
    `updated_at` is what the document says of itself; None: what is known of its file counts.
    """

    text: str
    tokens: int
    chunks: tuple[Chunk, ...]
    words: tuple[Mapping[str, int], ...]
    vectors: Vectors
    encoder: str
    chunker: str = ""
    updated_at: datetime | None = None


class Work(Struct, frozen=True, kw_only=True):
    """A document to ingest. `claim` is who does it; a claim that is not renewed lapses."""

    tenant: str
    store_id: str
    file_id: str
    filename: str
    rules: ChunkRules | None
    claim: str


class Put(Struct, frozen=True, kw_only=True):
    """A document that comes into a store, or takes the place of the one whose file is `replaces`."""

    filename: str
    content: bytes
    updated_at: datetime
    prepared: Prepared
    attributes: Attributes = {}
    replaces: str = ""


class Holding(Struct, frozen=True, kw_only=True):
    """A document as a folder's plan sees it: is it what the folder has, and made as it would be made today?"""

    file_id: str
    filename: str
    digest: str
    updated_at: datetime
    status: Status
    encoder: str
    chunker: str


class Ranked(Struct, frozen=True):
    """A chunk by its number in the view, and how well it fits."""

    chunk: int
    score: float


class WordCounts(Struct, frozen=True):
    """What BM25 asks of a store: its chunks, their mean length in words, and how many chunks have each word."""

    chunks: int
    mean_length: float
    having: Mapping[str, int]


class View(Protocol):
    """A store that is searched, as it was at `state`. `filters` are OpenAI's, read by `rag.filters`.

    A chunk that goes while it is looked at is left out. Raises RetrievalUnavailable.
    """

    @property
    def state(self) -> StoreState: ...

    async def counts(self, words: Sequence[str]) -> WordCounts: ...

    async def by_words(
        self, words: Mapping[str, float], most: int, filters: Mapping[str, Any] | None = None
    ) -> Sequence[Ranked]:
        """The best by BM25 (k1 1.2, b 0.75), the best first; each word's share is multiplied by its weight."""

    async def by_meaning(
        self, vector: Vectors, most: int, filters: Mapping[str, Any] | None = None
    ) -> Sequence[Ranked]:
        """The best by cosine with one vector (dimensions,), the best first. Empty where the store was encoded by
        another encoder than the vector: see `encoder`."""

    @property
    def encoder(self) -> str:
        """The version of the encoder that made its vectors; empty where there are none."""

    async def passages(self, chunks: Sequence[int]) -> Mapping[int, Passage]:
        """By chunk number; those of a document in the order of its text follow each other in number."""


class Storage(Corpus, Protocol):
    """`Corpus`, and the inside of it. Raises what that raises."""

    async def prepare(self) -> None:
        """Bring the schema up to date. Raises StorageUnusable with advice, where waiting does not help."""

    async def close(self) -> None: ...

    # --- the queue

    async def claim(self, lease_s: float, holder: str = "") -> Work | None:
        """The oldest document of any tenant that waits to be ingested and that nobody is at."""

    async def give_back(self, holder: str) -> int:
        """What `holder` claimed and did not end waits again, at once. Returns how many documents that were."""

    async def renew(self, work: Work, lease_s: float) -> bool:
        """False where it is not wanted any more, or somebody else is at it: give up."""

    async def complete(self, work: Work, prepared: Prepared) -> bool:
        """Put it into its store in one step; False where it is not wanted any more."""

    async def fail(self, work: Work, code: str, message: str) -> None: ...

    async def staged(self, tenant: str, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Vectors by key, of those that were staged and of the tenant's chunks: what an ingest that was killed, or
        one of a document that changed a little, need not compute again. Float32, little-endian."""

    async def stage(self, tenant: str, vectors: Mapping[bytes, bytes]) -> None: ...

    async def clear_stage(self, tenant: str, keys: Sequence[bytes]) -> None: ...

    # --- steps

    async def change(
        self, tenant: str, store_id: str, puts: Sequence[Put], gone: Sequence[str], *, at: int | None = None
    ) -> Store:
        """All of it in one step, or nothing: new and replaced documents, and files that leave the store. Files that
        are in no store any more and were put by such a step are deleted with it.

        `at` is the revision that the step was planned for; raises StoreChanged where it is another by now."""

    async def holdings(self, tenant: str, store_id: str) -> Sequence[Holding]:
        """All documents of a store, in one query."""

    async def upkeep(self) -> None:
        """Delete what has expired, and what was staged long ago."""

    # --- search

    async def view(self, tenant: str, store: str) -> View:
        """By id or name. As fresh as the storage: what was changed before this call is in it."""

    async def current(self, tenant: str, basis: Sequence[str]) -> bool:
        """See `contracts.retrieval.Library.current`."""

    async def touch(self, tenant: str, store_ids: Sequence[str]) -> None:
        """Note that they were searched, to the minute."""


class StoreChanged(Exception):
    """The store is not any more what a step was planned for: plan anew."""


class StorageUnusable(Exception):
    """The storage cannot be used as configured; the message says what to do."""
