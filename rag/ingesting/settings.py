"""What the ingest child is told when it starts."""

from __future__ import annotations

from msgspec import Struct

from rag.ports import Limits


class WatchedStore(Struct, frozen=True, kw_only=True):
    """A store of a tenant, by name, that is kept in step with a folder, looked at every `look_s`."""

    tenant: str
    name: str
    folder: str
    look_s: float = 10.0


class IngestSettings(Struct, frozen=True, kw_only=True):
    """`url` is PostgreSQL's, empty for SQLite in `folder`. `encoder` is a built encoder's folder. Of those that
    share `lock`, a file, one works at a time. What one that was killed had in hand the next one with this lock
    takes up at once, and others after `lease_s`."""

    url: str
    folder: str
    encoder: str
    lock: str
    backend: str = "onnxruntime"
    limits: Limits = Limits()
    context: bool = True
    lease_s: float = 30.0
    stores: tuple[WatchedStore, ...] = ()
