"""One spool file: whole lines or nothing, and one owner at a time."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.segment import Segment, Torn, line_of, read_lines, record_of

ROOT = Path(__file__).parents[2]
FIRST, SECOND = b'{"request_id":"first"}', b'{"request_id":"second"}'


@pytest.fixture
def segment(tmp_path: Path) -> Segment:
    return Segment.create(tmp_path)


def records(path: Path) -> list[bytes | None]:
    return [record_of(line)[0] for line in read_lines(path)]


def test_what_is_appended_is_read_back_in_order(segment: Segment) -> None:
    for record in (FIRST, SECOND):
        segment.append(line_of(record))
    assert records(segment.path) == [FIRST, SECOND]
    assert (segment.events, segment.size) == (2, segment.path.stat().st_size)
    assert [(record_of(line)[0], end) for line, end in segment.lines()] == [
        (FIRST, len(line_of(FIRST))),
        (SECOND, segment.size),
    ]
    segment.close()


def test_reading_goes_on_after_what_was_committed(segment: Segment) -> None:
    segment.append(line_of(FIRST))
    segment.committed = segment.size
    segment.append(line_of(SECOND))
    assert [record_of(line)[0] for line, _ in segment.lines()] == [SECOND]
    segment.close()


@given(st.binary(max_size=40).filter(lambda text: b"\n" not in text), st.integers(min_value=0), st.integers(1, 255))
def test_any_changed_byte_is_noticed(text: bytes, where: int, change: int) -> None:
    line = bytearray(line_of(b'{"x":' + text)[:-1])
    line[where % len(line)] ^= change
    assert record_of(bytes(line))[0] != b'{"x":' + text


def test_a_line_torn_at_any_byte_is_damage_and_swallows_nothing() -> None:
    """Whatever part of a line a crash left behind, the record written after it is found and the part is kept."""
    whole = line_of(FIRST)
    for cut in range(1, len(whole) - 1):
        assert record_of(whole[:cut]) == (None, whole[:cut])
        assert record_of(whole[:cut] + line_of(SECOND)[:-1]) == (SECOND, whole[:cut])
    assert record_of(whole[:-1]) == (FIRST, b""), "only the line break is missing"


def test_a_file_cut_at_any_byte_yields_the_whole_records_before(segment: Segment) -> None:
    segment.append(line_of(FIRST))
    segment.append(line_of(SECOND))
    segment.close()
    data, first = segment.path.read_bytes(), len(line_of(FIRST))
    for cut in range(len(data) + 1):
        segment.path.write_bytes(data[:cut])
        adopted = Segment.adopt(segment.path)
        assert adopted is not None
        found = [record_of(line) for line, _ in adopted.lines()]
        adopted.close()
        whole = [FIRST] * (cut >= first - 1) + [SECOND] * (cut >= len(data) - 1)
        assert [record for record, _ in found if record] == whole
        rest = data[first * (cut >= first) : cut]
        torn = rest and cut not in (first - 1, len(data) - 1, len(data))
        assert [damage for _, damage in found if damage] == ([rest] if torn else [])
        # A reader beside the owner leaves out a last line without its end: it may still be growing.
        assert records(segment.path) == [FIRST] * (cut >= first) + [SECOND] * (cut >= len(data))


def test_one_owner_at_a_time_and_the_next_adopts(segment: Segment) -> None:
    segment.append(line_of(FIRST))
    assert Segment.adopt(segment.path) is None
    segment.close()
    heir = Segment.adopt(segment.path)
    assert heir is not None
    assert (heir.events, heir.size) == (1, segment.size)
    assert Segment.adopt(segment.path) is None
    heir.remove()
    assert not segment.path.exists()
    assert Segment.adopt(segment.path) is None
    assert records(segment.path) == []


def test_segments_made_at_the_same_moment_do_not_meet(tmp_path: Path) -> None:
    made = [Segment.create(tmp_path) for _ in range(50)]
    assert len({segment.path for segment in made}) == 50
    assert sorted(segment.path for segment in made) == [segment.path for segment in made], "names sort by age"
    for segment in made:
        segment.remove()


def test_a_newborn_taken_for_an_orphan_is_not_written_to(tmp_path: Path) -> None:
    """Another process adopts and deletes whatever is not locked, also in the moment between making and locking."""
    over = Event()

    def adopt() -> None:
        while not over.is_set():
            for path in tmp_path.glob("*.events"):
                orphan = Segment.adopt(path)
                if orphan is not None:
                    orphan.remove()

    thieves = [Thread(target=adopt) for _ in range(2)]
    for thief in thieves:
        thief.start()
    lost = 0
    for _ in range(1500):
        mine = Segment.create(tmp_path)
        lost += not mine.in_place()
        mine.close()
    over.set()
    for thief in thieves:
        thief.join()
    assert lost == 0


def test_a_segment_whose_name_is_gone_says_so(segment: Segment) -> None:
    assert segment.in_place()
    segment.path.unlink()
    assert not segment.in_place()
    segment.path.touch()
    assert not segment.in_place(), "another file has taken its name"
    segment.close()


def test_sync_only_when_there_is_something_new(segment: Segment) -> None:
    assert not segment.sync()
    segment.append(line_of(FIRST))
    assert segment.sync()
    assert not segment.sync()
    segment.close()


def limited(script: str, folder: Path, limit: int) -> str:
    """Run `script` in a process whose files may grow to `limit` bytes: what a full disk looks like."""

    def limit_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, "-c", script, str(folder)]
    done = subprocess.run(command, preexec_fn=limit_files, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_write_cut_short_leaves_no_trace(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from threading import Event, Thread
from ledger.segment import Segment, line_of
segment = Segment.create(Path(sys.argv[1]))
line = line_of(b'{"x":"' + b"y" * 90 + b'"}')
written = 0
try:
    while True:
        segment.append(line)
        written += 1
except OSError as error:
    print(written, type(error).__name__, segment.path.stat().st_size == segment.size == written * len(line))
print(segment.writable())
"""
    assert limited(script, tmp_path, 1000).split() == ["9", "OSError", "True", "False"]


def test_a_part_that_cannot_be_taken_back_is_told_apart(segment: Segment) -> None:
    """A file that takes no bytes and cannot be cut either."""
    segment.append(line_of(FIRST))
    os.close(segment.fd)
    segment.fd = os.open("/dev/full", os.O_RDWR)
    with pytest.raises(Torn):
        segment.append(line_of(SECOND))
    with pytest.raises(Torn):
        segment.writable()
    segment.close()


def test_room_is_tried_for_real_and_leaves_nothing(segment: Segment) -> None:
    segment.append(line_of(FIRST))
    assert segment.writable()
    assert segment.path.stat().st_size == segment.size
    segment.append(line_of(SECOND))
    assert records(segment.path) == [FIRST, SECOND]
    segment.close()
