"""Which model a conversation has been with: a table in a file that all workers of a machine share.

The non-obvious decision: no lock. A row is written at once, with a sum over itself; a reader that meets a half or
foreign row has met none, and a conversation whose row was taken by another one is decided anew. The table never
grows: where a row belongs is a matter of the conversation's name alone.
"""

from __future__ import annotations

import mmap
import os
import time
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from zlib import crc32

_ROW = Struct("<8s8sII")
"""Conversation, model, seconds since the epoch, sum."""
_WAYS = 4
"""Rows a conversation may be in; the oldest gives way."""


class Sessions:
    """Models by conversation. `rows` is a power of two; `keep_s` how long a conversation may pause, in seconds."""

    def __init__(self, path: Path, *, rows: int = 1 << 16, keep_s: float = 3600) -> None:
        self._rows = rows
        self._keep_s = keep_s
        size = rows * _ROW.size
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(fd).st_size != size:
                os.ftruncate(fd, size)
            self._table = mmap.mmap(fd, size)
        finally:
            os.close(fd)

    def find(self, session: str, models: tuple[str, ...]) -> str | None:
        """The one of `models` that last answered in `session`; None where there was none, or too long ago."""
        key = _hash(session)
        row = next((row for row in self._places(key) if row is not None and row[0] == key), None)
        if row is None or time.time() - row[2] > self._keep_s:
            return None
        return next((model for model in models if _hash(model) == row[1]), None)

    def note(self, session: str, model: str) -> None:
        """`model` has answered in `session` just now."""
        key = _hash(session)
        rows = self._places(key)
        way = min(range(_WAYS), key=lambda way: _rank(rows[way], key))
        body = _ROW.pack(key, _hash(model), int(time.time()), 0)[:-4]
        start = self._offset(key, way)
        self._table[start : start + _ROW.size] = body + crc32(body).to_bytes(4, "little")

    def close(self) -> None:
        self._table.close()

    def _places(self, key: bytes) -> list[tuple[bytes, bytes, int] | None]:
        found: list[tuple[bytes, bytes, int] | None] = []
        for way in range(_WAYS):
            start = self._offset(key, way)
            row = self._table[start : start + _ROW.size]
            conversation, model, at, told = _ROW.unpack(row)
            found.append((conversation, model, at) if told == crc32(row[:-4]) else None)
        return found

    def _offset(self, key: bytes, way: int) -> int:
        first = int.from_bytes(key, "little") % (self._rows // _WAYS) * _WAYS
        return (first + way) * _ROW.size


def _rank(row: tuple[bytes, bytes, int] | None, key: bytes) -> tuple[int, int]:
    """Its own row first, then a free one, then the oldest."""
    if row is None:
        return (1, 0)
    return (0, 0) if row[0] == key else (2, row[2])


def _hash(text: str) -> bytes:
    return blake2b(text.encode(errors="replace"), digest_size=8).digest()
