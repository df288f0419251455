"""A file read, cut and counted: what the reading child does, and what it sends back.

The whole of it is a function of the file and the rules. Numbers of `Job` are limits that the child sets itself, so
that a hostile file costs its own document and nothing else.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import PurePosixPath

from msgspec import Struct
from msgspec.structs import replace

from contracts.retrieval import ChunkRules
from rag.chunking.chunks import CHUNKER, chunks_of
from rag.ports import Chunk, indexed
from rag.reading.catalogue import read
from rag.reading.text import Code
from rag.retrieval.words import RULE, counted


class Job(Struct, frozen=True, kw_only=True):
    """`seconds` of computing and `memory` in bytes are what reading may take, `most_chunks` what may come of it."""

    filename: str
    content: bytes
    rules: ChunkRules | None
    context: bool
    seconds: float
    memory: int
    most_chunks: int


class Cut(Struct, frozen=True, kw_only=True, tag=True):
    """A document without its vectors: see `rag.ports.Prepared`."""

    text: str
    tokens: int
    chunks: tuple[Chunk, ...]
    words: tuple[dict[str, int], ...]
    updated_at: datetime | None
    notes: tuple[str, ...]


class Refusal(Struct, frozen=True, tag=True):
    """See `rag.reading.text.Unreadable`."""

    code: Code
    message: str


def cut(job: Job) -> Cut | Refusal:
    """Raises Unreadable and MemoryError."""
    file = read(job.content, job.filename)
    title = file.title or PurePosixPath(job.filename).stem.replace("_", " ").replace("-", " ")
    found = chunks_of(file.text[file.body :], name=file.kind, title=title, rules=job.rules, context=job.context)
    if len(found) > job.most_chunks:
        return Refusal(
            "invalid_file",
            f"It makes {len(found):,} chunks, and a store takes {job.most_chunks:,} (rag.max_store_chunks): split "
            "it over several stores, or raise the bound.",
        )
    chunks = [replace(chunk, start=chunk.start + file.body, end=chunk.end + file.body) for chunk in found]
    return Cut(
        text=file.text,
        tokens=sum(chunk.tokens for chunk in chunks),
        chunks=tuple(chunks),
        words=tuple(counted(indexed(chunk.context, file.text[chunk.start : chunk.end])) for chunk in chunks),
        updated_at=file.updated_at,
        notes=file.notes,
    )


def chunker_of(rules: ChunkRules | None, *, context: bool) -> str:
    """What a document was cut and counted by, for `Prepared.chunker`: where it differs, cutting it anew may too."""
    sizes = f"{rules.size}-{rules.overlap}" if rules else "own"
    return f"{CHUNKER}/{RULE}/{sizes}/{'context' if context else 'plain'}"
