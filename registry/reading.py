"""What version a folder holds, by the hash of what is in it.

The non-obvious decision: a small artefact is read and hashed whenever it is asked for. A large one, such as a
student's weights, is read once in a process, and again where a file of it was touched since. So damage that leaves
no trace in a file's times, such as a rotten disk's, is found in large ones by the next process, not by this one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from contracts.artefacts import version_of_chunks

READ_AGAIN = 16 << 20
"""Bytes of an artefact that takes some 20 ms to hash: up to here it is done at every look."""
_YOUNG_NS = 1_000_000_000
"""What was written this lately may be written once more within the same tick of a file system's clock."""
_CHUNK = 1 << 20


class _Touched(NamedTuple):
    """What of a file is another whenever it was written to, or replaced."""

    name: str
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class Reader:
    """Reads versions' folders, and remembers what it found in the large ones. For any thread."""

    def __init__(self, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._clock_ns = clock_ns
        self._found: dict[Path, tuple[list[_Touched], str]] = {}

    def version(self, folder: Path) -> str | None:
        """The hash of what is there; None where it cannot be read."""
        try:
            files = _files(folder)
            known = self._known(folder, files)
            if known is not None:
                return known
            begun_ns = self._clock_ns()
            version = version_of_chunks({file.name: (file.size, chunks(folder / file.name)) for file in files})
        except (OSError, ValueError):
            return None
        settled = all(begun_ns - file.ctime_ns > _YOUNG_NS for file in files)
        if settled and _bytes(files) > READ_AGAIN:
            self._found[folder] = files, version
        return version

    def is_quick(self, folder: Path) -> bool:
        """Whether `version` would not read a large artefact."""
        try:
            files = _files(folder)
        except OSError:
            return True
        return _bytes(files) <= READ_AGAIN or self._known(folder, files) is not None

    def _known(self, folder: Path, files: list[_Touched]) -> str | None:
        before, version = self._found.get(folder, (None, None))
        return version if before == files else None


def chunks(path: Path) -> Iterator[bytes]:
    """The file's bytes, of which memory holds a few at a time."""
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _files(folder: Path) -> list[_Touched]:
    found = []
    for path in sorted(folder.iterdir()):
        status = path.stat()
        touched = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        found.append(_Touched(path.name, *touched))
    return found


def _bytes(files: list[_Touched]) -> int:
    return sum(file.size for file in files)
