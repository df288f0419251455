"""What PostgreSQL keeps beside the tables of both engines: chunks with their vectors, words, and their partitions.

Each tenant has a partition of its own, and in it an index of nearest neighbours of its own for each length of
vector. The non-obvious decision: vectors are kept as 16-bit floats, of any length, in one column; an index is on a
cast to its length and holds the rows of that length only, so that another encoder needs no other table.
"""

from __future__ import annotations

from hashlib import blake2b

from sqlalchemy import Connection, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from rag.ports import StorageUnusable
from rag.storage.tables import SCHEMA_VERSION, metadata, schema, shared

SCHEMA_LOCK = 0x57656972_00726167
"""PostgreSQL's advisory locks are numbers."""
LONGEST_INDEXED = 4000
"""Dimensions of the longest vector of 16-bit floats that pgvector can index. Longer ones are all compared."""
_OLDEST_VECTOR = (0, 8)

_TABLES = (
    """CREATE TABLE IF NOT EXISTS rag_indexes (
        tenant text NOT NULL, store_id text NOT NULL, number integer GENERATED ALWAYS AS IDENTITY,
        chunks bigint NOT NULL DEFAULT 0, words bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (tenant, store_id), UNIQUE (number))""",
    "CREATE SEQUENCE IF NOT EXISTS rag_versions",
    "CREATE INDEX IF NOT EXISTS rag_documents_by_chunk ON rag_documents (tenant, store_id, first_chunk)",
    "CREATE INDEX IF NOT EXISTS rag_documents_by_revision ON rag_documents (tenant, store_id, revision)",
    "CREATE TABLE IF NOT EXISTS rag_gone (tenant text NOT NULL, store integer PRIMARY KEY)",
    """CREATE TABLE IF NOT EXISTS rag_having (
        tenant text NOT NULL, store integer NOT NULL, word text NOT NULL COLLATE "C", chunks integer NOT NULL,
        PRIMARY KEY (tenant, store, word))""",
    """CREATE TABLE IF NOT EXISTS rag_chunks (
        tenant text NOT NULL, store integer NOT NULL, chunk bigint NOT NULL, "start" integer NOT NULL,
        "end" integer NOT NULL, tokens integer NOT NULL, dimensions integer NOT NULL, encoder text NOT NULL,
        key bytea NOT NULL, vector halfvec NOT NULL, context text NOT NULL, content text NOT NULL,
        words text[] NOT NULL) PARTITION BY LIST (tenant)""",
    "ALTER TABLE rag_chunks ALTER COLUMN vector SET STORAGE PLAIN",
    """CREATE TABLE IF NOT EXISTS rag_words (
        tenant text NOT NULL, store integer NOT NULL, chunk bigint NOT NULL, count integer NOT NULL,
        length integer NOT NULL, word text NOT NULL COLLATE "C") PARTITION BY LIST (tenant)""",
)
_PARTITION = (
    # The text of a row goes to one side, so that vectors, which are read much more often, lie close together.
    "ALTER TABLE {chunks} SET (toast_tuple_target = 256)",
    "ALTER TABLE {chunks} ADD PRIMARY KEY (store, chunk)",
    "CREATE INDEX ON {chunks} (key)",
    # With all that a score needs, so that the table itself need not be read.
    "CREATE UNIQUE INDEX ON {words} (store, word, chunk) INCLUDE (count, length)",
)


def is_current(connection: Connection) -> bool:
    """Raises StorageUnusable where the tables are a newer Weir's."""
    if not inspect(connection).has_table(schema.name):
        return False
    version = connection.execute(select(schema.c.version)).scalar() or 0
    if version > SCHEMA_VERSION:
        raise StorageUnusable(
            f"The documents in {connection.engine.url.render_as_string(hide_password=True)} are at schema "
            f"{version}, but this Weir knows {SCHEMA_VERSION} at most: a newer Weir used them. Install that "
            "version again, or name another database in `rag.url`."
        )
    return version == SCHEMA_VERSION


async def make_tables(connection: AsyncConnection) -> None:
    """In a transaction of its own, which others wait for. Raises StorageUnusable where there is no pgvector."""
    await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": SCHEMA_LOCK})
    if await connection.run_sync(is_current):
        return
    await _need_pgvector(connection)
    await connection.run_sync(lambda synchronous: metadata.create_all(synchronous, tables=shared))
    for statement in _TABLES:
        await connection.execute(text(statement))
    await connection.execute(schema.insert().values(version=SCHEMA_VERSION))


async def _need_pgvector(connection: AsyncConnection) -> None:
    version = await _pgvector(connection)
    if version is None:
        try:
            async with connection.begin_nested():
                await connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
            raise StorageUnusable(
                f"Documents need pgvector in PostgreSQL, and it could not be added ({error.orig}). Install it on "
                "the server, have an owner run CREATE EXTENSION vector in this database, or leave `rag.url` out."
            ) from error
        version = await _pgvector(connection)
    found = tuple(int(part) for part in (version or "0").split(".")[:2])
    if found < _OLDEST_VECTOR:
        raise StorageUnusable(
            f"Documents need pgvector 0.8 or newer, and this PostgreSQL has {version}. Install a newer one on the "
            "server and run ALTER EXTENSION vector UPDATE in this database, or leave `rag.url` out."
        )


async def _pgvector(connection: AsyncConnection) -> str | None:
    found = await connection.execute(text("SELECT extversion FROM pg_extension WHERE extname = 'vector'"))
    return found.scalar()


async def has_partitions(connection: AsyncConnection, tenant: str, dimensions: int) -> bool:
    """Whether the tenant has its partitions, and an index of vectors of this length."""
    chunks, words = partitions_of(tenant)
    needed = [chunks, words]
    if 0 < dimensions <= LONGEST_INDEXED:
        needed.append(f"{chunks}_{dimensions}")
    found = await connection.execute(
        text("""
            SELECT count(*) FROM pg_class
            WHERE relname = ANY(:names) AND relnamespace = current_schema()::regnamespace"""),
        {"names": needed},
    )
    return int(found.scalar_one()) == len(needed)


async def make_partitions(connection: AsyncConnection, tenant: str, dimensions: int) -> None:
    """Those that are missing. They are made apart and then attached: made in place, they would wait for the longest
    search of any tenant, and all others would wait behind them."""
    await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": SCHEMA_LOCK})
    chunks, words = partitions_of(tenant)
    if not await has_partitions(connection, tenant, 0):
        for name, parent in ((chunks, "rag_chunks"), (words, "rag_words")):
            await connection.execute(
                text(f"CREATE TABLE {name} (LIKE {parent} INCLUDING DEFAULTS INCLUDING STORAGE)")
            )
            for form in (
                f"ALTER TABLE {name} ADD CONSTRAINT of_one_tenant CHECK (tenant = %L)",
                f"ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES IN (%L)",
            ):
                await _with_literal(connection, form, tenant)
        for statement in _PARTITION:
            await connection.execute(text(statement.format(chunks=chunks, words=words)))
    if 0 < dimensions <= LONGEST_INDEXED:
        await connection.execute(
            text(
                f"CREATE INDEX IF NOT EXISTS {chunks}_{dimensions} ON {chunks} USING hnsw "
                f"((vector::halfvec({dimensions})) halfvec_ip_ops) WHERE dimensions = {dimensions}"
            )
        )


async def _with_literal(connection: AsyncConnection, form: str, value: str) -> None:
    """Statements that change the schema take no parameters, so the server itself writes the value into it."""
    statement = await connection.execute(
        text("SELECT format(CAST(:form AS text), CAST(:value AS text))"), {"form": form, "value": value}
    )
    await connection.exec_driver_sql(str(statement.scalar_one()))


def partitions_of(tenant: str) -> tuple[str, str]:
    """Names of the tables of its chunks and of its words. A hash, as its name may be too long for a table's."""
    name = blake2b(tenant.encode(), digest_size=16).hexdigest()
    return f"rag_chunks_{name}", f"rag_words_{name}"
