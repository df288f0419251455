"""The registry's folders, and the lock under which they are changed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from registry.faults import Busy
from system.files import try_lock

LOCK_WAIT_S = 10.0
"""Long enough for another's change on a slow disk: large files are copied and read without the lock."""
_LOCK_RETRY_S = 0.005


def make_folder(folder: Path) -> None:
    """For the owner's eyes only, as all of Weir's state."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)


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
