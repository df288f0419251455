"""A file made ready for its store: read and cut in the child, its vectors computed here.

Nothing is written but vectors on the stage, so that it can be given up at any moment.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from contracts.retrieval import ChunkRules
from rag.ingesting.cutting import Cut
from rag.ingesting.embedding import Embedding
from rag.ingesting.reading import Reading
from rag.ports import Prepared


class Made(Struct, frozen=True):
    """What is ready, how many vectors had to be computed for it, what lies on the stage, and notes to its owner."""

    prepared: Prepared
    computed: int
    staged: tuple[bytes, ...]
    notes: tuple[str, ...]


class Workshop:
    """All that ingest needs: a reading child and an encoder."""

    def __init__(self, reading: Reading, embedding: Embedding) -> None:
        self.reading = reading
        self.embedding = embedding

    async def prepare(self, tenant: str, content: bytes, filename: str, rules: ChunkRules | None = None) -> Made:
        """One document. Raises Unreadable, RetrievalUnavailable, and OSError where no process can be started."""
        cut = await self.reading.cut(content, filename, rules)
        (made,) = await self.encode(tenant, [cut], rules)
        return made

    async def encode(
        self, tenant: str, cuts: Sequence[Cut], rules: ChunkRules | None = None, *, stage_last: bool = False
    ) -> list[Made]:
        """Several documents at once, which is quicker where they are small."""
        pieces = [piece for cut in cuts for piece in _pieces(cut)]
        encoded = await self.embedding.vectors(tenant, pieces, stage_last=stage_last)
        made: list[Made] = []
        start = 0
        for cut in cuts:
            end = start + len(cut.chunks)
            prepared = Prepared(
                text=cut.text,
                tokens=cut.tokens,
                chunks=cut.chunks,
                words=cut.words,
                vectors=encoded.vectors[start:end],
                encoder=self.embedding.version,
                chunker=self.reading.chunker(rules),
                updated_at=cut.updated_at,
            )
            # What was computed and staged is told once, of the first.
            computed, staged = (0, ()) if made else (encoded.computed, encoded.staged)
            made.append(Made(prepared, computed, staged, cut.notes))
            start = end
        return made


def _pieces(cut: Cut) -> list[tuple[str, str]]:
    return [(chunk.context, cut.text[chunk.start : chunk.end]) for chunk in cut.chunks]
