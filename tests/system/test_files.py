"""Locks and names of open files, and files that are replaced whole."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from system.files import is_at, is_closed, replace_file, try_lock, write_new


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


def test_who_has_the_old_file_open_reads_it_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")
    with path.open("rb") as old:
        replace_file(path, b"the new one")
        assert old.read() == b"old"
    assert path.read_bytes() == b"the new one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "file.new").write_bytes(b"hal")
    replace_file(tmp_path / "file", b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_a_new_file_takes_no_others_place(tmp_path: Path) -> None:
    write_new(tmp_path / "file", b"first", 0o400)
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "file", b"second", 0o400)
    assert (tmp_path / "file").read_bytes() == b"first"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o400


def test_a_file_is_for_its_owner_unless_others_may_read_it(tmp_path: Path) -> None:
    for mode, name in ((0o600, "own"), (0o644, "shared")):
        replace_file(tmp_path / name, b"", mode)
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode


def test_a_process_has_let_go_of_its_files_once_none_of_its_threads_is_left(tmp_path: Path) -> None:
    """A zombie has; one that lives, and one of whose threads has not ended, have not."""
    path = tmp_path / "file"
    program = (
        "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    )
    mine = os.open(path, os.O_RDWR | os.O_CREAT)
    with subprocess.Popen(
        [sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert not is_closed(process.pid)
        assert not try_lock(mine)
        process.kill()
        while not is_closed(process.pid):
            pass
        assert Path(f"/proc/{process.pid}").exists(), "nobody has asked for its status yet"
        assert try_lock(mine)
    assert is_closed(process.pid)
    os.close(mine)
