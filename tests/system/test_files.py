"""Locks and names of open files."""

from __future__ import annotations

import os
from pathlib import Path

from system.files import is_at, try_lock


def test_a_lock_is_had_once(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first, second = (os.open(path, os.O_RDWR | os.O_CREAT) for _ in range(2))
    assert try_lock(first)
    assert not try_lock(second)
    os.close(first)
    assert try_lock(second)
    os.close(second)


def test_a_name_may_lead_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "file"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    assert is_at(fd, path)
    path.unlink()
    assert not is_at(fd, path)
    path.write_text("another")
    assert not is_at(fd, path)
    os.close(fd)
