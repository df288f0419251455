"""Folders of the registry are its owner's, and its lock is had once."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from registry.disk import locked, make_folder
from registry.faults import Busy


def test_folders_are_for_the_owners_eyes(tmp_path: Path) -> None:
    make_folder(tmp_path / "registry")
    assert stat.S_IMODE((tmp_path / "registry").stat().st_mode) == 0o700


def test_who_does_not_get_the_lock_is_told(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path), pytest.raises(Busy, match="Try again"), locked(path, wait_s=0.02):
        raise AssertionError
    with locked(path, wait_s=0):
        pass
