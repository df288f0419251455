"""The file of a head: named arrays and a card, in one npz that is named by its content.

The non-obvious decision: no file is ever run. There is no pickle in it, only numbers and JSON, and what is too
large or of another kind is refused before any of it is used. Equal heads are equal bytes, so that the version, a
hash, says whether two servers decide alike.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from msgspec import Struct
from numpy.lib import format as npy
from numpy.typing import NDArray

LARGEST_FILE = 64 << 20
LARGEST_ARRAYS = 256 << 20
"""Bytes of the file, and of what it unpacks to."""
_CARD = "card.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)


class Artefact(Struct, frozen=True):
    """What a file holds. `card` has its `kind`; `version` is the hash of the file."""

    arrays: Mapping[str, NDArray[Any]]
    card: Mapping[str, Any]
    version: str

    @property
    def kind(self) -> str:
        return str(self.card["kind"])


def dumps(kind: str, arrays: Mapping[str, NDArray[Any]], card: Mapping[str, Any]) -> bytes:
    """The bytes of an artefact; the same for the same content, whatever the order of the names."""
    file = BytesIO()
    with ZipFile(file, "w") as archive:
        about = json.dumps({**card, "kind": kind}, sort_keys=True, ensure_ascii=False, allow_nan=False)
        archive.writestr(_entry(_CARD), about.encode())
        for name in sorted(arrays):
            array = BytesIO()
            npy.write_array(array, np.ascontiguousarray(arrays[name]), allow_pickle=False)
            archive.writestr(_entry(f"{name}.npy"), array.getvalue())
    return file.getvalue()


def loads(data: bytes, kind: str) -> Artefact:
    """From what `dumps` gave. Raises ValueError for anything else, and for an artefact of another kind."""
    if len(data) > LARGEST_FILE:
        raise ValueError("the file is too large for an artefact")
    try:
        with ZipFile(BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST_ARRAYS:
                raise ValueError("the file unpacks to more than an artefact may hold")
            card = json.loads(archive.read(_CARD))
            arrays = {
                name.removesuffix(".npy"): npy.read_array(BytesIO(archive.read(name)), allow_pickle=False)
                for name in archive.namelist()
                if name != _CARD
            }
    except (BadZipFile, EOFError, KeyError, NotImplementedError, OSError, RuntimeError, zlib.error) as error:
        raise ValueError("the file holds no artefact") from error
    if not isinstance(card, dict) or card.get("kind") != kind:
        found = card.get("kind") if isinstance(card, dict) else None
        raise ValueError(f"the file holds {found!r}, not {kind!r}")
    return Artefact(arrays, card, version_of(data))


def version_of(data: bytes) -> str:
    """The name of an artefact's content: 16 hex digits."""
    return blake2b(data, digest_size=8).hexdigest()


def write(path: Path, kind: str, arrays: Mapping[str, NDArray[Any]], card: Mapping[str, Any]) -> str:
    """Write the file, and return its version."""
    data = dumps(kind, arrays, card)
    path.write_bytes(data)
    return version_of(data)


def read(path: Path, kind: str) -> Artefact:
    """Read the file. Raises ValueError where it is no artefact of `kind`, OSError where there is none."""
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError("the file is too large for an artefact")
    return loads(path.read_bytes(), kind)


def _entry(name: str) -> ZipInfo:
    entry = ZipInfo(name, _EPOCH)
    entry.compress_type = ZIP_DEFLATED
    return entry
