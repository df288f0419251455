"""What changed in the registry, when, by whom and why: JSON lines that are only ever appended to.

The non-obvious decision: every line has the hash of the line before it, byte for byte, and the hash of the last one
is kept beside the log (`log.head`) with its number. So a changed, removed or reordered line shows in the line after
it, and a cut tail in the head. That finds damage and quiet edits; who rewrites the log and its head together is
found only by comparing the head with a copy that was kept elsewhere.

A line is synced before the head is. What a crash leaves between the two is taken up by the next change: a whole
line counts, a torn one is cut off, and an entry says so. An append never hides what is missing before it: it goes
on from the head, whatever became of the lines.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from registry.disk import make_folder
from system.files import replace_file

LOG, HEAD = "log.jsonl", "log.head"
GENESIS = "0" * 32
"""What the first line has for the hash of the one before it."""
_HASH_BYTES = 16

log = logging.getLogger(__name__)


class Entry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change. `number` counts from 1; `previous` is the hash of the line before."""

    number: int
    at: datetime
    by: str
    what: str
    """put, point, drop, rollback, verdict, or mended, which is about the log itself."""
    kind: str = ""
    name: str = ""
    version: str = ""
    alias: str = ""
    before: str = ""
    """The version that the alias named until then."""
    reason: str = ""
    evidence: Mapping[str, Any] = {}
    aliases: Mapping[str, str] | None = None
    """Where an alias moved: all aliases of the name from then on."""
    previous: str


class Problem(Struct, frozen=True):
    """What `verify` found. `line` counts from 1; 0 is the head."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}" if self.line else self.message


class Head(Struct, frozen=True):
    """The last entry's number and hash; the log's size in bytes; the last entry that moved an alias."""

    number: int = 0
    hash: str = GENESIS
    size: int = 0
    moved: int = 0


class ChangeLog:
    """The log in `folder`. Reading takes no lock. Raises OSError where the disk does not do as asked."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOG
        self.head_path = folder / HEAD

    def append(self, entry: Mapping[str, Any]) -> Entry:
        """Write down a change, for good when this returns; `entry` has Entry's fields but number, at and previous.

        For one process at a time: call it under the registry's lock.
        """
        make_folder(self.path.parent)
        head = self.taken_up()
        written = Entry(number=head.number + 1, at=datetime.now(UTC), previous=head.hash, **entry)
        self._append(head, written)
        return written

    def taken_up(self) -> Head:
        """The head, once what a crash left behind it is part of the log or gone. For the holder of the lock."""
        head = self._kept_head()
        size = self._size()
        if head is None and not size:
            return Head()
        if head is None:
            head = self._head_of_lines()
            return self._append(head, _mended(head, {"head": "was missing or unreadable"}))
        if size <= head.size:
            return head
        return self._adopt(head)

    def entries(self, *, kind: str | None = None, name: str | None = None) -> Iterator[Entry]:
        """Oldest first, those about `kind` and `name` where given. What cannot be read is `verify`'s to tell."""
        for line, _ in self._lines():
            entry = _entry(line)
            if entry and (kind is None or entry.kind == kind) and (name is None or entry.name == name):
                yield entry

    def verify(self) -> list[Problem]:
        """What is wrong with the chain, in the order of the lines; empty where nothing is."""
        head = self._kept_head()  # before the lines, which may only grow meanwhile
        counted = Head() if head is None else head
        problems: list[Problem] = []
        before: str | None = GENESIS
        number, at_head = 0, GENESIS
        for at, (line, whole) in enumerate(self._lines(), 1):
            entry = _entry(line) if whole else None
            if entry is None:
                torn = not whole and number >= counted.number
                said = "is torn, as after a crash; the next change mends it" if torn else "cannot be read"
                problems.append(Problem(at, said))
                before, number = None, number + 1
                continue
            if entry.number <= number:
                said = f"is entry {entry.number} after entry {number}: lines were reordered or put in"
                problems.append(Problem(at, said))
                continue
            if entry.number > number + 1:
                problems.append(Problem(at, _missing(number + 1, entry.number)))
            elif before not in (None, entry.previous):
                problems.append(Problem(at, f"does not follow the line before: entry {number} was changed"))
            before, number = hash_of(line), entry.number
            if number == counted.number:
                at_head = before
        if head is None and number:
            said = f"{self.head_path} is missing or unreadable, so a cut tail would not be seen"
            problems.append(Problem(0, said))
        elif number < counted.number:
            said = f"the tail is cut: {counted.number} entries were written, and the last is {number}"
            problems.append(Problem(0, said))
        elif at_head != counted.hash:
            problems.append(
                Problem(0, f"entry {counted.number} is not as it was written: its hash is not the head's")
            )
        return problems

    def _append(self, head: Head, entry: Entry) -> Head:
        line = msgspec.json.encode(entry) + b"\n"
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            end = os.fstat(fd).st_size
            if end and os.pread(fd, 1, end - 1) != b"\n":
                line = b"\n" + line  # the rest of a line that was cut stays as it is found
            try:
                _write_all(fd, line, end)
                os.fsync(fd)
            except OSError:
                os.ftruncate(fd, end)
                raise
        finally:
            os.close(fd)
        moved = head.moved if entry.aliases is None else entry.number
        head = Head(entry.number, hash_of(line.strip(b"\n")), end + len(line), moved)
        self._keep(head)
        return head

    def _adopt(self, head: Head) -> Head:
        """Take up lines behind the head that follow it, and cut off a torn one."""
        with self.path.open("rb") as file:
            file.seek(head.size)
            tail = file.read()
        whole, newline, torn = tail.rpartition(b"\n")
        for line in whole.split(b"\n") if newline else ():
            entry = _entry(line)
            if entry is None or (entry.number, entry.previous) != (head.number + 1, head.hash):
                break  # nobody's who asked: `verify` tells
            moved = head.moved if entry.aliases is None else entry.number
            head = Head(entry.number, hash_of(line), head.size + len(line) + 1, moved)
        self._keep(head)
        if not torn:
            return head
        log.warning("the registry's log ends in a torn line, as after a crash: %d bytes are cut off", len(torn))
        os.truncate(self.path, self._size() - len(torn))
        return self._append(head, _mended(head, {"cut_bytes": len(torn)}))

    def _head_of_lines(self) -> Head:
        head = Head()
        for line, whole in self._lines():
            entry = _entry(line) if whole else None
            if entry is not None:
                moved = head.moved if entry.aliases is None else entry.number
                head = Head(entry.number, hash_of(line), moved=moved)
        return head

    def _lines(self) -> Iterator[tuple[bytes, bool]]:
        """Each line without its end, and whether it has one."""
        try:
            with self.path.open("rb") as file:
                for line in file:
                    yield line.removesuffix(b"\n"), line.endswith(b"\n")
        except FileNotFoundError:
            return

    def _kept_head(self) -> Head | None:
        try:
            return msgspec.json.decode(self.head_path.read_bytes(), type=Head)
        except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
            return None

    def _keep(self, head: Head) -> None:
        replace_file(self.head_path, msgspec.json.encode(head))

    def _size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0


def hash_of(line: bytes) -> str:
    """Of a line without its end: 32 hex digits of BLAKE2b."""
    return blake2b(line, digest_size=_HASH_BYTES).hexdigest()


def _entry(line: bytes) -> Entry | None:
    try:
        return msgspec.json.decode(line, type=Entry)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _mended(head: Head, evidence: Mapping[str, Any]) -> Entry:
    return Entry(
        number=head.number + 1,
        at=datetime.now(UTC),
        by="weir",
        what="mended",
        reason="as after a crash",
        evidence=evidence,
        previous=head.hash,
    )


def _missing(expected: int, number: int) -> str:
    missing = f"entry {expected} is" if number == expected + 1 else f"entries {expected} to {number - 1} are"
    return f"is entry {number}: {missing} missing before it"


def _write_all(fd: int, data: bytes, at: int) -> None:
    while data:
        written = os.pwrite(fd, data, at)
        data, at = data[written:], at + written
