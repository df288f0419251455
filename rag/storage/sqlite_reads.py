"""What a request reads from SQLite: whether a store changed, whether an answer still holds, texts of passages.

The non-obvious decision: these few statements run in the event loop, on a connection that does nothing else. In WAL
mode a reader waits for nobody, and looking up some rows by their keys is 20 us; handing that to a thread and back,
statement by statement, as all else here does, would be milliseconds on a busy machine, on every answer from the
cache. A statement sees one moment.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from contracts.errors import RetrievalUnavailable
from contracts.retrieval import Passage, StoreState
from rag.storage.checks import checked_tenant
from rag.storage.expiring import wanted_of
from rag.storage.moments import moment

_MOST_OPEN = 64
_WAIT_S = 0.1

_STATE = """
    SELECT s.id, s.revision, s.version, EXISTS (
        SELECT 1 FROM rag_documents AS d WHERE d.tenant = s.tenant AND d.store_id = s.id AND d.expires <= :now)
    FROM rag_stores AS s
    WHERE s.tenant = :tenant AND (s.expires IS NULL OR s.expires > :now) AND {named} = :store
    ORDER BY s.created, s.id LIMIT 1"""
_BY_ID = _STATE.format(named="s.id")
_BY_NAME = _STATE.format(named="s.name")

_REVISIONS = """
    SELECT '', revision FROM rag_stores
    WHERE tenant = :tenant AND id = :store AND (expires IS NULL OR expires > :now)
    UNION ALL
    SELECT file_id, revision FROM rag_documents
    WHERE tenant = :tenant AND store_id = :store AND file_id IN (SELECT value FROM json_each(:files))
        AND (expires IS NULL OR expires > :now)"""

_PASSAGES = """
    SELECT c.number, c."start", c."end", c.text, c.context, c.tokens,
        d.file_id, d.filename, d.revision, d.updated, d.tokens, d.attributes
    FROM rag_chunks AS c JOIN rag_documents AS d
        ON d.tenant = c.tenant AND d.store_id = c.store_id AND d.file_id = c.file_id
    WHERE c.tenant = :tenant AND c.store_id = :store AND c.number IN (SELECT value FROM json_each(:numbers))"""


class QuickReads:
    """Of the databases `folder`/TENANT/`name`. All of it raises RetrievalUnavailable.

    `replaced` is told of a tenant whose database is another file than before.
    """

    def __init__(self, folder: Path, name: str, replaced: Callable[[str], None] = lambda _: None) -> None:
        self._folder = folder
        self._name = name
        self._replaced = replaced
        self._open: OrderedDict[str, tuple[int, sqlite3.Connection]] = OrderedDict()

    def state(self, tenant: str, store: str, now: int) -> tuple[StoreState, bool] | None:
        """By id or name, and whether a document of it has expired; None where there is no such store."""
        values = {"tenant": tenant, "store": store, "now": now}
        rows = self._rows(tenant, _BY_ID, values)
        if not rows and store:
            rows = self._rows(tenant, _BY_NAME, values)
        return (
            (StoreState(id=rows[0][0], revision=rows[0][1], version=rows[0][2]), bool(rows[0][3])) if rows else None
        )

    def is_current(self, tenant: str, basis: Sequence[str], now: int) -> bool:
        """See `contracts.retrieval.Library.current`."""
        for store_id, wanted in wanted_of(basis).items():
            files = orjson.dumps([file_id for file_id, _ in wanted if file_id]).decode()
            values = {"tenant": tenant, "store": store_id, "now": now, "files": files}
            there = {(row[0], str(row[1])) for row in self._rows(tenant, _REVISIONS, values)}
            if not any(file_id == "" for file_id, _ in there) or not wanted <= there:
                return False
        return True

    def passages(self, tenant: str, store_id: str, numbers: Sequence[int]) -> Mapping[int, Passage]:
        """Of those chunks that are still there."""
        values = {"tenant": tenant, "store": store_id, "numbers": orjson.dumps(list(numbers)).decode()}
        found = {}
        for row in self._rows(tenant, _PASSAGES, values):
            number, start, end, text, context, tokens, file_id, filename, revision, updated, whole, attributes = row
            found[number] = Passage(
                store_id=store_id,
                file_id=file_id,
                filename=filename,
                revision=revision,
                updated_at=moment(updated),
                start=start,
                end=end,
                text=text,
                context=context,
                tokens=tokens,
                document_tokens=whole,
                attributes=orjson.loads(attributes),
            )
        return found

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1][1].close()

    def _rows(self, tenant: str, statement: str, values: Mapping[str, Any]) -> list[Any]:
        """None for a tenant who has no database."""
        try:
            connection = self._connection(tenant)
            return connection.execute(statement, values).fetchall() if connection is not None else []
        except (sqlite3.Error, OSError) as error:
            self._forget(tenant)
            raise RetrievalUnavailable("The documents cannot be read right now.", retry_after_s=1.0) from error

    def _connection(self, tenant: str) -> sqlite3.Connection | None:
        path = self._folder / checked_tenant(tenant) / self._name
        try:
            file = path.stat().st_ino
        except FileNotFoundError:
            self._forget(tenant)
            return None
        known = self._open.get(tenant)
        if known is not None and known[0] == file:
            self._open.move_to_end(tenant)
            return known[1]
        if known is not None:  # the file was put there anew, from a backup for one
            self._forget(tenant)
            self._replaced(tenant)
        connection = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
        self._open[tenant] = (file, connection)
        if len(self._open) > _MOST_OPEN:
            self._forget(next(iter(self._open)))
        return connection

    def _forget(self, tenant: str) -> None:
        if (known := self._open.pop(tenant, None)) is not None:
            known[1].close()
