"""What nodes tell each other about their caches, and what a snapshot holds: the same few records.

The non-obvious decision: a change says what is, never what to do to what was. Applied twice, or once more after a
newer one of its kind, it does no harm beyond a colder cache, so whoever carries changes may repeat them.

In MessagePack, fields by position: new ones go to the end and have a default.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from msgspec import Struct


class Kept(Struct, tag="kept", array_like=True, kw_only=True, gc=False):
    """An answer is kept, and its question where it has one. Times are Unix seconds.

    `vector` is float16, little-endian: half of float32, and further from it than 0.0005 in no cosine, which no
    verifier tells apart. `encoder` is the version of what made it.
    """

    key: bytes
    body: bytes
    facts: bytes
    stored_at: float
    expires_at: float
    revision: int
    owner: str
    writer: str
    tags: tuple[str, ...]
    quarantined: bool = False
    hard_key: bytes = b""
    text: str = ""
    vector: bytes = b""
    encoder: str = ""
    right: int = 0
    wrong: int = 0
    demoted: int = 0


class Invalidated(Struct, tag="invalidated", array_like=True, kw_only=True, gc=False):
    """What `owner` has under `tag` and made before `revision` is stale; see `cache.freshness` for the wildcards."""

    owner: str
    tag: str
    revision: int


class Dropped(Struct, tag="dropped", array_like=True, kw_only=True, gc=False):
    """An entry was deleted, by its owner or, where that is empty, by an operator."""

    key: bytes
    owner: str = ""


class Quarantined(Struct, tag="quarantined", array_like=True, kw_only=True, gc=False):
    """An entry was reported as wrong. Its owner, where it is not empty, must be this one."""

    key: bytes
    owner: str = ""


class Learned(Struct, tag="learned", array_like=True, kw_only=True, gc=False):
    """The evidence of one tenant or pool on one route, which only its acceptance policy reads."""

    owner: str
    route: str
    version: str
    state: bytes


class Seen(Struct, tag="seen", array_like=True, kw_only=True, gc=False):
    """Up to `position` all that other nodes told is applied, and `revision` is in force.

    In a snapshot it stands behind those changes: a node that starts anew goes on from the last one.
    """

    position: str
    revision: int


Change: TypeAlias = Kept | Invalidated | Dropped | Quarantined | Learned | Seen

DecodeError = msgspec.DecodeError
"""These bytes are not a change, or one of a later Weir."""

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Change] = msgspec.msgpack.Decoder(Change)


def encode(change: Change) -> bytes:
    """Raises ValueError for text that is not Unicode."""
    return _encoder.encode(change)


def decode(data: bytes) -> Change:
    """Raises DecodeError."""
    return _decoder.decode(data)


def may_be_lost(change: Change) -> bool:
    """Whether a cache without this change is only colder or knows less, and does not serve what it must not."""
    return isinstance(change, Kept | Learned | Seen)
