"""Records in an append-only file: length, checksum, payload.

The non-obvious decision: nothing marks the beginning of a record, so nothing behind a damaged one is looked for.
These files hold what may be lost, never what may be guessed.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

_HEADER = struct.Struct("<I8s")
_CHUNK = 1024 * 1024


def framed(payload: bytes) -> bytes:
    """`payload` as it stands in a file."""
    return _HEADER.pack(len(payload), _checksum(payload)) + payload


def frames(fd: int, start: int, end: int) -> Iterator[tuple[bytes, int]]:
    """Payloads that stand whole between the offsets, each with the offset where the next begins.

    Ends at the first that is not whole. Raises OSError.
    """
    data, base = b"", start
    at = start
    while at + _HEADER.size <= end:
        if at + _HEADER.size > base + len(data):
            data, base = os.pread(fd, _CHUNK, at), at
            if len(data) < _HEADER.size:
                return
        length, checksum = _HEADER.unpack_from(data, at - base)
        stop = at + _HEADER.size + length
        if stop > end:
            return
        if stop > base + len(data):
            data, base = os.pread(fd, max(_CHUNK, stop - at), at), at
        payload = data[at - base + _HEADER.size : stop - base]
        if len(payload) < length or _checksum(payload) != checksum:
            return
        at = stop
        yield payload, at


def is_torn(fd: int, start: int, end: int) -> bool:
    """Whether what stands at `start` is a record whose end was never written, not one that was damaged later."""
    header = os.pread(fd, _HEADER.size, start)
    return len(header) < _HEADER.size or start + _HEADER.size + _HEADER.unpack(header)[0] >= end


def write_all(fd: int, data: bytes | bytearray, offset: int) -> None:
    """Raises OSError; then a part of it may have been written."""
    with memoryview(data) as view:
        done = 0
        while done < len(view):
            done += os.pwrite(fd, view[done:], offset + done)


def make_private(folder: Path) -> None:
    """Raises OSError. Answers are nobody else's business."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def _checksum(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=8).digest()
