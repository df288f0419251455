"""The tables of files, stores and documents for both engines, and those in which SQLite keeps chunks.

The non-obvious decision: each key begins with the tenant, also on SQLite, where a file holds one tenant only. What
reads a row has then named the tenant, on both engines. Times are microseconds (`rag.storage.moments`).

A document is found in searches when its `revision` is not 0. What it will be after it has been ingested again waits
in `next_attributes`. `queued` is set while it waits for that or is at it. On SQLite chunks are numbered per store,
by `next_chunk`: never twice, and those of a document one after another from its `first_chunk`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA_VERSION = 1

metadata = MetaData()


def _text(name: str, *, key: bool = False) -> Column[str]:
    return Column(name, Text, primary_key=key, nullable=False)


def _number(name: str, *, key: bool = False, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, primary_key=key, nullable=nullable, autoincrement=False)


def _json(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(
        name, JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql"), nullable=nullable
    )


def _only(condition: str) -> dict[str, Any]:
    """That an index holds the rows of which this is true."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


schema = Table("rag_schema", metadata, Column("version", Integer, primary_key=True, autoincrement=False))

files = Table(
    "rag_files",
    metadata,
    _text("tenant", key=True),
    _text("id", key=True),
    _text("filename"),
    _text("purpose"),
    _number("bytes"),
    _text("digest"),
    _number("created"),
    _number("updated"),
    _number("expires", nullable=True),
    Column("by_step", Boolean, nullable=False),
    Index("rag_files_by_age", "tenant", "created", "id"),
)

contents = Table(
    "rag_contents",
    metadata,
    _text("tenant", key=True),
    _text("file_id", key=True),
    Column("content", LargeBinary, nullable=False),
)

stores = Table(
    "rag_stores",
    metadata,
    _text("tenant", key=True),
    _text("id", key=True),
    _text("name"),
    _number("created"),
    _number("active"),
    _number("revision"),
    _text("version"),
    _number("next_chunk"),
    _json("metadata"),
    Column("expires_after_days", Integer),
    _number("expires", nullable=True),
    Index("rag_stores_by_age", "tenant", "created", "id"),
    Index("rag_stores_by_name", "tenant", "name"),
)

documents = Table(
    "rag_documents",
    metadata,
    _text("tenant", key=True),
    _text("store_id", key=True),
    _text("file_id", key=True),
    _text("filename"),
    _text("status"),
    _number("created"),
    _number("updated"),
    _number("expires", nullable=True),
    _number("revision"),
    _number("first_chunk"),
    _number("chunks"),
    _number("bytes"),
    _number("tokens"),
    _json("attributes"),
    _json("next_attributes", nullable=True),
    Column("rule_size", Integer),
    Column("rule_overlap", Integer),
    _text("encoder"),
    _text("chunker"),
    _text("content_mark"),
    _text("mark"),
    _text("batch"),
    _text("error_code"),
    _text("error"),
    _number("queued", nullable=True),
    _text("claim"),
    _number("lease"),
    Column("attempts", Integer, nullable=False),
    Index("rag_documents_by_age", "tenant", "store_id", "created", "file_id"),
    Index("rag_documents_by_file", "tenant", "file_id"),
    Index("rag_documents_by_revision", "tenant", "store_id", "revision"),
    Index("rag_documents_queue", "queued"),
    Index("rag_documents_by_expiry", "tenant", "store_id", "expires", **_only("expires IS NOT NULL")),
)

texts = Table(
    "rag_texts",
    metadata,
    _text("tenant", key=True),
    _text("store_id", key=True),
    _text("file_id", key=True),
    _text("text"),
)

staged = Table(
    "rag_staged",
    metadata,
    _text("tenant", key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("vector", LargeBinary, nullable=False),
    _number("at"),
)

shared = [schema, files, contents, stores, documents, texts, staged]
"""What both engines have."""

embedded = MetaData()

chunks = Table(
    "rag_chunks",
    embedded,
    _text("tenant", key=True),
    _text("store_id", key=True),
    _number("number", key=True),
    _text("file_id"),
    _number("start"),
    _number("end"),
    _number("tokens"),
    _text("context"),
    _text("text"),
    Column("key", LargeBinary, nullable=False),
    Index("rag_chunks_by_key", "tenant", "key"),
)

packs = Table(
    "rag_packs",
    embedded,
    _text("tenant", key=True),
    _text("store_id", key=True),
    _text("file_id", key=True),
    Column("words", LargeBinary, nullable=False),
    Column("vectors", LargeBinary, nullable=False),
)
"""What the index in memory loads of a document: see `rag.index.packing`."""
