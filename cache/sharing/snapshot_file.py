"""The file under a snapshot: held by one process, written at the end, replaced whole.

The non-obvious decision: writes go to where the last whole record ends, not to where the file does. What a full
disk left of a record is written over by the next one.

For one thread at a time. Everything here blocks on the disk and raises OSError.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from cache.sharing.frames import frames, is_torn, make_private, write_all
from system.files import is_at, sync_folder

log = logging.getLogger("weir.cache")

_MAGIC = b"weirsnp1"
_COPY = 1024 * 1024


class SnapshotFile:
    """`size` counts bytes of whole records; None while nobody has looked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size: int | None = None
        self._fd = -1
        self._new_path = path.with_name(path.name + ".new")
        self._new_fd = -1
        self._new_size = 0

    def open(self) -> None:
        """Take hold of the file, which is made where there is none. BlockingIOError: another process has it."""
        if self._fd >= 0 and is_at(self._fd, self.path):
            return
        self.close()
        make_private(self.path.parent)
        self._fd = _held(self.path, os.O_CREAT)
        self._new_path.unlink(missing_ok=True)

    def payloads(self) -> Iterator[bytes]:
        """Every whole record; what follows the first damaged one is cut off, unless another process holds it."""
        try:
            self.open()
        except OSError:
            yield from self._payloads_of_others()
            return
        if self.size is not None:
            for payload, _ in frames(self._fd, len(_MAGIC), self.size):
                yield payload
            return
        fd, end = self._fd, os.fstat(self._fd).st_size
        at = len(_MAGIC) if os.pread(fd, len(_MAGIC), 0) == _MAGIC else 0
        if at:
            for payload, after in frames(fd, at, end):
                at = after
                yield payload
        if at < end:
            _say_cut(fd, at, end)
        self._begin_at(at)

    def append(self, data: bytes | bytearray) -> None:
        """Write framed records, all of them or none that counts."""
        size = self._ready()
        if os.fstat(self._fd).st_size > size:
            os.ftruncate(self._fd, size)
        write_all(self._fd, data, size)
        self.size = size + len(data)

    def forget(self) -> None:
        """Take everything out."""
        self.open()
        self._begin_at(0)

    def begin(self) -> int:
        """Make a new file beside this one; returns up to where this one need not be copied to it."""
        size = self._ready()
        self.abandon()
        self._new_path.unlink(missing_ok=True)
        self._new_fd = _held(self._new_path, os.O_CREAT | os.O_EXCL)
        write_all(self._new_fd, _MAGIC, 0)
        self._new_size = len(_MAGIC)
        return size

    def add(self, data: bytes | bytearray) -> None:
        """Write framed records to the new file."""
        write_all(self._new_fd, data, self._new_size)
        self._new_size += len(data)

    def replace(self, copied_to: int) -> None:
        """Put the new file, and behind it what was appended since `begin`, in the place of this one."""
        if self.size is None or not is_at(self._fd, self.path):
            raise OSError(errno.ESTALE, "the file was taken away")
        size = self.size
        while copied_to < size:
            part = os.pread(self._fd, min(_COPY, size - copied_to), copied_to)
            if not part:
                raise OSError(errno.EIO, "the file is shorter than what was written to it")
            self.add(part)
            copied_to += len(part)
        os.fsync(self._new_fd)
        self._new_path.replace(self.path)
        os.close(self._fd)
        self._fd, self._new_fd, self.size = self._new_fd, -1, self._new_size
        sync_folder(self.path.parent)

    def abandon(self) -> None:
        """Leave the new file, if there is one."""
        if self._new_fd >= 0:
            os.close(self._new_fd)
            self._new_fd = -1
            self._new_path.unlink(missing_ok=True)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self.size = -1, None

    def _ready(self) -> int:
        """Take hold, find the end where it is not known yet, and return it."""
        self.open()
        if self.size is None:
            for _ in self.payloads():
                pass
        assert self.size is not None  # noqa: S101 - a file that is held has been read to its end
        return self.size

    def _begin_at(self, at: int) -> None:
        """What stands before `at` is whole. What stands behind it goes."""
        if at < len(_MAGIC):
            os.ftruncate(self._fd, 0)
            write_all(self._fd, _MAGIC, 0)
            at = len(_MAGIC)
        elif os.fstat(self._fd).st_size > at:
            os.ftruncate(self._fd, at)
        self.size = at

    def _payloads_of_others(self) -> Iterator[bytes]:
        """Read only: it may still be written to, or belong to somebody else."""
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.pread(fd, len(_MAGIC), 0) == _MAGIC:
                for payload, _ in frames(fd, len(_MAGIC), os.fstat(fd).st_size):
                    yield payload
        finally:
            os.close(fd)


def _held(path: Path, flags: int) -> int:
    """The file at `path`, open and locked; the kernel unlocks it when this process dies."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.fchmod(fd, 0o600)
        except OSError:
            os.close(fd)
            raise
        if is_at(fd, path):
            return fd
        os.close(fd)  # another process replaced it in between


def _say_cut(fd: int, at: int, end: int) -> None:
    if at and is_torn(fd, at, end):
        log.info("the cache's snapshot ends in a torn record, as after a kill: %d bytes are left out", end - at)
    else:
        log.warning("the cache's snapshot is damaged at byte %d: %d bytes after it are lost", at, end - at)
