"""Open files and their names: who holds one, does a name still lead to it; and files written whole or not at all.

The non-obvious decision: what is replaced is synced before it takes its name, and the folder after it, so that a
name never leads to half a file, whether the process is killed or the power fails.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def try_lock(fd: int) -> bool:
    """Take the file's lock; False where another process has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_closed(pid: int) -> bool:
    """Whether a process that was killed has let go of its files, and their locks: no thread of it is left that
    could still hold them. Where a system does not tell, it is taken to have."""
    try:
        stats = [(task / "stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return True
    return all(stat.rpartition(")")[2].split()[0] in "ZX" for stat in stats)


def is_at(fd: int, path: Path) -> bool:
    """Whether the name leads to the open file."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(fd)
    return (there.st_ino, there.st_dev) == (here.st_ino, here.st_dev)


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Put `data` in the file's place. For one process at a time: call it under a lock. `mode` is less the umask."""
    new_path = path.with_name(f"{path.name}.new")
    new_path.unlink(missing_ok=True)
    write_new(new_path, data, mode)
    new_path.replace(path)
    sync_folder(path.parent)


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Write and sync a file that does not exist yet. Raises FileExistsError where it does."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)


def sync_folder(folder: Path) -> None:
    """Make names in the folder survive a power failure."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
