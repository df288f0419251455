"""Events on disk: durable when `append` returns, bounded, shared by processes, and honest when the disk is not."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import orjson
import pytest

from contracts.errors import LedgerUnavailable
from contracts.records import UsageEvent
from ledger.segment import line_of
from ledger.spool import REJECTED, Fsync, Spool, segments, set_aside, waiting

ROOT = Path(__file__).parents[2]
MakeEvent = Callable[..., UsageEvent]

EVENTS = """
import sys
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from contracts.errors import LedgerUnavailable
from contracts.records import UsageEvent
from ledger.spool import Spool, waiting

def event(number, **changes):
    return UsageEvent(request_id=f"r{number}", at=datetime.now(UTC), tenant="acme", key_id="k", route="support",
                      endpoint="chat/completions", requested_model="support", **changes)

folder = Path(sys.argv[1])
"""


def ids(folder: Path) -> list[str]:
    return [event.request_id for event in waiting(folder)]


def test_an_event_is_on_disk_when_append_returns(spool: Spool, folder: Path, make_event: MakeEvent) -> None:
    event = make_event()
    spool.append(event)
    assert list(waiting(folder)) == [event]
    assert spool.events_waiting == 1
    assert spool.bytes_waiting == sum(path.stat().st_size for path in segments(folder))


@pytest.mark.parametrize("fsync", ["flush", "always", "never"])
def test_every_fsync_policy_keeps_the_same_events(tmp_path: Path, fsync: Fsync, make_event: MakeEvent) -> None:
    spool = Spool(tmp_path / "s", fsync=fsync, segment_bytes=600)
    for _ in range(5):
        spool.append(make_event())
        spool.tend()
    assert ids(tmp_path / "s") == [f"r{number}" for number in range(5)]
    assert spool.ready()
    spool.close()


def test_segments_roll_by_size_and_are_deleted_one_by_one(folder: Path, make_event: MakeEvent) -> None:
    spool = Spool(folder, segment_bytes=1500)
    for _ in range(6):
        spool.append(make_event())
    sealed = spool.sealed()
    assert len(sealed) >= 2
    assert ids(folder) == [f"r{number}" for number in range(6)]
    gone = sealed[0].events
    spool.committed(sealed[0], sealed[0].size, gone)
    spool.release(sealed[0])
    assert ids(folder) == [f"r{number}" for number in range(gone, 6)]
    assert spool.events_waiting == 6 - gone
    spool.close()


def test_sealing_ends_a_segment_that_holds_something(spool: Spool, make_event: MakeEvent) -> None:
    spool.seal()
    assert not spool.sealed(), "there is nothing to ship"
    spool.append(make_event())
    spool.seal()
    assert [segment.events for segment in spool.sealed()] == [1]
    spool.seal()
    assert len(spool.sealed()) == 1
    spool.append(make_event())
    assert len(spool.sealed()) == 1, "what is sealed is not appended to"


def test_beyond_its_bound_nothing_is_taken(tmp_path: Path, make_event: MakeEvent) -> None:
    folder = tmp_path / "s"
    spool = Spool(folder, max_bytes=3000, reserve_bytes=3000)
    taken = 0
    while spool.ready():
        spool.append(make_event())
        taken += 1
    assert 3000 <= spool.bytes_waiting < 5000
    with pytest.raises(LedgerUnavailable):
        while True:
            spool.append(make_event())  # of requests that were let in while it was ready
            taken += 1
    assert taken == len(ids(folder)) >= 4
    assert 5000 < spool.bytes_waiting <= 6000
    spool.seal()
    (segment,) = spool.sealed()
    spool.committed(segment, segment.size, segment.events)
    spool.release(segment)
    assert spool.ready()
    spool.append(make_event())
    spool.close()


def test_what_other_processes_wait_with_counts_too(folder: Path, make_event: MakeEvent) -> None:
    other = Spool(folder)
    for _ in range(4):
        other.append(make_event())
    spool = Spool(folder, max_bytes=other.bytes_waiting, reserve_bytes=0)
    assert not spool.ready()
    with pytest.raises(LedgerUnavailable):
        spool.append(make_event())
    other.close()
    spool.close()


def test_a_closed_spool_takes_nothing_and_leaves_what_waits(folder: Path, make_event: MakeEvent) -> None:
    spool = Spool(folder)
    spool.append(make_event())
    spool.close()
    spool.close()
    assert not spool.ready()
    with pytest.raises(LedgerUnavailable):
        spool.append(make_event())
    assert ids(folder) == ["r0"]
    empty = Spool(folder)
    assert empty.events_waiting == 1, "adopted"
    empty.close()
    assert len(segments(folder)) == 1, "an empty segment is not left behind"


def test_segments_of_the_living_are_left_alone_and_those_of_the_dead_adopted(
    folder: Path, make_event: MakeEvent
) -> None:
    one, two = Spool(folder), Spool(folder)
    one.append(make_event())
    two.tend()
    assert two.events_waiting == 0
    one.close()
    two.tend()
    assert two.events_waiting == 1
    assert [segment.events for segment in two.sealed()] == [1]
    two.close()


def test_threads_may_append_at_the_same_time(folder: Path, make_event: MakeEvent) -> None:
    spool = Spool(folder, segment_bytes=2000)
    events = [make_event() for _ in range(400)]

    def append(some: list[UsageEvent]) -> None:
        for event in some:
            spool.append(event)

    threads = [Thread(target=append, args=(events[part::4],)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ids(folder)) == sorted(event.request_id for event in events)
    spool.close()


def test_a_torn_end_of_a_dead_process_hides_nothing(folder: Path, make_event: MakeEvent) -> None:
    dead = Spool(folder)
    dead.append(make_event())
    dead.append(make_event())
    dead.close()
    (path,) = segments(folder)
    path.write_bytes(path.read_bytes()[:-7])
    heir = Spool(folder)
    heir.append(make_event())
    assert ids(folder) == ["r0", "r2"]
    heir.close()


def test_what_is_set_aside_is_kept_whole_with_its_reason(spool: Spool, folder: Path) -> None:
    assert set_aside(folder) == 0
    spool.set_aside(b'{"broken', "torn or corrupt")
    spool.set_aside(b"\xff\x00", "not text")
    notes = [orjson.loads(line) for line in (folder / REJECTED).read_bytes().splitlines()]
    assert [(note["line"], note["reason"]) for note in notes] == [
        ('{"broken', "torn or corrupt"),
        ("\\xff\x00", "not text"),
    ]
    assert set_aside(folder) == 2


def test_a_record_of_another_kind_is_passed_over_by_readers(folder: Path, make_event: MakeEvent) -> None:
    spool = Spool(folder)
    spool.append(make_event())
    spool.close()
    (path,) = segments(folder)
    path.write_bytes(line_of(b'{"kind":"from the future"}') + path.read_bytes())
    assert ids(folder) == ["r0"]


def test_a_folder_that_is_taken_away_is_made_again(spool: Spool, folder: Path, make_event: MakeEvent) -> None:
    spool.append(make_event())
    shutil.rmtree(folder)
    spool.append(make_event())
    spool.tend()
    spool.append(make_event())
    assert ids(folder) == ["r2"], "new events have a file that readers find"
    assert spool.events_waiting == 3, "and the others are still held open, for the writer"


def test_a_folder_that_cannot_be_used_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        Spool(tmp_path / "file" / "spool")


def test_half_a_character_does_not_stop_an_event(spool: Spool, folder: Path, make_event: MakeEvent) -> None:
    spool.append(make_event(tags={"half": "a\ud800b"}))
    (event,) = waiting(folder)
    assert event.tags == {"half": "a?b"}


def run(script: str, folder: Path, *, file_limit: int | None = None) -> str:
    """Run EVENTS and `script` in a process of its own, whose files may grow to `file_limit` bytes at first."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        if file_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, resource.RLIM_INFINITY))

    command = [sys.executable, "-c", EVENTS + script, str(folder)]
    done = subprocess.run(command, preexec_fn=limit, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_full_disk_refuses_events_loses_none_and_heals(folder: Path) -> None:
    script = """
import resource
spool = Spool(folder)
taken, refused = [], 0
for number in range(20):
    try:
        spool.append(event(number))
        taken.append(f"r{number}")
    except LedgerUnavailable:
        refused += 1
assert taken and refused, (taken, refused)
assert not spool.ready()
spool.tend()
assert not spool.ready(), "it is still full"
assert [e.request_id for e in waiting(folder)] == taken
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
spool.tend()
assert spool.ready(), spool.broken
spool.append(event(99))
assert [e.request_id for e in waiting(folder)] == [*taken, "r99"]
print(refused)
"""
    assert int(run(script, folder, file_limit=5000)) > 0


def test_a_segment_that_cannot_be_healed_is_left_behind(spool: Spool, folder: Path, make_event: MakeEvent) -> None:
    """Its file takes no more bytes and cannot be cut: the next event begins another."""
    spool.append(make_event())
    path = segments(folder)[0]
    fd = next(fd for fd in _open_files() if _target(fd) == str(path))
    kept, full = os.dup(fd), os.open("/dev/full", os.O_RDWR)
    os.dup2(full, fd)
    with pytest.raises(LedgerUnavailable):
        spool.append(make_event())
    os.dup2(kept, fd)
    for extra in (kept, full):
        os.close(extra)
    assert not spool.ready()
    spool.append(make_event())
    assert ids(folder) == ["r0", "r2"]
    assert len(segments(folder)) == 2
    spool.tend()
    assert spool.ready()


def test_sigkill_in_the_middle_of_appends_loses_nothing_that_was_acknowledged(folder: Path) -> None:
    script = """
spool = Spool(folder, segment_bytes=20_000)
for number in count():
    spool.append(event(number))
    print(f"r{number}", flush=True)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", EVENTS + script, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    acknowledged = []
    for line in child.stdout:
        if line.endswith("\n"):
            acknowledged.append(line.strip())
        if len(acknowledged) == 300:
            child.kill()
    child.wait()
    child.stdout.close()
    assert len(acknowledged) >= 300
    heir = Spool(folder)
    found = ids(folder)
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found))
    assert len(found) - len(acknowledged) <= 1, "at most the one being acknowledged"
    assert heir.events_waiting >= len(found)
    heir.close()


def _open_files() -> list[int]:
    return [int(link.name) for link in Path("/proc/self/fd").iterdir()]


def _target(fd: int) -> str:
    try:
        return str(Path(f"/proc/self/fd/{fd}").readlink())
    except FileNotFoundError:
        return ""
