"""A file of numbered changes that several processes append to, and that counts their revisions.

The non-obvious decision: revisions are counted under the lock under which changes are appended, so there is one
order of all invalidations. The lock is a file of its own, since this one is replaced when it has grown.

The file: magic, epoch, the last revision and the last number given; then framed records. An epoch begins where the
file does.

For one thread at a time. Everything here blocks on the disk and raises OSError.
"""

from __future__ import annotations

import errno
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from cache.freshness import EVERYONE, EVERYTHING
from cache.sharing.changes import Change, Invalidated
from cache.sharing.frames import framed, frames, make_private, write_all
from cache.sharing.spread import FROM_THE_BEGINNING, Parcel, Position
from system.files import is_at, try_lock

_MAGIC = b"weirsprd"
_HEADER = struct.Struct("<8sQQQ")
_LOCK_WAIT_S = 1.0
_LOCK_RETRY_S = 0.002
_BEGINNING = Position.parse(FROM_THE_BEGINNING)


class _Told(Struct, array_like=True, gc=False):
    """A record in the file."""

    number: int
    node: str
    change: Change


class SharedLog:
    """`node` is who appends: nobody else has this name. Beyond `max_bytes` the older half of the file goes."""

    def __init__(self, folder: Path, node: str, *, max_bytes: int) -> None:
        self._path = folder / "changes"
        self._lock_path = folder / "changes.lock"
        self._node = node
        self._max_bytes = max_bytes
        self._fd = -1
        self._offset = _HEADER.size
        self._position: Position | None = None
        self._stat: tuple[int, ...] = ()
        self._decoder = msgspec.msgpack.Decoder(_Told)

    @property
    def position(self) -> str:
        return str(self._position or _BEGINNING)

    def begin_at(self, position: str) -> None:
        """What `position` means is said in `cache.sharing.spread.Spread.start`."""
        self._position = Position.parse(position) if position else None

    def changed(self) -> bool:
        """Whether there is something new. Costs one stat."""
        try:
            return _mark(self._path.stat()) != self._stat
        except OSError:
            return True

    def count(self, revision: int) -> int:
        """A revision above `revision` and all that were given."""
        with self._locked():
            epoch, given, number = self._header(revision)
            revision = max(revision, given) + 1
            self._write_header(epoch, revision, number)
            return revision

    def exchange(self, parcels: list[Parcel], revision: int, alone: bool) -> list[Change]:
        """Read what others told, then tell `parcels`. `revision` is the newest that is known here.

        Where something was missed, or revisions were given here `alone`, it is all stale.
        """
        with self._locked():
            epoch, given, number = self._header(revision)
            heard = self._heard(epoch, number)
            number = max(number, self._position.number if self._position else 0)
            revision = max(revision, given, *map(_revision, heard or ()))
            if heard is None or alone:
                revision += 1
                self._write_header(epoch, revision, number)
                self._position = Position(epoch, number)
                heard = [Invalidated(owner=EVERYONE, tag=EVERYTHING, revision=revision)]
            if parcels:
                self._tell(parcels, epoch, revision, number)
            self._stat = _mark(os.fstat(self._fd))
        return heard

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _heard(self, epoch: int, last: int) -> list[Change] | None:
        """What others told since the last time; None where some of it cannot be read any more."""
        size = os.fstat(self._fd).st_size
        if self._offset > size:
            self._offset = _HEADER.size
        position = self._position
        if position is not None and position.epoch != epoch and position != _BEGINNING:
            position = Position(epoch, -1)  # no change has the number that would have to follow
        number = position.number if position is not None else -1
        heard = []
        for payload, after in frames(self._fd, self._offset, size):
            self._offset = after
            with suppress(msgspec.DecodeError):  # of a later Weir: missed, as the next number says
                told = self._decoder.decode(payload)
                if position is None:
                    number = told.number - 1
                    position = Position(epoch, number)
                if told.number == number + 1:
                    number += 1
                    if told.node != self._node:
                        heard.append(told.change)
        if self._offset < size:  # what a killed process left, or damaged: nobody else writes now
            os.ftruncate(self._fd, self._offset)
        missed = position is not None and number < last
        self._position = Position(epoch, max(number, last))
        return None if missed else heard

    def _tell(self, parcels: list[Parcel], epoch: int, revision: int, number: int) -> None:
        data = bytearray()
        for parcel in parcels:
            number += 1
            change = parcel.change
            if isinstance(change, Invalidated) and not parcel.numbered:
                revision += 1
                change = Invalidated(owner=change.owner, tag=change.tag, revision=revision)
            data += framed(msgspec.msgpack.encode(_Told(number, self._node, change)))
        try:
            write_all(self._fd, data, self._offset)
            self._write_header(epoch, revision, number)
        except OSError:
            os.ftruncate(self._fd, self._offset)
            raise
        self._offset += len(data)
        self._position = Position(epoch, number)
        if self._offset > self._max_bytes:
            with suppress(OSError):  # it grows until there is room for a smaller one
                self._compact()

    def _compact(self) -> None:
        """Leave out the older half."""
        kept = bytearray(os.pread(self._fd, _HEADER.size, 0))
        for payload, after in frames(self._fd, _HEADER.size, self._offset):
            if after > self._offset - self._max_bytes // 2:
                kept += framed(payload)
        self._put(kept)
        self._offset = len(kept)

    def _put(self, data: bytes | bytearray) -> None:
        """Make a file of `data`, whole or not at all."""
        new_path = self._path.with_name(self._path.name + ".new")
        fd = os.open(new_path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            write_all(fd, data, 0)
            os.fsync(fd)
            new_path.replace(self._path)
        except OSError:
            os.close(fd)
            raise
        self._use(fd)

    def _use(self, fd: int) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._offset = fd, _HEADER.size

    def _header(self, revision: int) -> tuple[int, int, int]:
        """Epoch, last revision and last number in the file, which is begun, at `revision`, where there is none."""
        if self._fd < 0 or not is_at(self._fd, self._path):
            with suppress(FileNotFoundError):
                self._use(os.open(self._path, os.O_RDWR | os.O_CLOEXEC))
        if self._fd >= 0 and is_at(self._fd, self._path):
            header = os.pread(self._fd, _HEADER.size, 0)
            if len(header) == _HEADER.size and header.startswith(_MAGIC):
                _, epoch, given, number = _HEADER.unpack(header)
                return epoch, given, number
        epoch = time.time_ns()
        self._put(_HEADER.pack(_MAGIC, epoch, revision, 0))
        return epoch, revision, 0

    def _write_header(self, epoch: int, revision: int, number: int) -> None:
        write_all(self._fd, _HEADER.pack(_MAGIC, epoch, revision, number), 0)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        make_private(self._lock_path.parent)
        fd = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            until = time.monotonic() + _LOCK_WAIT_S
            while not try_lock(fd):
                if time.monotonic() > until:
                    raise OSError(errno.EAGAIN, "another worker does not let go of the lock")
                time.sleep(_LOCK_RETRY_S)
            yield
        finally:
            os.close(fd)


def _revision(change: Change) -> int:
    return change.revision if isinstance(change, Invalidated) else 0


def _mark(stat: os.stat_result) -> tuple[int, ...]:
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
