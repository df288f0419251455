"""One file of spooled records: a line each, the CRC-32 of the JSON in hex, a space, the JSON.

A segment belongs to the process that holds its flock. The kernel lets go of it when that process dies, however
it dies, so a segment whose lock can be had is an orphan, and whoever takes the lock adopts it.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from system.files import is_at, try_lock

SUFFIX = ".events"
_CHUNK = 256 * 1024
_BEGINNING = re.compile(rb"[0-9a-f]{8} \{")


def line_of(record: bytes) -> bytes:
    """`record` (JSON without line breaks) as it stands in a segment."""
    return b"%08x %s\n" % (crc32(record), record)


def record_of(line: bytes) -> tuple[bytes | None, bytes]:
    """The record in one line (without its line break), and what is damaged of the line; one of them may be empty.

    A torn line without a line break stands in one line with the record after it, which is found all the same.
    """
    record = line[9:]
    if line[:9] == b"%08x " % crc32(record):  # nearly always
        return record, b""
    for start in (match.start() for match in _BEGINNING.finditer(line, 1)):
        record = line[start + 9 :]
        if line[start : start + 9] == b"%08x " % crc32(record):
            return record, line[:start]
    return None, line


@dataclass(slots=True, eq=False)
class Segment:
    """An open, locked segment. `size` counts bytes of whole lines, `committed` those that are in the database."""

    path: Path
    fd: int
    size: int = 0
    events: int = 0
    committed: int = 0
    synced: int = 0

    @classmethod
    def create(cls, folder: Path) -> Segment:
        """A new, empty one. Raises OSError."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        while True:
            path = folder / f"{time.time_ns():020d}-{os.getpid()}{SUFFIX}"
            try:
                fd = os.open(path, flags, 0o600)
            except FileExistsError:
                continue
            # Another process may take the newborn for an orphan before it is locked; then begin anew.
            if try_lock(fd) and is_at(fd, path):
                return cls(path, fd)
            os.close(fd)

    @classmethod
    def adopt(cls, path: Path) -> Segment | None:
        """The orphan at `path`, or None where its owner lives or it is gone. Raises OSError."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        if not try_lock(fd) or not is_at(fd, path):
            os.close(fd)
            return None
        segment = cls(path, fd, size=os.fstat(fd).st_size)
        segment.events = sum(1 for _ in segment.lines())
        return segment

    def append(self, line: bytes) -> None:
        """Write one line, whole or not at all. Raises OSError, or Torn where a part of it cannot be taken back."""
        try:
            written = os.write(self.fd, line)
        except OSError as error:
            self._cut_back(error)
            raise
        if written < len(line):
            full = OSError(errno.ENOSPC, f"only {written} of {len(line)} bytes could be written")
            self._cut_back(full)
            raise full
        self.size += len(line)
        self.events += 1

    def writable(self) -> bool:
        """Whether there is room for more: tried for real, with line breaks, which readers skip. Raises Torn."""
        try:
            written = os.write(self.fd, b"\n" * _CHUNK)
            os.ftruncate(self.fd, self.size)
        except OSError as error:
            self._cut_back(error)
            return False
        return written == _CHUNK

    def sync(self) -> bool:
        """Force to disk what was appended before the call; False where there was nothing new. Raises OSError."""
        size = self.size
        if size == self.synced:
            return False
        os.fsync(self.fd)
        self.synced = size
        return True

    def lines(self) -> Iterator[tuple[bytes, int]]:
        """The lines not yet committed, each without its line break, with the offset where the next one begins.

        The last may be torn, which its checksum shows. Blank lines are left out.
        """
        return _lines(self.fd, self.committed, torn=True)

    def close(self) -> None:
        """Let go of it; what is in it is for the next one who adopts it."""
        os.close(self.fd)

    def remove(self) -> None:
        """Delete it. Closing comes last, so that nobody can adopt it in between."""
        with suppress(FileNotFoundError):
            self.path.unlink()
        os.close(self.fd)

    def in_place(self) -> bool:
        """Whether its name still leads to it."""
        return is_at(self.fd, self.path)

    def _cut_back(self, cause: OSError) -> None:
        try:
            os.ftruncate(self.fd, self.size)
        except OSError:
            raise Torn(*cause.args) from cause


class Torn(OSError):
    """Part of a line is left at the end of a segment: nothing may be appended to it any more."""


def read_lines(path: Path) -> Iterator[bytes]:
    """The whole lines at `path`, without their line breaks; none if it is gone. Its owner may be appending.

    A last line without a line break is left out: it is still being written, or it is torn.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        yield from lines_in(fd)
    finally:
        os.close(fd)


def lines_in(fd: int) -> Iterator[bytes]:
    """The same of an open file, which may have been deleted meanwhile."""
    for line, _ in _lines(fd, 0, torn=False):
        yield line


def _lines(fd: int, offset: int, *, torn: bool) -> Iterator[tuple[bytes, int]]:
    rest = b""
    read_to = end = offset
    while chunk := os.pread(fd, _CHUNK, read_to):
        read_to += len(chunk)
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            end += len(line) + 1
            if line:
                yield line, end
    if rest and torn:
        yield rest, end + len(rest)
