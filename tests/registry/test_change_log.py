"""The log of changes: what was done to it afterwards is found, and a crash loses nothing that was said done."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.change_log import GENESIS, ChangeLog, hash_of

Lines = list[bytes]


def filled(folder: Path, entries: int = 5) -> ChangeLog:
    log = ChangeLog(folder)
    for number in range(1, entries + 1):
        log.append({"by": "test", "what": "put", "name": f"name-{number}", "reason": "ü\n\u2028"})
    return log


@pytest.fixture
def log(tmp_path: Path) -> ChangeLog:
    return filled(tmp_path / "registry")


def lines_of(log: ChangeLog) -> Lines:
    return log.path.read_bytes().splitlines(keepends=True)


def messages(log: ChangeLog) -> list[str]:
    return [str(problem) for problem in log.verify()]


class TestWhole:
    def test_entries_are_numbered_dated_and_chained(self, log: ChangeLog) -> None:
        entries = list(log.entries())
        assert [entry.number for entry in entries] == [1, 2, 3, 4, 5]
        assert all(timedelta() <= datetime.now(UTC) - entry.at < timedelta(minutes=5) for entry in entries)
        hashes = [GENESIS, *(hash_of(line.rstrip(b"\n")) for line in lines_of(log))]
        assert [entry.previous for entry in entries] == hashes[:-1]
        assert log.verify() == []

    def test_another_process_goes_on_where_one_ended(self, log: ChangeLog) -> None:
        ChangeLog(log.path.parent).append({"by": "other", "what": "put"})
        assert [entry.number for entry in log.entries()] == [1, 2, 3, 4, 5, 6]
        assert log.verify() == []

    def test_entries_are_found_by_what_they_are_about(self, log: ChangeLog) -> None:
        assert [entry.number for entry in log.entries(name="name-3")] == [3]
        assert list(log.entries(kind="router")) == []

    def test_none_is_whole_too(self, tmp_path: Path) -> None:
        log = ChangeLog(tmp_path / "none")
        assert (list(log.entries()), log.verify()) == ([], [])
        assert not (tmp_path / "none").exists()


def changed(lines: Lines) -> Lines:
    return [*lines[:2], lines[2].replace(b"name-3", b"name-x"), *lines[3:]]


@pytest.mark.parametrize(
    ("edit", "found"),
    [
        (changed, ["line 4: does not follow the line before: entry 3 was changed"]),
        (lambda lines: lines[1:], ["line 1: is entry 2: entry 1 is missing before it"]),
        (lambda lines: [lines[0], *lines[3:]], ["line 2: is entry 4: entries 2 to 3 are missing before it"]),
        (
            lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
            [
                "line 2: is entry 3: entry 2 is missing before it",
                "line 3: is entry 2 after entry 3: lines were reordered or put in",
            ],
        ),
        (
            lambda lines: [*lines[:2], lines[0], *lines[2:]],
            ["line 3: is entry 1 after entry 2: lines were reordered or put in"],
        ),
        (lambda lines: lines[:3], ["the tail is cut: 5 entries were written, and the last is 3"]),
        (lambda _: [], ["the tail is cut: 5 entries were written, and the last is 0"]),
        (
            lambda lines: [*lines[:4], lines[4].replace(b"name-5", b"name-y")],
            ["entry 5 is not as it was written: its hash is not the head's"],
        ),
        (lambda lines: [lines[0], b"{}\n", *lines[2:]], ["line 2: cannot be read"]),
        (lambda lines: [*lines, b"\xff\n"], ["line 6: cannot be read"]),
        (lambda lines: [*lines, lines[0]], ["line 6: is entry 1 after entry 5: lines were reordered or put in"]),
    ],
    ids=[
        "changed",
        "first gone",
        "two gone",
        "swapped",
        "repeated",
        "cut",
        "emptied",
        "last",
        "garbled",
        "garbage",
        "more",
    ],
)
@pytest.mark.parametrize("goes_on", [False, True])
def test_what_was_done_to_it_is_found_and_stays_found(
    log: ChangeLog, edit: Callable[[Lines], Lines], found: list[str], goes_on: bool
) -> None:
    log.path.write_bytes(b"".join(edit(lines_of(log))))
    if not goes_on:
        assert messages(log) == found
        return
    for _ in range(2):
        log.append({"by": "test", "what": "put"})
    assert messages(log)
    assert [entry.number for entry in log.entries()][-2:] == [6, 7]


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_byte_is_found(tmp_path: Path, data: st.DataObject) -> None:
    log = ChangeLog(tmp_path / "registry")
    if not log.path.exists():
        filled(log.path.parent)
    content = log.path.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[at]))
    log.path.write_bytes(content[:at] + bytes([byte]) + content[at + 1 :])
    assert log.verify()
    log.path.write_bytes(content)
    assert not log.verify()


class TestAfterACrash:
    def test_a_torn_line_is_cut_off_and_said(self, log: ChangeLog, caplog: pytest.LogCaptureFixture) -> None:
        whole = log.path.read_bytes()
        log.path.write_bytes(whole + b'{"number":6,"at":"20')
        assert messages(log) == ["line 6: is torn, as after a crash; the next change mends it"]
        with caplog.at_level(logging.WARNING):
            log.append({"by": "test", "what": "put"})
        assert "20 bytes are cut off" in caplog.text
        assert [entry.what for entry in log.entries()][5:] == ["mended", "put"]
        assert [entry.evidence for entry in log.entries()][5] == {"cut_bytes": 20}
        assert log.path.read_bytes().startswith(whole)
        assert log.verify() == []

    def test_a_whole_line_that_the_head_does_not_know_counts(self, log: ChangeLog) -> None:
        head = log.head_path.read_bytes()
        log.append({"by": "test", "what": "point", "aliases": {"production": "x"}})
        log.head_path.write_bytes(head)
        assert log.verify() == []
        assert log.taken_up().moved == 6
        log.append({"by": "test", "what": "put"})
        assert [entry.number for entry in log.entries()] == [1, 2, 3, 4, 5, 6, 7]
        assert log.verify() == []

    def test_a_cut_within_the_last_known_line_is_no_crash(self, log: ChangeLog) -> None:
        log.path.write_bytes(log.path.read_bytes()[:-9])
        found = ["line 5: cannot be read", "entry 5 is not as it was written: its hash is not the head's"]
        assert messages(log) == found
        log.append({"by": "test", "what": "put"})
        assert messages(log) == ["line 5: cannot be read"]
        assert [entry.number for entry in log.entries()] == [1, 2, 3, 4, 6]

    @pytest.mark.parametrize("content", [None, b"", b"{", b"[1]", b"\xff", b'{"hash":"\xff"}'])
    def test_a_lost_head_is_made_anew_and_said(self, log: ChangeLog, content: bytes | None) -> None:
        log.head_path.unlink()
        if content is not None:
            log.head_path.write_bytes(content)
        assert len(messages(log)) == 1
        assert "a cut tail would not be seen" in messages(log)[0]
        log.append({"by": "test", "what": "put"})
        assert [entry.what for entry in log.entries()][5:] == ["mended", "put"]
        assert [entry.number for entry in log.entries()][5:] == [6, 7]
        assert log.verify() == []

    def test_a_lost_log_is_not_begun_anew_unseen(self, log: ChangeLog) -> None:
        log.path.unlink()
        log.append({"by": "test", "what": "put"})
        assert messages(log) == ["line 1: is entry 6: entries 1 to 5 are missing before it"]
