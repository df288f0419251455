"""Files of the registry are replaced whole, and its lock is had once."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from registry.disk import locked, make_folder, replace, write_new
from registry.faults import Busy


def test_who_has_the_old_file_open_reads_it_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace(path, b"old")
    with path.open("rb") as old:
        replace(path, b"the new one")
        assert old.read() == b"old"
    assert path.read_bytes() == b"the new one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "file.new").write_bytes(b"hal")
    replace(tmp_path / "file", b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_a_new_file_takes_no_others_place(tmp_path: Path) -> None:
    write_new(tmp_path / "file", b"first", 0o400)
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "file", b"second", 0o400)
    assert (tmp_path / "file").read_bytes() == b"first"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o400


def test_folders_are_for_the_owners_eyes(tmp_path: Path) -> None:
    make_folder(tmp_path / "registry")
    assert stat.S_IMODE((tmp_path / "registry").stat().st_mode) == 0o700


def test_who_does_not_get_the_lock_is_told(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path), pytest.raises(Busy, match="Try again"), locked(path, wait_s=0.02):
        raise AssertionError
    with locked(path, wait_s=0):
        pass
