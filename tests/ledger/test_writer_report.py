"""What a writer says of itself is believed while it is fresh, and only if it can be read."""

from __future__ import annotations

import time
from pathlib import Path

import orjson
import pytest

from ledger.writer_report import FRESH_S, REPORT, WriterReport, read_report, write_report


def test_what_is_written_is_read(tmp_path: Path) -> None:
    reports = [
        WriterReport(at=time.time(), database_up=up, events_waiting=1, written=2, rejected=3)
        for up in (True, False)
    ]
    for report in reports:
        write_report(tmp_path, report)
        assert read_report(tmp_path) == report
    assert [path.name for path in tmp_path.iterdir()] == [REPORT], "each takes the place of the one before"


@pytest.mark.parametrize("shift", [-2 * FRESH_S, 2 * FRESH_S])
def test_an_old_report_is_nobodys(tmp_path: Path, shift: float) -> None:
    """Nor is one of the future: the clock was put back, and it would stay fresh for as long."""
    write_report(tmp_path, WriterReport(at=time.time() + shift, database_up=True))
    assert read_report(tmp_path) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\x00",
        b'{"at": 1',
        b"null",
        b"[1]",
        b'"up"',
        b'{"of": "a later Weir"}',
        b'{"at": "now"}',
        b'{"at": null}',
    ],
)
def test_what_is_no_report_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / REPORT).write_bytes(content)
    assert read_report(tmp_path) is None


def test_a_fresh_one_with_more_in_it_is_none_too(tmp_path: Path) -> None:
    (tmp_path / REPORT).write_bytes(orjson.dumps({"at": time.time(), "mood": "good"}))
    assert read_report(tmp_path) is None


def test_where_there_is_none_there_is_none(tmp_path: Path) -> None:
    assert read_report(tmp_path) is None
    assert read_report(tmp_path / "nowhere") is None
    (tmp_path / REPORT).mkdir()
    assert read_report(tmp_path) is None


def test_a_folder_that_takes_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        write_report(tmp_path / "nowhere", WriterReport())
