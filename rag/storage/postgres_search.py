"""A store in PostgreSQL, searched: BM25 in SQL, and nearest neighbours with pgvector.

The non-obvious decision: each search reckons what looking at everything would cost, and does that where it is
little: in a small store, with filters that leave little, for rare words. Then it is exact. Else:

Words: candidates come from the rarest words, one at least, and as many as `_ROWS` rows allow; the best
`_CANDIDATES` of them are scored by all words. That is exact unless a chunk has none of the rarest words, or little
of them, and is among the best by its common words alone.

Meaning: the index is asked, and where it finds fewer than there are, all are compared after all.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.retrieval import Passage, StoreState
from rag.filters import checked
from rag.ports import Ranked, WordCounts
from rag.rarity import K1, B, idf
from rag.storage.moments import moment
from rag.storage.postgres_chunks import PLACES, written
from rag.storage.postgres_filters import condition
from rag.storage.postgres_schema import LONGEST_INDEXED, partitions_of

if TYPE_CHECKING:
    from rag.ports import Vectors

Connect = Callable[[], AbstractAsyncContextManager[AsyncConnection]]
_ROWS = 5000
_CANDIDATES = 300
_LOOKUPS = 1000
"""Pairs of a word and a document that are looked up one by one."""
_COMPARISONS = 20
"""What the index compares to come to one more neighbour, as often as vectors are compared without it."""

# All of it floats: PostgreSQL reads a literal with a point as a decimal number, which is slow to reckon with.
_SHARE = f"""q.share * p.count * CAST({K1 + 1} AS float8) / (p.count + CAST({K1 * (1 - B)} AS float8)
    + CAST({K1 * B} AS float8) * p.length / CAST(:mean AS float8))"""
_RARE = "unnest(CAST(:words AS text[]), CAST(:shares AS float8[])) AS q (word, share)"
_COMMON = "unnest(CAST(:more_words AS text[]), CAST(:more_shares AS float8[])) AS q (word, share)"
# OFFSET keeps the planner from another order. It knows nothing of a store that came a moment ago, and would read
# all of it for each word.
_ROW = """CROSS JOIN LATERAL (
    SELECT chunk, count, length FROM {table} WHERE store = :store AND word = q.word {only} OFFSET 0) AS p"""
_ENDS = {
    "": _ROW.replace("{only}", ""),
    "among": _ROW.replace("{only}", "AND (chunk >> :places) << :places = ANY(:first)"),
    "within": "CROSS JOIN unnest(CAST(:first AS bigint[]), CAST(:counts AS bigint[])) AS d (first, chunks) "
    + _ROW.replace("{only}", "AND chunk >= d.first AND chunk < d.first + d.chunks"),
    "candidate": _ROW.replace("{only}", "AND chunk = c.chunk"),
}


class Indexed(Struct, frozen=True, kw_only=True):
    """A store as the tables of this engine know it. `words` is the sum of its chunks' lengths; `tenant_chunks` are
    those of all stores of the tenant, which lie in one index. `number` is 0 where it never held a chunk."""

    tenant: str
    number: int
    chunks: int
    words: int
    tenant_chunks: int
    encoder: str
    state: StoreState

    @property
    def mean_length(self) -> float:
        return self.words / self.chunks if self.chunks else 0.0


class Among(Struct, frozen=True):
    """Documents that filters leave, by their first chunks, and how many chunks each one has."""

    first: list[int]
    counts: list[int]


class PostgresView:
    """See `rag.ports.View`. `connect` gives connections with the settings of `rag.storage.postgres`; `clock` tells
    the time in microseconds."""

    def __init__(self, connect: Connect, store: Indexed, clock: Callable[[], int]) -> None:
        self._connect = connect
        self._clock = clock
        self._store = store
        self._whose = {"tenant": store.tenant, "store": store.number}

    @property
    def state(self) -> StoreState:
        return self._store.state

    @property
    def encoder(self) -> str:
        return self._store.encoder

    async def counts(self, words: Sequence[str]) -> WordCounts:
        async with self._connect() as connection:
            having = await self._having(connection, words)
        return WordCounts(self._store.chunks, self._store.mean_length, having)

    async def by_words(
        self, words: Mapping[str, float], most: int, filters: Mapping[str, Any] | None = None
    ) -> Sequence[Ranked]:
        async with self._connect() as connection:
            having = await self._having(connection, list(words))
            among = await self._among(connection, filters)
            shares = {
                word: words[word] * idf(self._store.chunks, count)
                for word, count in sorted(having.items(), key=lambda item: (item[1], item[0]))
                if count
            }
            if not shares or (among is not None and not among.first):
                return []
            statement, values = _scoring(self._store.tenant, shares, having, among)
            values |= self._whose | {"mean": self._store.mean_length, "most": most, "places": PLACES}
            rows = (await connection.execute(statement, values)).all()
        return _ranked((row.chunk, row.score) for row in rows)

    async def by_meaning(
        self, vector: Vectors, most: int, filters: Mapping[str, Any] | None = None
    ) -> Sequence[Ranked]:
        async with self._connect() as connection:
            among = await self._among(connection, filters)
            present = self._store.chunks if among is None else sum(among.counts)
            if not present:
                return []
            values = self._whose | {"vector": written(vector), "encoder": self.encoder, "most": most}
            first = None if among is None else among.first
            rows: Sequence[Any] = ()
            if len(vector) <= LONGEST_INDEXED and self._index_is_quicker(present, most):
                more = {"places": PLACES, "first": first}
                rows = (await connection.execute(_nearest(len(vector)), values | more)).all()
            if len(rows) < min(most, present):
                more = {} if among is None else {"first": first, "counts": among.counts}
                statement = _compared(len(vector), among=among is not None)
                rows = (await connection.execute(statement, values | more)).all()
        return _ranked((row.chunk, -row.distance) for row in rows)

    async def passages(self, chunks: Sequence[int]) -> Mapping[int, Passage]:
        values = self._whose | {
            "store_id": self.state.id,
            "chunks": list(chunks),
            "places": PLACES,
            "now": self._clock(),
        }
        async with self._connect() as connection:
            rows = (await connection.execute(_PASSAGES, values)).all()
        return {row.chunk: self._passage(row) for row in rows}

    def _passage(self, row: Any) -> Passage:
        return Passage(
            store_id=self.state.id,
            file_id=row.file_id,
            filename=row.filename,
            revision=row.revision,
            updated_at=moment(row.updated),
            start=row.start,
            end=row.end,
            text=row.content,
            context=row.context,
            tokens=row.tokens,
            document_tokens=row.document_tokens,
            attributes=row.attributes,
        )

    def _index_is_quicker(self, present: int, most: int) -> bool:
        """It looks at neighbours from all of the tenant, of which so many are among those that are present."""
        return present**2 > _COMPARISONS * most * self._store.tenant_chunks

    async def _having(self, connection: AsyncConnection, words: Sequence[str]) -> dict[str, int]:
        rows = await connection.execute(_HAVING, self._whose | {"words": list(words)})
        found = {row.word: row.chunks for row in rows}
        return {word: found.get(word, 0) for word in words}

    async def _among(self, connection: AsyncConnection, filters: Mapping[str, Any] | None) -> Among | None:
        checks = checked(filters)
        if checks is None:
            return None
        where, values = condition(checks)
        statement = text(f"""
            SELECT first_chunk, chunks FROM rag_documents
            WHERE tenant = :tenant AND store_id = :store_id AND revision <> 0 AND chunks > 0 AND {where}""")  # noqa: S608
        values |= {"tenant": self._store.tenant, "store_id": self.state.id}
        rows = (await connection.execute(statement, values)).all()
        return Among([row.first_chunk for row in rows], [row.chunks for row in rows])


_HAVING = text("""
    SELECT word, chunks FROM rag_having
    WHERE tenant = :tenant AND store = :store AND word = ANY(CAST(:words AS text[]))""")
_PASSAGES = text("""
    WITH c AS MATERIALIZED (
        SELECT chunk, "start", "end", tokens, context, content FROM rag_chunks
        WHERE tenant = :tenant AND store = :store AND chunk = ANY(CAST(:chunks AS bigint[])))
    SELECT c.*, d.file_id, d.filename, d.revision, d.updated, d.tokens AS document_tokens, d.attributes
    FROM c CROSS JOIN LATERAL (
        SELECT * FROM rag_documents
        WHERE tenant = :tenant AND store_id = :store_id AND first_chunk = (c.chunk >> :places) << :places
            AND revision <> 0 AND (expires IS NULL OR expires > :now) OFFSET 0) AS d""")


def _scoring(
    tenant: str, shares: Mapping[str, float], having: Mapping[str, int], among: Among | None
) -> tuple[TextClause, dict[str, Any]]:
    """`shares` has the rarest word first. The tenant's own table is read by its name: that it is the tenant's need
    not be looked up in each row then, and the index alone is enough."""
    order, end = list(shares), ""
    values: dict[str, Any] = {}
    rare = len(order)
    counts = list(accumulate(having[word] for word in order))
    if among is not None:
        few = len(among.first) * len(order) <= _LOOKUPS
        end = "within" if few and counts[-1] > _ROWS else "among"
        values = {"first": among.first, "counts": among.counts}
    if end != "within":
        rare = max(bisect_right(counts, _ROWS), 1)
    values |= {"words": order[:rare], "shares": [shares[word] for word in order[:rare]]}
    table = partitions_of(tenant)[1]
    scored = f"SELECT p.chunk, sum({_SHARE}) AS score FROM {_RARE} {_ENDS[end]} GROUP BY p.chunk"  # noqa: S608
    best = "ORDER BY score DESC, chunk LIMIT"
    if rare == len(order):
        return text(f"{scored} {best} :most".replace("{table}", table)), values
    values |= {"more_words": order[rare:], "more_shares": [shares[word] for word in order[rare:]]}
    statement = f"""
        WITH candidates AS MATERIALIZED ({scored} {best} {_CANDIDATES})
        SELECT c.chunk, c.score + coalesce(more.score, 0) AS score
        FROM candidates AS c LEFT JOIN LATERAL
            (SELECT sum({_SHARE}) AS score FROM {_COMMON} {_ENDS["candidate"]}) AS more ON true
        {best} :most"""  # noqa: S608
    return text(statement.replace("{table}", table)), values


def _nearest(dimensions: int) -> TextClause:
    """By the index. Rows have length one, so the inner product is the cosine; pgvector orders by its negative. A
    sum with the store's number is in no index, which leaves the planner that of the vectors."""
    distance = _distance(dimensions)
    return text(f"""
        WITH found AS MATERIALIZED (
            SELECT chunk, {distance} AS distance FROM rag_chunks
            WHERE tenant = :tenant AND store + 0 = :store AND dimensions = {dimensions} AND encoder = :encoder
                AND (CAST(:first AS bigint[]) IS NULL OR (chunk >> :places) << :places = ANY(:first))
            ORDER BY {distance} LIMIT :most)
        SELECT * FROM found ORDER BY distance, chunk""")  # noqa: S608


def _compared(dimensions: int, *, among: bool) -> TextClause:
    """All of the store, or of some documents."""
    only = "AND chunk >= d.first AND chunk < d.first + d.chunks" if among else ""
    documents = "unnest(CAST(:first AS bigint[]), CAST(:counts AS bigint[]))" if among else "(SELECT 0, 0)"
    return text(f"""
        SELECT c.chunk, c.distance FROM {documents} AS d (first, chunks) CROSS JOIN LATERAL (
            SELECT chunk, {_distance(dimensions)} AS distance FROM rag_chunks
            WHERE tenant = :tenant AND store = :store AND dimensions = {dimensions} AND encoder = :encoder {only}
            OFFSET 0) AS c
        ORDER BY distance, chunk LIMIT :most""")  # noqa: S608


def _distance(dimensions: int) -> str:
    return f"vector::halfvec({dimensions}) <#> CAST(:vector AS halfvec({dimensions}))"


def _ranked(scores: Any) -> list[Ranked]:
    """Rounded where they are summed in any order, so that equal ones are told by their place."""
    return sorted((Ranked(chunk, score) for chunk, score in scores), key=lambda r: (-round(r.score, 9), r.chunk))
