"""Files that are written whole or not at all, and the lock under which they are.

The non-obvious decision: what is replaced is synced before it takes its name, and the folder after it, so that a
name never leads to half a file, whether the process is killed or the power fails.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from registry.faults import Busy
from system.files import try_lock

LOCK_WAIT_S = 10.0
"""Long enough for another's `put` of the largest artefact on a slow disk."""
_LOCK_RETRY_S = 0.005


def make_folder(folder: Path) -> None:
    """For the owner's eyes only, as all of Weir's state."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def sync_folder(folder: Path) -> None:
    """Make names in the folder survive a power failure."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Write and sync a file that does not exist yet. Raises FileExistsError where it does."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)


def replace(path: Path, data: bytes) -> None:
    """Put `data` in the file's place. For one process at a time: call it under the lock."""
    new_path = path.with_name(f"{path.name}.new")
    new_path.unlink(missing_ok=True)
    write_new(new_path, data, 0o600)
    new_path.replace(path)
    sync_folder(path.parent)


@contextmanager
def locked(path: Path, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """Hold the file's lock, against other threads too. The kernel lets go of it when this process dies.

    Raises Busy where another has it for longer than `wait_s` seconds. It is not to be taken twice.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        until = time.monotonic() + wait_s
        while not try_lock(fd):
            if time.monotonic() > until:
                raise Busy(f"Another process holds {path} and does not let go. Try again when it is done.")
            time.sleep(_LOCK_RETRY_S)
        yield
    finally:
        os.close(fd)
