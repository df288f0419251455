"""Where the socket is: in the state folder, or wherever a name is short enough and nobody else may look."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from encoder.address import LONGEST, socket_path
from encoder.card import EncoderFault


@pytest.fixture
def temporary(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, but for `tmp_path`, which is there already."""
    monkeypatch.setattr(tempfile, "tempdir", str(state))
    return state


def test_it_is_in_the_state_folder(state: Path) -> None:
    assert socket_path(state / "weir") == state.resolve() / "weir/encoder.sock"
    assert (state / "weir").is_dir()


def test_all_who_have_a_state_folder_too_deep_come_to_the_same(temporary: Path, tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    path = socket_path(deep)
    assert path == socket_path(deep)
    assert path != socket_path(tmp_path / ("y" * 100))
    assert path.is_relative_to(temporary)
    assert len(os.fsencode(path)) <= LONGEST
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_is_open_to_others_is_no_place_for_it(temporary: Path, tmp_path: Path) -> None:
    (temporary / f"weir-{os.getuid()}").mkdir(mode=0o755)
    with pytest.raises(EncoderFault, match=r"open to others.*remove it, or set TMPDIR"):
        socket_path(tmp_path / ("x" * 100))


def test_temporary_files_may_lie_too_deep_as_well(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (deep := temporary / ("x" * 100)).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with pytest.raises(EncoderFault, match="set TMPDIR to a shorter folder"):
        socket_path(deep)
