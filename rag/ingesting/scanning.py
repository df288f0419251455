"""The files of a folder that are documents, by their paths in it.

What is hidden, and links to what lies outside, are left out. A file's `stamp` holds the time of its last change of
any kind, which nobody can set, so two equal stamps are the same content.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePath

from msgspec import Struct

from contracts.errors import InvalidRequest
from rag.reading.catalogue import DOCUMENT_SUFFIXES
from rag.storage.checks import checked_filename

Stamp = tuple[int, int, int, int]
_TRIES = 3
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""Since it was listed, or a link that leads nowhere."""


class FolderUnusable(Exception):
    """The folder is not there, or may not be read. The message says so."""


class Entry(Struct, frozen=True, kw_only=True):
    """A file; `filename` is its path relative to the folder, with `/`."""

    path: Path
    filename: str
    bytes: int
    updated_at: datetime
    stamp: Stamp


class Scan(Struct, frozen=True):
    """Documents by filename, and how many files of other kinds there are, by their endings. `folder` is the number
    of its disk, and its own on it."""

    entries: Mapping[str, Entry]
    left_out: Mapping[str, int]
    folder: tuple[int, int] = (0, 0)

    @property
    def stamps(self) -> Mapping[str, Stamp]:
        return {name: entry.stamp for name, entry in self.entries.items()}


def scan(folder: Path) -> Scan:
    """Raises FolderUnusable; what cannot be looked at inside of it counts as such too, so that documents do not
    leave a store because a folder could not be read."""
    try:
        home = folder.resolve(strict=True)
        status = home.stat()
        found = sorted(_walk(home))
    except OSError as error:
        raise FolderUnusable(f"The folder {folder} cannot be read: {error.strerror or error}.") from error
    entries: dict[str, Entry] = {}
    left_out: Counter[str] = Counter()
    for path in found:
        if path.suffix.lower() not in DOCUMENT_SUFFIXES:
            left_out[path.suffix.lower() or "no ending"] += 1
            continue
        filename = _name(path.relative_to(home))
        try:
            if stat.S_ISREG(path.stat().st_mode):
                entries[filename] = entry_of(path, filename)
        except OSError as error:
            if error.errno not in _GONE:
                raise FolderUnusable(f"{path} cannot be looked at: {error.strerror or error}.") from error
    return Scan(entries, left_out, (status.st_dev, status.st_ino))


def entry_of(path: Path, filename: str) -> Entry:
    """Raises OSError."""
    status = path.stat()
    return Entry(
        path=path,
        filename=filename,
        bytes=status.st_size,
        updated_at=datetime.fromtimestamp(status.st_mtime, UTC),
        stamp=_stamp(status),
    )


def unfit(entry: Entry, most_bytes: int) -> str:
    """Why no store can take it, as advice; empty where one can."""
    if entry.bytes > most_bytes:
        return f"It has {entry.bytes:,} bytes, and the most is {most_bytes:,} (rag.max_file_bytes): split it."
    try:
        checked_filename(entry.filename)
    except InvalidRequest as error:
        return f"{error.message} Rename it."
    return ""


def read_whole(entry: Entry, most_bytes: int) -> bytes:
    """Its content, as it was at one moment. Raises OSError, also where it does not stop changing, or has grown."""
    for _ in range(_TRIES):
        with entry.path.open("rb") as file:
            before = _stamp(os.fstat(file.fileno()))
            content = file.read(most_bytes + 1)
            if _stamp(os.fstat(file.fileno())) == before and len(content) == before[0]:
                return content
    raise OSError(f"{entry.filename} is being written")


def _walk(home: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(home, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and (not path.is_symlink() or path.resolve().is_relative_to(home)):
                yield path


def _refuse(error: OSError) -> None:
    raise error


def _name(path: PurePath) -> str:
    return path.as_posix().encode("utf-8", "replace").decode()


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
