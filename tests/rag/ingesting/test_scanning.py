"""Which files of a folder are documents, and when one is the same as before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rag.ingesting.scanning import FolderUnusable, entry_of, read_whole, scan


def test_documents_go_by_their_paths_and_other_files_are_counted(folder: Path) -> None:
    for name in ("b.md", "deep/er/a.TXT", "x.png", "y.png", "Makefile", ".hidden.md", ".git/c.md"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    found = scan(folder)
    assert list(found.entries) == ["b.md", "deep/er/a.TXT"]
    assert found.left_out == {".png": 2, "no ending": 1}
    assert found.entries["b.md"].bytes == 4


def test_links_to_what_lies_outside_are_left_out(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.md"
    secret.write_text("secret")
    (folder / "out.md").symlink_to(secret)
    (folder / "gone.md").symlink_to(folder / "nothing.md")
    (folder / "up").symlink_to(tmp_path)
    (folder / "real.md").write_text("text")
    (folder / "in.md").symlink_to(folder / "real.md")
    os.mkfifo(folder / "pipe.md")
    assert list(scan(folder).entries) == ["in.md", "real.md"]


def test_a_folder_that_is_a_link_is_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "a.md").write_text("a")
    (tmp_path / "link").symlink_to(folder)
    assert list(scan(tmp_path / "link").entries) == ["a.md"]


def test_a_folder_that_is_not_there_is_no_empty_folder(folder: Path) -> None:
    with pytest.raises(FolderUnusable, match="cannot be read"):
        scan(folder / "missing")
    (folder / "file.md").write_text("")
    with pytest.raises(FolderUnusable):
        scan(folder / "file.md")


def test_a_stamp_tells_a_change_that_kept_size_and_time(folder: Path) -> None:
    path = folder / "a.md"
    path.write_text("one")
    before = scan(folder).stamps
    assert scan(folder).stamps == before
    status = path.stat()
    path.write_text("two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert scan(folder).stamps != before


def test_a_file_is_read_whole(folder: Path) -> None:
    path = folder / "a.md"
    path.write_bytes(b"one\r\n")
    assert read_whole(entry_of(path, "a.md"), 5) == b"one\r\n"
