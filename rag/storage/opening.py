"""The storage that a configuration names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rag.ports import Limits

if TYPE_CHECKING:
    from rag.ports import Storage


def open_storage(url: str, folder: Path, limits: Limits | None = None) -> Storage:
    """PostgreSQL by `url`; where that is empty SQLite in `folder`. `prepare` it before use.

    Raises StorageUnusable for a URL that is none, or without the extra that it needs.
    """
    if url:
        from rag.storage.postgres import PostgresStorage

        return PostgresStorage(url, limits)
    from rag.storage.sqlite import SqliteStorage

    return SqliteStorage(folder, limits)
