"""Workers on one machine: what one invalidates is stale in all, also after restarts, damage and a full disk."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cache.freshness import EVERYONE, EVERYTHING
from cache.sharing.changes import Change, Dropped, Invalidated, Kept, Quarantined, Seen
from cache.sharing.files import FileSpread
from cache.sharing.spread import FROM_THE_BEGINNING, Outbox

QUICK_S = 0.005


class Node:
    """A worker: a spread, and what it heard."""

    def __init__(self, folder: Path, worker: str = "w", **options: Any) -> None:
        self.heard: list[Change] = []
        self.position = ""
        self.revision = 0
        self.spread = FileSpread(folder, worker, poll_s=QUICK_S, **options)

    def apply(self, change: Change) -> None:
        if isinstance(change, Seen):
            self.position, self.revision = change.position, max(self.revision, change.revision)
        else:
            self.heard.append(change)

    async def invalidate(self, tag: str) -> Invalidated:
        change = Invalidated(owner="acme", tag=tag, revision=await self.spread.next_revision())
        self.spread.publish(change)
        return change


@asynccontextmanager
async def node(folder: Path, position: str = "", revision: int = 0, **options: Any) -> AsyncIterator[Node]:
    node = Node(folder, **options)
    node.spread.start(node.apply, position=position, revision=revision)
    try:
        yield node
    finally:
        await node.spread.stop()


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - other tasks and threads make it true
            await asyncio.sleep(0.002)


def everything(change: Change) -> bool:
    return isinstance(change, Invalidated) and (change.owner, change.tag) == (EVERYONE, EVERYTHING)


async def test_others_hear_what_must_not_be_missed_and_nobody_hears_itself(tmp_path: Path) -> None:
    async with node(tmp_path) as one, node(tmp_path) as other:
        told: list[Change] = [await one.invalidate("a"), Dropped(key=b"k"), Quarantined(key=b"q")]
        for change in told[1:]:
            one.spread.publish(change)
        kept = Kept(
            key=b"k", body=b"", facts=b"", stored_at=0, expires_at=0, revision=0, owner="", writer="", tags=()
        )
        one.spread.publish(kept)
        await until(lambda: len(other.heard) == 3)
        assert other.heard == told
        back = await other.invalidate("b")
        await until(lambda: one.heard)
        assert one.heard == [back]
        assert (one.spread.sent, one.spread.received, one.spread.lost) == (3, 1, 0)


async def test_revisions_are_given_once(tmp_path: Path) -> None:
    async with node(tmp_path) as one, node(tmp_path) as other:
        given = await asyncio.gather(*(spread.next_revision() for spread in (one.spread, other.spread) * 20))
        assert sorted(given) == list(range(1, 41))


async def test_revisions_go_on_where_a_restarted_node_was(tmp_path: Path) -> None:
    async with node(tmp_path, revision=41) as one:
        assert await one.spread.next_revision() == 42
    async with node(tmp_path) as one:
        assert await one.spread.next_revision() == 43


async def test_a_restart_hears_what_was_told_meanwhile_and_no_more(tmp_path: Path) -> None:
    async with node(tmp_path) as one:
        await one.invalidate("a")
        async with node(tmp_path) as other:
            await until(lambda: other.heard)
        missed = await one.invalidate("b")
        await until(lambda: one.spread.sent == 2)
        async with node(tmp_path, position=other.position) as again:
            assert again.heard == [missed]


async def test_a_fresh_node_hears_all_that_is_there(tmp_path: Path) -> None:
    async with node(tmp_path) as one:
        told = [await one.invalidate("a"), await one.invalidate("b")]
    for position in ("", FROM_THE_BEGINNING):
        async with node(tmp_path, position=position) as fresh:
            assert fresh.heard == told
            assert fresh.revision == 2


async def test_the_file_stays_small_and_who_read_along_misses_nothing(tmp_path: Path) -> None:
    async with node(tmp_path, max_bytes=4_000) as one, node(tmp_path, max_bytes=4_000) as other:
        for number in range(300):
            await one.invalidate(f"tag-{number}")
            await until(lambda number=number: len(other.heard) == number + 1)
        assert (tmp_path / "changes").stat().st_size <= 4_100
        assert [change.revision for change in other.heard if isinstance(change, Invalidated)] == list(range(1, 301))


async def test_who_was_away_too_long_takes_all_for_stale(tmp_path: Path) -> None:
    async with node(tmp_path, max_bytes=4_000) as one:
        async with node(tmp_path, max_bytes=4_000) as other:
            await one.invalidate("a")
            await until(lambda: other.heard)
        for number in range(300):
            await one.invalidate(f"tag-{number}")
        await until(lambda: one.spread.sent == 301)
        for position in (other.position, FROM_THE_BEGINNING):
            async with node(tmp_path, position=position) as again:
                (change,) = again.heard
                assert everything(change)
                assert again.revision > 301
                heard = await one.invalidate("later")
                await until(lambda again=again: len(again.heard) == 2)
                assert again.heard[1] == heard
                assert heard.revision > again.heard[0].revision  # type: ignore[union-attr]


async def test_a_torn_record_is_cut_off_by_the_next_who_writes(tmp_path: Path) -> None:
    async with node(tmp_path) as one, node(tmp_path) as other:
        await one.invalidate("a")
        await until(lambda: other.heard)
        with (tmp_path / "changes").open("ab") as file:
            file.write(b"\x40\x00\x00\x00torn")
        told = await one.invalidate("b")
        await until(lambda: len(other.heard) == 2)
        assert other.heard[1] == told


async def test_damage_makes_who_had_not_read_it_stale(tmp_path: Path) -> None:
    path = tmp_path / "changes"
    async with node(tmp_path) as one:
        await one.invalidate("a")
        await one.invalidate("b")
        await until(lambda: one.spread.sent == 2)
        async with node(tmp_path, position=FROM_THE_BEGINNING) as reader:
            await until(lambda: len(reader.heard) == 2)
            fd = os.open(path, os.O_WRONLY)
            os.pwrite(fd, b"\xff", path.stat().st_size - 1)
            os.close(fd)
            async with node(tmp_path, position=FROM_THE_BEGINNING) as other:
                assert [everything(change) for change in other.heard] == [True]
            assert not any(everything(change) for change in reader.heard)
            told = await one.invalidate("c")
            await until(lambda: len(reader.heard) == 3)
            # On a busy machine it may have looked while the end was damaged; then all is stale to it too.
            assert reader.heard[2] == told or everything(reader.heard[2])


@pytest.mark.parametrize("instead", [None, b"", b"something else"])
async def test_a_lost_file_makes_all_stale_and_revisions_go_on(tmp_path: Path, instead: bytes | None) -> None:
    async with node(tmp_path) as one, node(tmp_path) as other:
        for _ in range(3):
            await one.invalidate("a")
        await until(lambda: len(other.heard) == 3)
        (tmp_path / "changes").unlink()
        if instead is not None:
            (tmp_path / "changes").write_bytes(instead)
        told = await one.invalidate("b")
        assert told.revision > 3
        await until(lambda: any(everything(change) for change in other.heard))
        again = await one.invalidate("c")
        await until(lambda: again in other.heard)


async def test_without_the_disk_the_node_counts_alone_and_is_stale_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "state"
    folder.write_text("not a folder")
    async with node(folder) as one:
        assert not one.spread.up
        alone = await one.invalidate("a")
        assert alone.revision == 1
        folder.unlink()
        await until(lambda: one.spread.sent == 1)
        assert one.spread.up
        assert [everything(change) for change in one.heard] == [True]
        async with node(folder) as other:
            (change,) = other.heard
            assert isinstance(change, Invalidated)
            assert change.tag == "a"
            assert change.revision > one.heard[0].revision > 1  # type: ignore[union-attr]
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


async def test_who_holds_the_lock_for_ever_stops_nobody(tmp_path: Path) -> None:
    async with node(tmp_path) as one:
        fd = os.open(tmp_path / "changes.lock", os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX)
        assert (await one.invalidate("a")).revision == 1
        assert not one.spread.up
        os.close(fd)
        await until(lambda: one.spread.sent)


async def test_files_and_folder_are_private(tmp_path: Path) -> None:
    async with node(tmp_path / "state"):
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()]
        assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert modes == [0o600, 0o600]


def kept(size: int) -> Kept:
    return Kept(
        key=b"k", body=b"b" * size, facts=b"", stored_at=0, expires_at=0, revision=0, owner="", writer="", tags=()
    )


def test_an_outbox_drops_answers_and_sums_up_the_rest() -> None:
    outbox = Outbox(most=3, max_bytes=1_000)
    assert outbox.put(kept(800))
    assert not outbox.put(kept(800))
    assert outbox.lost == 1
    for number in range(3):
        assert outbox.put(Dropped(key=bytes([number])))
    assert len(outbox) == 4
    assert outbox.put(Dropped(key=b"one too many"))
    (parcel,) = outbox.take(10, 10_000)
    assert everything(parcel.change)
    assert not parcel.numbered
    assert outbox.lost == 5
    assert outbox.put(kept(800))


def test_an_outbox_takes_back_what_must_be_told_in_order() -> None:
    outbox = Outbox()
    changes: list[Change] = [kept(1), Invalidated(owner="", tag="a", revision=1), Dropped(key=b"k")]
    for change in changes:
        outbox.put(change, numbered=True)
    first = outbox.take(2, 10_000)
    assert [parcel.change for parcel in first] == changes[:2]
    outbox.put_back(first)
    rest = outbox.take(10, 10_000)
    assert [parcel.change for parcel in rest] == changes[1:]
    assert not any(parcel.numbered for parcel in rest)
    assert outbox.lost == 1


def test_what_cannot_be_written_down_is_no_reason_to_stop() -> None:
    outbox = Outbox()
    assert outbox.put(Invalidated(owner="acme", tag="\ud800", revision=1))
    assert [everything(parcel.change) for parcel in outbox.take(9, 999)] == [True]
