"""Lines for learning: whole, each tenant's in a file of its own, bounded, and never at a request's cost."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.learning import notebook
from router.learning.notebook import Notebook, notebook_path

ROOT = Path(__file__).parents[3]
MUCH = 1 << 30
ODD = ["a/b", "../../etc/passwd", "..", ".", "a%2Fb", "a b", "café", "日本", "a\nb", "x.jsonl.old", "A", "a"]

WRITER = """
import sys
from pathlib import Path
from router.learning.notebook import Notebook
book = Notebook(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    line = {"by": sys.argv[2], "number": number, "text": "x" * (number % 7 * 1000)}
    book.note("acme", line, max_bytes=int(sys.argv[4]))
    if number % 3 == 0:
        book.flush()
book.flush()
assert (book.written, book.dropped) == (int(sys.argv[3]), 0), (book.written, book.dropped)
"""


def lines(state: Path, tenant: str = "acme") -> list[dict[str, object]]:
    """The older half first."""
    path = notebook_path(state, tenant)
    files = [file for file in (path.with_suffix(".jsonl.old"), path) if file.exists()]
    return [orjson.loads(line) for file in files for line in file.read_bytes().splitlines()]


def by_processes(state: Path, processes: int, each: int, max_bytes: int) -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(state), str(name), str(each), str(max_bytes)], cwd=ROOT)
        for name in range(processes)
    ]
    assert [process.wait(60) for process in started] == [0] * processes


def test_lines_of_several_processes_are_whole_and_all_there(tmp_path: Path) -> None:
    by_processes(tmp_path, 3, 300, MUCH)
    found = lines(tmp_path)
    for name in "012":
        assert [line["number"] for line in found if line["by"] == name] == list(range(300))


def test_several_processes_turn_one_page_and_lose_nothing_of_the_last_half(tmp_path: Path) -> None:
    by_processes(tmp_path, 3, 300, 400_000)
    found = lines(tmp_path)
    path = notebook_path(tmp_path, "acme")
    old = path.with_suffix(".jsonl.old").stat().st_size
    assert 150_000 < old <= 200_000  # a page that was turned twice would be all but empty
    assert path.stat().st_size <= 200_000
    for name in "012":
        numbers = [int(str(line["number"])) for line in found if line["by"] == name]
        assert numbers == list(range(300 - len(numbers), 300))


def test_what_was_made_old_while_its_lock_was_waited_for_stays_as_it_is(tmp_path: Path) -> None:
    path = notebook_path(tmp_path, "acme")
    old = path.with_suffix(".jsonl.old")
    path.parent.mkdir()
    path.write_bytes(b'{"number":1}\n')
    book = Notebook(tmp_path)
    book.note("acme", {"number": 2}, max_bytes=MUCH)
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        writer = Thread(target=book.flush)
        writer.start()
        until = time.monotonic() + 10
        while opened(path) < 2 and time.monotonic() < until:
            time.sleep(0.001)
        path.rename(old)
    writer.join()
    assert old.read_bytes() == b'{"number":1}\n'
    assert path.read_bytes() == b'{"number":2}\n'


def opened(path: Path) -> int:
    """How often this process has the file open, as far as the system tells."""
    status, found = path.stat(), 0
    for fd in range(256):
        with suppress(OSError):
            found += os.path.samestat(os.fstat(fd), status)
    return found


def test_what_is_kept_is_bounded_and_is_the_newest(tmp_path: Path) -> None:
    book = Notebook(tmp_path)
    for number in range(200):
        book.note("acme", {"number": number, "text": "x" * 80}, max_bytes=4000)
        book.flush()
        path = notebook_path(tmp_path, "acme")
        sizes = [file.stat().st_size for file in path.parent.iterdir()]
        assert sum(sizes) <= 4000
    numbers = [line["number"] for line in lines(tmp_path)]
    assert numbers == list(range(200 - len(numbers), 200))
    assert len(numbers) >= 15


def test_a_line_longer_than_all_that_may_be_kept_is_alone(tmp_path: Path) -> None:
    book = Notebook(tmp_path)
    for number in range(3):
        book.note("acme", {"number": number, "text": "x" * 500}, max_bytes=100)
        book.flush()
    assert [line["number"] for line in lines(tmp_path)] == [1, 2]


def test_tenants_with_odd_names_have_files_of_their_own_in_the_folder(tmp_path: Path) -> None:
    book = Notebook(tmp_path)
    for tenant in ODD:
        for number in range(3):
            book.note(tenant, {"tenant": tenant, "number": number}, max_bytes=200)
            book.flush()
    for tenant in ODD:
        assert {line["tenant"] for line in lines(tmp_path, tenant)} == {tenant}
        assert lines(tmp_path, tenant)[-1]["number"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["outcomes"]


@given(one=st.text(min_size=1, max_size=60), other=st.text(min_size=1, max_size=60))
@settings(max_examples=200, suppress_health_check=[HealthCheck.filter_too_much])
def test_no_two_names_share_a_file(one: str, other: str) -> None:
    files: dict[Path, str] = {}
    for tenant in {one, other}:
        try:
            path = notebook_path(Path("state"), tenant)
        except UnicodeEncodeError:
            continue
        assert path.parent == Path("state/outcomes")
        for file in (path, path.with_suffix(".jsonl.old")):
            assert files.setdefault(file, tenant) == tenant


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    book = Notebook(tmp_path)
    book.note("acme", {}, max_bytes=MUCH)
    book.flush()
    path = notebook_path(tmp_path, "acme")
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_half_a_line_of_a_killed_process_takes_no_other_with_it(tmp_path: Path) -> None:
    path = notebook_path(tmp_path, "acme")
    path.parent.mkdir()
    path.write_bytes(b'{"number": 1}\n{"num')
    book = Notebook(tmp_path)
    book.note("acme", {"number": 3}, max_bytes=MUCH)
    book.flush()
    assert path.read_bytes().splitlines() == [b'{"number": 1}', b'{"num', b'{"number":3}']


def test_a_disk_that_fills_up_half_way_is_counted_and_leaves_no_half_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Notebook(tmp_path)
    book.note("acme", {"number": 1}, max_bytes=MUCH)
    book.flush()
    write, room = os.write, [5, 0]

    def full(fd: int, data: memoryview) -> int:
        left = room.pop(0)
        if not left:
            raise OSError(28, "No space left on device")
        return write(fd, data[:left])

    monkeypatch.setattr(os, "write", full)
    book.note("acme", {"number": 2}, max_bytes=MUCH)
    book.flush()
    monkeypatch.undo()
    assert (book.written, book.dropped) == (1, 1)
    book.note("acme", {"number": 3}, max_bytes=MUCH)
    book.flush()
    assert lines(tmp_path) == [{"number": 1}, {"number": 3}]


def test_a_folder_that_cannot_be_made_is_counted_and_hinders_nobody(tmp_path: Path) -> None:
    (tmp_path / "outcomes").write_text("a file")
    book = Notebook(tmp_path)
    for _ in range(3):
        book.note("acme", {}, max_bytes=MUCH)
    book.flush()
    assert (book.written, book.dropped) == (0, 3)
    (tmp_path / "outcomes").unlink()
    book.note("acme", {}, max_bytes=MUCH)
    book.flush()
    assert (book.written, book.dropped) == (1, 3)


def test_a_name_too_long_for_the_disk_costs_the_others_nothing(tmp_path: Path) -> None:
    book = Notebook(tmp_path)
    book.note("x" * 300, {}, max_bytes=MUCH)
    book.note("acme", {"number": 1}, max_bytes=MUCH)
    book.flush()
    assert (book.written, book.dropped) == (1, 1)
    assert lines(tmp_path) == [{"number": 1}]


def test_more_than_may_wait_is_dropped_and_counted(tmp_path: Path) -> None:
    book = Notebook(tmp_path)
    most = notebook._MOST_WAITING
    for number in range(most + 7):
        book.note("acme", {"number": number}, max_bytes=MUCH)
    assert book.dropped == 7
    book.flush()
    assert [line["number"] for line in lines(tmp_path)] == list(range(most))
    assert (book.written, book.dropped) == (most, 7)


async def test_lines_are_written_by_themselves_and_the_last_ones_at_the_end(tmp_path: Path) -> None:
    book = Notebook(tmp_path)
    book.start()
    book.note("acme", {"number": 1}, max_bytes=MUCH)
    async with asyncio.timeout(10):
        while not book.written:  # noqa: ASYNC110 - it is written in a thread
            await asyncio.sleep(0.01)
    book.note("acme", {"number": 2}, max_bytes=MUCH)
    await book.stop()
    assert lines(tmp_path) == [{"number": 1}, {"number": 2}]


async def test_lines_noted_while_others_are_written_are_not_lost(tmp_path: Path) -> None:
    book = Notebook(tmp_path)
    book.start()
    for number in range(300):
        book.note("acme", {"number": number, "text": "x" * 1000}, max_bytes=MUCH)
        await asyncio.sleep(0.002)
    await book.stop()
    assert [line["number"] for line in lines(tmp_path)] == list(range(300))
    assert (book.written, book.dropped) == (300, 0)


async def test_one_that_never_started_writes_when_it_is_stopped(tmp_path: Path) -> None:
    book = Notebook(tmp_path)
    book.note("acme", {"number": 1}, max_bytes=MUCH)
    await book.stop()
    assert lines(tmp_path) == [{"number": 1}]
