"""Chunks into PostgreSQL and out of it: their rows, their words, and what is counted of a store on the way.

All here runs inside a step's transaction, which holds the store's row. The non-obvious decision: a chunk's number
is that of its document's version times 2^20, plus its place in it. So a document's chunks are a range of numbers,
in the order of its text, and no number is ever used twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from rag.ports import Prepared, vector_key
from rag.storage.postgres_schema import partitions_of

if TYPE_CHECKING:
    from rag.ports import Vectors

PLACES = 20
"""Bits of a chunk's number that are its place in the document."""
_ROWS = 256
"""Chunks in a statement: it takes seconds at most, far less than a statement may."""
_DROPPED = 500
_MANY_ROWS = 20_000

_STORE = text("SELECT number FROM rag_indexes WHERE tenant = :tenant AND store_id = :store_id")
_NEW_STORE = text("INSERT INTO rag_indexes (tenant, store_id) VALUES (:tenant, :store_id) RETURNING number")
_VERSION = text("SELECT nextval('rag_versions')")
_CHUNKS = text("""
    INSERT INTO rag_chunks (tenant, store, dimensions, encoder, chunk, "start", "end", tokens, key, vector, context,
        content, words)
    SELECT :tenant, :store, :dimensions, :encoder, chunk, "start", "end", tokens, key, vector, context, content,
        string_to_array(words, ' ')
    FROM unnest(CAST(:numbers AS bigint[]), CAST(:starts AS integer[]), CAST(:ends AS integer[]),
        CAST(:tokens AS integer[]), CAST(:keys AS bytea[]), CAST(CAST(:vectors AS text[]) AS halfvec[]),
        CAST(:contexts AS text[]), CAST(:contents AS text[]), CAST(:words AS text[]))
        AS made (chunk, "start", "end", tokens, key, vector, context, content, words)""")
_WORDS = text("""
    INSERT INTO rag_words (tenant, store, word, chunk, count, length)
    SELECT :tenant, :store, word, chunk, count, length
    FROM unnest(CAST(:words AS text[]), CAST(:chunks AS bigint[]), CAST(:counts AS integer[]),
        CAST(:lengths AS integer[])) AS made (word, chunk, count, length)""")
_HAVING = text("""
    INSERT INTO rag_having (tenant, store, word, chunks)
    SELECT :tenant, :store, word, chunks
    FROM unnest(CAST(:words AS text[]), CAST(:chunks AS integer[])) AS made (word, chunks)
    ON CONFLICT (tenant, store, word) DO UPDATE SET chunks = rag_having.chunks + excluded.chunks""")
_TOTALS = text("""
    UPDATE rag_indexes SET chunks = chunks + :chunks, words = words + :words
    WHERE tenant = :tenant AND number = :store""")
# A word's rows are found by the words of the chunks that go: an index by chunk would be as large as the table. They
# are found first and named by where they lie, since the planner knows nothing of a store that came a moment ago,
# and would join whole tables.
_DROP = """
    WITH gone AS (
        DELETE FROM {chunks} WHERE store = :store AND chunk >= :first AND chunk < :end RETURNING chunk, words
    ), gone_words AS (
        DELETE FROM {words} WHERE ctid = ANY(ARRAY(
            SELECT found.ctid FROM gone CROSS JOIN unnest(gone.words) AS of_gone (word) CROSS JOIN LATERAL (
                SELECT ctid FROM {words}
                WHERE store = :store AND word = of_gone.word AND chunk = gone.chunk OFFSET 0) AS found))
        RETURNING word, count
    )
    SELECT word, count(*) AS chunks, sum(count) AS words FROM gone_words GROUP BY word
    UNION ALL SELECT NULL, count(*), 0 FROM gone"""
_TIDY = text("""
    DELETE FROM rag_having
    WHERE tenant = :tenant AND store = :store AND word = ANY(CAST(:words AS text[])) AND chunks = 0""")
_DROP_STORE = text("""
    WITH gone AS (DELETE FROM rag_indexes WHERE tenant = :tenant AND store_id = :store_id RETURNING number)
    INSERT INTO rag_gone (tenant, store) SELECT :tenant, number FROM gone""")
_GONE = text("SELECT tenant, store FROM rag_gone LIMIT 1 FOR UPDATE SKIP LOCKED")
_SWEEP = """
    DELETE FROM {table} WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM {table} WHERE store = :store AND tenant = :tenant LIMIT :most))"""
_SWEPT = text("DELETE FROM rag_gone WHERE tenant = :tenant AND store = :store")


class Tally:
    """What a transaction adds to the counts of stores; less than nothing where it takes away.

    Written once, at its end: a row that one transaction changes again and again is slower to find each time.
    """

    def __init__(self) -> None:
        self._having: dict[tuple[str, int], Counter[str]] = {}
        self._totals: dict[tuple[str, int], tuple[int, int]] = {}

    def add(self, tenant: str, store: int, having: Mapping[str, int], chunks: int, words: int) -> None:
        """`words` are those of all chunks together, `having` how many chunks have each one."""
        place = (tenant, store)
        self._having.setdefault(place, Counter()).update(having)
        before = self._totals.get(place, (0, 0))
        self._totals[place] = (before[0] + chunks, before[1] + words)

    async def write(self, connection: AsyncConnection) -> None:
        for (tenant, store), (chunks, words) in self._totals.items():
            whose = {"tenant": tenant, "store": store}
            await connection.execute(_TOTALS, whose | {"chunks": chunks, "words": words})
            changed = [item for item in self._having[tenant, store].items() if item[1]]
            for at in range(0, len(changed), _MANY_ROWS):
                some = dict(changed[at : at + _MANY_ROWS])
                values = {"words": list(some), "chunks": list(some.values())}
                await connection.execute(_HAVING, whose | values)
                fewer = [word for word, count in some.items() if count < 0]
                await connection.execute(_TIDY, whose | {"words": fewer})


async def store_number(connection: AsyncConnection, tenant: str, store_id: str) -> int:
    """What the store is called in these tables; given to it the first time."""
    values = {"tenant": tenant, "store_id": store_id}
    number = (await connection.execute(_STORE, values)).scalar()
    return int(number or (await connection.execute(_NEW_STORE, values)).scalar_one())


async def put_chunks(connection: AsyncConnection, tenant: str, store: int, prepared: Prepared, tally: Tally) -> int:
    """Those of a document; the number of the first one."""
    lengths = [sum(words.values()) for words in prepared.words]
    first = int((await connection.execute(_VERSION)).scalar_one()) << PLACES
    for at in range(0, len(prepared.chunks), _ROWS):
        places = range(at, min(at + _ROWS, len(prepared.chunks)))
        whose = {"tenant": tenant, "store": store}
        await connection.execute(_CHUNKS, whose | _rows(prepared, first, places))
        await connection.execute(_WORDS, whose | _word_rows(prepared, first, places, lengths))
    having = Counter(chain.from_iterable(prepared.words))
    tally.add(tenant, store, having, len(lengths), sum(lengths))
    return first


def _rows(prepared: Prepared, first: int, places: Sequence[int]) -> dict[str, Any]:
    chunks = [prepared.chunks[place] for place in places]
    texts = [prepared.text[chunk.start : chunk.end] for chunk in chunks]
    return {
        "dimensions": prepared.vectors.shape[1],
        "encoder": prepared.encoder,
        "numbers": [first + place for place in places],
        "starts": [chunk.start for chunk in chunks],
        "ends": [chunk.end for chunk in chunks],
        "tokens": [chunk.tokens for chunk in chunks],
        "keys": [
            vector_key(prepared.encoder, chunk.context, content)
            for chunk, content in zip(chunks, texts, strict=True)
        ],
        "vectors": [written(prepared.vectors[place]) for place in places],
        "contexts": [chunk.context for chunk in chunks],
        "contents": texts,
        "words": [" ".join(prepared.words[place]) for place in places],
    }


def _word_rows(prepared: Prepared, first: int, places: Sequence[int], lengths: Sequence[int]) -> dict[str, Any]:
    rows = [
        (word, first + place, count, lengths[place])
        for place in places
        for word, count in prepared.words[place].items()
    ]
    words, chunks, counts, of_length = zip(*rows, strict=True) if rows else ((), (), (), ())
    return {"words": list(words), "chunks": list(chunks), "counts": list(counts), "lengths": list(of_length)}


async def drop_chunks(
    connection: AsyncConnection, tenant: str, store: int, ranges: Sequence[tuple[int, int]], tally: Tally
) -> None:
    """Those of documents, each given by its first chunk's number and how many it has."""
    of_chunks, of_words = partitions_of(tenant)
    drop = text(_DROP.format(chunks=of_chunks, words=of_words))
    for first, count in ranges:
        for at in range(first, first + count, _DROPPED):
            values = {"store": store, "first": at, "end": min(at + _DROPPED, first + count)}
            rows = (await connection.execute(drop, values)).all()
            having = {row.word: -row.chunks for row in rows if row.word is not None}
            chunks = sum(row.chunks for row in rows if row.word is None)
            tally.add(tenant, store, having, -chunks, -sum(int(row.words) for row in rows))


async def drop_store(connection: AsyncConnection, tenant: str, store_id: str) -> None:
    """Out of reach at once; what it held is swept away bit by bit."""
    await connection.execute(_DROP_STORE, {"tenant": tenant, "store_id": store_id})


async def sweep(connection: AsyncConnection) -> bool:
    """Some of what deleted stores held; False where nothing is left that nobody else is at."""
    gone = (await connection.execute(_GONE)).first()
    if gone is None:
        return False
    whose = {"tenant": gone.tenant, "store": gone.store}
    for table in (*partitions_of(gone.tenant), "rag_having"):
        statement = text(_SWEEP.format(table=table))
        if (await connection.execute(statement, whose | {"most": _MANY_ROWS})).rowcount:
            return True
    await connection.execute(_SWEPT, whose)
    return True


async def vectors_by_key(connection: AsyncConnection, tenant: str, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
    """Of chunks that are there: 32-bit floats, as they were kept in 16 bits."""
    found = await connection.execute(
        text("""
            SELECT DISTINCT ON (key) key, CAST(vector AS real[]) AS vector FROM rag_chunks
            WHERE tenant = :tenant AND key = ANY(:keys) ORDER BY key"""),
        {"tenant": tenant, "keys": list(keys)},
    )
    return {row.key: np.asarray(row.vector, dtype="<f4").tobytes() for row in found}


def written(vector: Vectors) -> str:
    """As pgvector reads it. Six digits are more than 16 bits hold."""
    return f"[{','.join(['%.6g'] * len(vector)) % tuple(vector.tolist())}]"
