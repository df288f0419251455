"""A snapshot: what was appended is read again, whatever happened to the file in between."""

# ruff: noqa: ASYNC221, ASYNC240 - nobody else waits for these event loops

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache.sharing.changes import Change, Dropped, Invalidated, Kept, Quarantined
from cache.sharing.frames import framed
from cache.sharing.snapshot import Snapshot


def kept(number: int, size: int = 40) -> Kept:
    return Kept(
        key=number.to_bytes(16, "big"),
        body=b"b" * size,
        facts=b"[]",
        stored_at=1.0,
        expires_at=2.0,
        revision=0,
        owner="acme",
        writer="key_1",
        tags=(),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "worker-0.snapshot"


@asynccontextmanager
async def opened(path: Path, **options: Any) -> AsyncIterator[Snapshot]:
    """Without its task, so that it writes when it is told to."""
    snapshot = Snapshot(path, **options)
    try:
        yield snapshot
    finally:
        await snapshot.stop()


async def written(path: Path, *changes: Change) -> None:
    async with opened(path) as snapshot:
        for change in changes:
            snapshot.append(change)


async def read(path: Path) -> list[Change]:
    async with opened(path) as snapshot:
        return list(snapshot.read())


async def test_a_restart_reads_what_was_appended_in_order(path: Path) -> None:
    changes: list[Change] = [kept(1), Invalidated(owner="acme", tag="a", revision=1), kept(2), Dropped(key=b"k")]
    await written(path, *changes[:2])
    await written(path, *changes[2:])
    assert await read(path) == changes


async def test_nobody_else_may_read_the_answers(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.touch(mode=0o644)
    await written(path, kept(1))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    path.parent.rmdir()
    await written(path, kept(1))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_the_task_writes_an_invalidation_at_once(path: Path) -> None:
    snapshot = Snapshot(path, flush_s=3600)
    snapshot.start()
    snapshot.append(kept(1))
    snapshot.append(Invalidated(owner="acme", tag="a", revision=1))
    while not snapshot.written:  # noqa: ASYNC110 - a thread counts
        await asyncio.sleep(0.001)
    assert snapshot.written == 2
    await snapshot.stop()


@settings(max_examples=4, deadline=None)
@given(st.lists(st.builds(kept, st.integers(0, 9), st.integers(0, 30)), min_size=1, max_size=5))
async def test_a_file_cut_anywhere_is_read_up_to_there_and_goes_on(
    tmp_path_factory: pytest.TempPathFactory, changes: list[Change]
) -> None:
    path = tmp_path_factory.mktemp("cut") / "snapshot"
    await written(path, *changes)
    whole = path.read_bytes()
    marker = Quarantined(key=b"after")
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        async with opened(path) as snapshot:
            found = list(snapshot.read())
            assert found == changes[: len(found)]
            assert len(found) < len(changes)
            snapshot.append(marker)
        assert await read(path) == [*found, marker]


async def test_what_follows_damage_is_given_up_and_said(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await written(path, kept(1), kept(2), kept(3))
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    caplog.set_level(logging.INFO)
    async with opened(path) as snapshot:
        assert list(snapshot.read()) == [kept(1)]
        snapshot.append(kept(4))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "damaged at byte" in caplog.text
    assert await read(path) == [kept(1), kept(4)]


async def test_a_torn_end_is_no_warning(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await written(path, kept(1), kept(2))
    path.write_bytes(path.read_bytes()[:-3])
    caplog.set_level(logging.INFO)
    assert await read(path) == [kept(1)]
    assert [record.levelname for record in caplog.records] == ["INFO"]


@pytest.mark.parametrize("content", [b"", b"weir", b"something else entirely", b"weirsnp0" + framed(b"x")])
async def test_a_file_of_another_kind_is_begun_anew(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    async with opened(path) as snapshot:
        assert list(snapshot.read()) == []
        snapshot.append(kept(1))
    assert await read(path) == [kept(1)]


async def test_a_change_of_a_later_weir_is_passed_over(path: Path) -> None:
    await written(path, kept(1))
    with path.open("ab") as file:
        file.write(framed(msgspec.msgpack.encode(["moved", 1])))
    await written(path, kept(2))
    assert await read(path) == [kept(1), kept(2)]


async def test_appending_without_reading_keeps_what_is_there(path: Path) -> None:
    await written(path, kept(1))
    path.write_bytes(path.read_bytes() + b"torn")
    await written(path, kept(2))
    assert await read(path) == [kept(1), kept(2)]


async def test_nothing_is_written_while_it_is_read(path: Path) -> None:
    await written(path, kept(1), kept(2))
    async with opened(path) as snapshot:
        reading = snapshot.read()
        assert next(reading) == kept(1)
        snapshot.append(kept(3))
        assert not await snapshot.flush()
        assert list(reading) == [kept(2)]
        assert await snapshot.flush()
    assert await read(path) == [kept(1), kept(2), kept(3)]


async def test_the_buffer_has_a_bound_and_room_for_what_matters(path: Path) -> None:
    async with opened(path, buffer_bytes=8_000) as snapshot:
        for number in range(200):
            snapshot.append(kept(number))
        refused = snapshot.dropped
        assert 0 < refused < 200
        snapshot.append(Invalidated(owner="acme", tag="a", revision=1))
        assert snapshot.dropped == refused
    assert Invalidated(owner="acme", tag="a", revision=1) in await read(path)


async def test_a_lost_invalidation_empties_the_log_until_it_is_rewritten(path: Path) -> None:
    await written(path, kept(1))
    async with opened(path, buffer_bytes=1_000) as snapshot:
        assert list(snapshot.read()) == [kept(1)]
        for number in range(50):
            snapshot.append(Invalidated(owner="acme", tag=f"tag-{number}", revision=number + 1))
        assert snapshot.dropped
        assert snapshot.wants_rewrite(10**9)
        await snapshot.flush()
        assert kept(1) not in await read_only(path)
        assert await snapshot.rewrite([Invalidated(owner="acme", tag="all", revision=50), kept(2)])
        assert not snapshot.wants_rewrite(10**9)
    assert await read(path) == [Invalidated(owner="acme", tag="all", revision=50), kept(2)]


async def read_only(path: Path) -> list[Change]:
    """As another process reads it, whose lock it is not."""
    snapshot = Snapshot(path)
    return list(snapshot.read())


async def test_a_file_has_a_bound(path: Path) -> None:
    async with opened(path, max_bytes=2_000) as snapshot:
        for number in range(100):
            snapshot.append(kept(number))
            await snapshot.flush()
        snapshot.append(Dropped(key=b"k"))
        assert snapshot.bytes <= 2_000
        assert snapshot.dropped
    assert (await read(path))[-1] == Dropped(key=b"k")


async def test_a_rewrite_leaves_what_is_alive(path: Path) -> None:
    async with opened(path, rewrite_bytes=1_000) as snapshot:
        for _ in range(100):
            snapshot.append(kept(1))
        await snapshot.flush()
        before = snapshot.bytes
        assert snapshot.wants_rewrite(100)
        assert not snapshot.wants_rewrite(before)
        assert await snapshot.rewrite([kept(1)])
        assert snapshot.bytes == path.stat().st_size < before / 50
        assert not snapshot.wants_rewrite(100)
        snapshot.append(kept(2))
    assert await read(path) == [kept(1), kept(2)]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


async def test_what_is_appended_during_a_rewrite_follows_it(path: Path) -> None:
    async with opened(path, flush_s=0.001) as snapshot:
        snapshot.start()
        snapshot.append(kept(0))

        def alive() -> Iterator[Change]:
            for number in range(1, 3_000):
                yield kept(number)
                if number % 100 == 0:
                    snapshot.append(kept(number + 10_000))

        assert await snapshot.rewrite(alive())
        snapshot.append(kept(99_999))
    numbers = [int.from_bytes(change.key, "big") for change in await read(path) if isinstance(change, Kept)]
    later = [number + 10_000 for number in range(100, 3_000, 100)]
    assert numbers == [*range(1, 3_000), *later, 99_999]


async def test_a_rewrite_that_finds_no_room_changes_nothing(path: Path) -> None:
    async with opened(path) as snapshot:
        snapshot.append(kept(1))
        await snapshot.flush()
        (path.parent / (path.name + ".new")).mkdir()
        assert not await snapshot.rewrite([kept(2)])
        assert snapshot.failed == 1
        assert not snapshot.wants_rewrite(0)
        snapshot.append(kept(3))
        (path.parent / (path.name + ".new")).rmdir()
    assert await read(path) == [kept(1), kept(3)]


async def test_an_unusable_folder_is_said_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("not a folder")
    path = tmp_path / "cache" / "snapshot"
    async with opened(path) as snapshot:
        assert list(snapshot.read()) == []
        for number in range(3):
            snapshot.append(kept(number))
            assert not await snapshot.flush()
        assert snapshot.failed >= 3
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        (tmp_path / "cache").unlink()
        assert await snapshot.flush()
        assert snapshot.written == 3
    assert await read(path) == [kept(0), kept(1), kept(2)]


FULL_DISK = """
import asyncio, resource, signal, sys
from pathlib import Path
from cache.sharing.changes import Kept
from cache.sharing.snapshot import Snapshot

def kept(number):
    return Kept(key=bytes([number]), body=b"b" * 1000, facts=b"", stored_at=1.0, expires_at=2.0, revision=0,
                owner="acme", writer="", tags=())

async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    snapshot = Snapshot(Path(sys.argv[1]))
    snapshot.append(kept(0))
    assert await snapshot.flush()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, resource.RLIM_INFINITY))
    snapshot.append(kept(1))
    assert not await snapshot.flush()
    snapshot.append(kept(2))
    assert not await snapshot.flush()
    assert snapshot.failed == 2
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert await snapshot.flush()
    await snapshot.stop()

asyncio.run(main())
"""


async def test_a_full_disk_loses_nothing_that_fits_the_buffer(path: Path) -> None:
    """The limit on the size of a file cuts a write as a full disk does: part of a record is left."""
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [change.key[0] for change in await read(path) if isinstance(change, Kept)] == [0, 1, 2]


async def test_a_file_that_another_process_holds_is_read_and_left_alone(path: Path) -> None:
    await written(path, kept(1))
    fd = os.open(path, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    async with opened(path) as snapshot:
        assert list(snapshot.read()) == [kept(1)]
        snapshot.append(kept(3))
        assert not await snapshot.flush()
        os.pwrite(fd, path.read_bytes()[8:], path.stat().st_size)  # the other one appends, too
        os.close(fd)
        assert await snapshot.flush()
    assert await read(path) == [kept(1), kept(1), kept(3)]


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from cache.sharing.changes import Invalidated
from cache.sharing.snapshot import Snapshot

async def main():
    snapshot = Snapshot(Path(sys.argv[1]))
    snapshot.start()
    snapshot.append(Invalidated(owner="acme", tag="a", revision=7))
    await snapshot.flush()
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_what_was_flushed_survives_a_kill(path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False).returncode == -9
    assert await read(path) == [Invalidated(owner="acme", tag="a", revision=7)]
