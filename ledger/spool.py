"""Usage events on disk before anything else happens to them: one `write`, then the answer may end.

A killed process loses nothing, because what was written is the kernel's. Every process appends to a segment of
its own, so workers and replicas on one disk never wait for each other. The non-obvious decision: a segment is
either being appended to or sealed for good, and only sealed ones are shipped and then deleted whole, so there is
no offset on disk that could disagree with the database. Shipping one twice is harmless.

A server appends and lets go of what it has sealed (`hand_over`); the ledger's writer, a process of its own, adopts
that as it adopts what a dead process left.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Literal

import orjson

from contracts.errors import LedgerUnavailable
from contracts.records import UsageEvent
from ledger.events import from_json, to_json
from ledger.segment import SUFFIX, Segment, Torn, line_of, read_lines, record_of
from system.files import sync_folder

REJECTED = "rejected.jsonl"
"""What the database will not have, and torn lines, with the reason; one JSON object a line."""

Fsync = Literal["flush", "always", "never"]
_SMALLEST_SEGMENT = 64 * 1024
_RESERVE_BYTES = 16 * 1024 * 1024  # some ten thousand events
_MOST_SEGMENTS = 64  # of one process: each is an open file


class Spool:
    """Implements `contracts.ports.EventLog`. `append` and `ready` may be called from any thread.

    `folder` is made where it does not exist. `adopts`: whether to take over the segments of processes that have let
    go of them, which is for those who ship. Everything else is called by one task, `Writer` or `Handover`.
    Raises OSError where the folder cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int = 1024**3,
        reserve_bytes: int = _RESERVE_BYTES,
        fsync: Fsync = "flush",
        segment_bytes: int | None = None,
        adopts: bool = True,
    ) -> None:
        self._folder = folder
        self._adopts = adopts
        self._max_bytes = max_bytes
        self._reserve_bytes = reserve_bytes
        self._fsync = fsync
        self._segment_bytes = segment_bytes or max(_SMALLEST_SEGMENT, max_bytes // _MOST_SEGMENTS)
        self._lock = Lock()
        self._sealed: list[Segment] = []
        self._others_bytes = 0
        self._closed = False
        self._broken = ""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._active: Segment | None = self._begin()
        self._survey()

    def append(self, event: UsageEvent) -> None:
        """Write it down. Durable against the death of this process when it returns.

        Raises LedgerUnavailable when the disk does not take it or there is no room. Beyond `max_bytes` there are
        `reserve_bytes` for requests that were let in while `ready` was true: their models have been paid.
        """
        line = line_of(to_json(event))
        with self._lock:
            if self._closed:
                raise LedgerUnavailable("The ledger is closed.")
            if self.bytes_in_folder + len(line) > self._max_bytes + self._reserve_bytes:
                raise LedgerUnavailable("Too many usage events wait for the database.", retry_after_s=5)
            try:
                self._write(line)
            except OSError as error:
                self._broken = str(error)
                raise LedgerUnavailable("The usage event cannot be written to disk.", retry_after_s=5) from error

    def ready(self) -> bool:
        """Whether `append` is expected to work. Memory only."""
        return not self._closed and not self._broken and self.bytes_in_folder < self._max_bytes

    @property
    def broken(self) -> str:
        """Why the disk took nothing the last time, or empty."""
        return self._broken

    @property
    def bytes_waiting(self) -> int:
        """Of this process: written, not yet in the database or handed over."""
        active = self._active
        own = active.size - active.committed if active is not None else 0
        return own + sum(segment.size - segment.committed for segment in self._sealed) if self._sealed else own

    @property
    def events_waiting(self) -> int:
        return sum(segment.events for segment in self._mine())

    @property
    def bytes_in_folder(self) -> int:
        """Of all processes, as of the last `tend` for the others."""
        return self.bytes_waiting + self._others_bytes

    def tend(self) -> None:
        """What has no place in a request: fsync, recovery from a full disk, orphans. Blocks on the disk."""
        if self._closed:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._recover()
            if self._fsync != "never" and sum(segment.sync() for segment in self._mine()):
                sync_folder(self._folder)
        except OSError as error:
            self._broken = str(error)
        with suppress(OSError):  # another's segment does not stop ours; it is looked at again next time
            self._survey()

    def seal(self) -> None:
        """End the segment being appended to, unless it is empty."""
        if self._active is None or not self._active.events:
            return
        with suppress(OSError):  # no room for a new segment: the old one goes on until there is
            self._roll()

    def hand_over(self) -> None:
        """Seal what was appended, and let go of all that is sealed: it is for who adopts it. Blocks on the disk."""
        if self._closed:
            return
        self.seal()
        with self._lock:
            sealed, self._sealed = self._sealed, []
            self._others_bytes += sum(segment.size for segment in sealed)
        for segment in sealed:
            with suppress(OSError):  # as in `tend`: the disk will tell the next event
                if self._fsync != "never":
                    segment.sync()
            segment.close()

    def sealed(self) -> Sequence[Segment]:
        """What can be shipped, oldest first."""
        return tuple(self._sealed)

    def committed(self, segment: Segment, offset: int, events: int) -> None:
        """Everything in `segment` before `offset`, `events` in number, is in the database or set aside."""
        segment.committed = offset
        segment.events = max(0, segment.events - events)

    def release(self, segment: Segment) -> None:
        """Delete `segment`, all of whose records are committed."""
        with self._lock:
            self._sealed.remove(segment)
        segment.remove()

    def set_aside(self, line: bytes, reason: str) -> None:
        """Keep what cannot be shipped in the file REJECTED, on disk when this returns. Raises OSError."""
        note = {
            "at": datetime.now(UTC),
            "reason": reason,
            "line": line.decode("utf-8", "backslashreplace"),
        }
        with (self._folder / REJECTED).open("ab") as file:
            file.write(orjson.dumps(note, option=orjson.OPT_APPEND_NEWLINE))
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        """Let go of all segments, once nobody ships them. What waits is for the next process that starts here."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for segment in self._mine():
                if segment.size == segment.committed and segment is self._active:
                    segment.remove()
                else:
                    segment.close()
            self._sealed, self._active = [], None

    def _mine(self) -> list[Segment]:
        active = self._active
        return [*self._sealed, active] if active else list(self._sealed)

    def _begin(self) -> Segment:
        segment = Segment.create(self._folder)
        if self._fsync == "always":
            sync_folder(self._folder)
        return segment

    def _write(self, line: bytes) -> None:
        """Under the lock. Raises OSError; then readers find no record in what may be left of `line`."""
        segment = self._active or self._begin()
        self._active = segment
        try:
            segment.append(line)
        except Torn:
            self._sealed.append(segment)
            self._active = None
            raise
        if self._fsync == "always":
            segment.sync()
        if segment.size >= self._segment_bytes:
            with suppress(OSError):  # the event is safe; the next one tries again to begin a new segment
                self._active = self._begin()
                self._sealed.append(segment)

    def _roll(self) -> None:
        """Put a new segment in place of the one being appended to. The new one is made outside the lock."""
        fresh = self._begin()
        with self._lock:
            if self._active is not None:
                self._sealed.append(self._active)
            self._active = fresh

    def _recover(self) -> None:
        """After a fault of the disk, or when the folder was taken away: see whether it takes records again."""
        active = self._active
        if active is None or not active.in_place():
            self._roll()
        if self._broken:
            with self._lock:
                self._try_disk()

    def _try_disk(self) -> None:
        if self._active is None:
            return
        try:
            if self._active.writable():
                self._broken = ""
        except Torn:
            self._sealed.append(self._active)
            self._active = None

    def _survey(self) -> None:
        """Adopt the segments that nobody holds, and see how much waits in the others."""
        mine = {segment.path for segment in self._mine()}
        others = 0
        for path in segments(self._folder):
            if path in mine:
                continue
            orphan = Segment.adopt(path) if self._adopts else None
            if orphan is not None:
                with self._lock:
                    self._sealed.append(orphan)
            else:
                with suppress(FileNotFoundError):
                    others += path.stat().st_size
        self._others_bytes = others


def segments(folder: Path) -> list[Path]:
    """All segments in `folder`, oldest first."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}"))


def waiting(folder: Path) -> Iterator[UsageEvent]:
    """Every whole event that is in the spool now, whoever owns it. Some may be in the database already."""
    for path in segments(folder):
        yield from events_in(read_lines(path))


def events_in(lines: Iterable[bytes]) -> Iterator[UsageEvent]:
    """The whole events in `lines` of a segment."""
    for line in lines:
        record, _ = record_of(line)
        if record is not None:
            with suppress(ValueError):  # of a later Weir; its writer sets it aside
                yield from_json(record)


def set_aside(folder: Path) -> int:
    """How many lines were set aside since the folder was made."""
    try:
        with (folder / REJECTED).open("rb") as file:
            return sum(1 for _ in file)
    except FileNotFoundError:
        return 0
