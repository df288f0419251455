"""Changes on disk: taken up once each, never half-written, and the old configuration stays where the new is bad."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from router.config.load import ConfigError, Loaded, load
from router.config.watch import Watch

CONFIG = """\
upstreams: {u: {kind: scripted}}
models: {m: {upstream: u, price: {input: 1, output: 2}}}
prompts: {p: {file: p.txt}}
breaker: {failures: %s}
tenants: {}
"""


class Story:
    """A configuration on disk, the watch over it, and what the watch has told so far."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "weir.yaml"
        self.prompt = folder / "p.txt"
        self.told: list[Loaded | Exception] = []
        self.unfit: set[int] = set()
        self._heard = asyncio.Event()
        self.prompt.write_text("one", encoding="utf-8")
        self.failures(1)
        self.watch = Watch(
            self.path, load(self.path), every_s=0.01, on_change=self._change, on_problem=self._note, environ={}
        )

    def failures(self, count: int) -> None:
        self.path.write_text(CONFIG % count, encoding="utf-8")

    async def _change(self, loaded: Loaded) -> None:
        if loaded.config.breaker.failures in self.unfit:
            raise RuntimeError("no such price")
        self._note(loaded)

    def _note(self, what: Loaded | Exception) -> None:
        self.told.append(what)
        self._heard.set()

    async def next(self) -> Loaded | Exception:
        async with asyncio.timeout(20):
            await self._heard.wait()
        self._heard.clear()
        return self.told[-1]

    async def nothing_more(self, told: int) -> None:
        """Several further looks tell nothing."""
        assert await self.watch.check_now() in ("unchanged", "refused")
        await asyncio.sleep(0.1)
        assert len([what for what in self.told if isinstance(what, Loaded)]) == told


@asynccontextmanager
async def watching(folder: Path) -> AsyncIterator[Story]:
    story = Story(folder)
    story.watch.start()
    try:
        yield story
    finally:
        await story.watch.stop()


def failures_of(what: Loaded | Exception) -> int:
    assert isinstance(what, Loaded), what
    return what.config.breaker.failures


async def test_a_change_is_taken_up_once(tmp_path: Path) -> None:
    async with watching(tmp_path) as story:
        story.failures(7)
        assert failures_of(await story.next()) == 7
        await story.nothing_more(told=1)


async def test_so_is_one_in_a_file_that_it_names(tmp_path: Path) -> None:
    async with watching(tmp_path) as story:
        before = load(story.path, {}).digest
        story.prompt.write_text("two", encoding="utf-8")
        told = await story.next()
        assert isinstance(told, Loaded)
        assert told.digest != before


async def test_one_in_a_file_that_it_only_names_since_a_change(tmp_path: Path) -> None:
    async with watching(tmp_path) as story:
        other = tmp_path / "q.txt"
        other.write_text("three", encoding="utf-8")
        story.path.write_text((CONFIG % 1).replace("p.txt", "q.txt"), encoding="utf-8")
        await story.next()
        other.write_text("four!", encoding="utf-8")
        await story.next()
        assert len(story.told) == 2


async def test_editors_that_write_by_rename(tmp_path: Path) -> None:
    async with watching(tmp_path) as story:
        for count in (2, 3):
            new = tmp_path / ".weir.yaml.swp"
            new.write_text(CONFIG % count, encoding="utf-8")
            new.rename(story.path)
            assert failures_of(await story.next()) == count


async def test_folders_that_are_swapped_by_a_symbolic_link(tmp_path: Path) -> None:
    for count in (1, 2):
        folder = tmp_path / f"v{count}"
        folder.mkdir()
        (folder / "weir.yaml").write_text(CONFIG % count, encoding="utf-8")
        (folder / "p.txt").write_text("one", encoding="utf-8")
    current, future = tmp_path / "current", tmp_path / "future"
    current.symlink_to("v1")
    told: asyncio.Queue[Loaded] = asyncio.Queue()
    path = current / "weir.yaml"
    watch = Watch(path, load(path), every_s=0.01, on_change=told.put, on_problem=pytest.fail, environ={})
    watch.start()
    try:
        future.symlink_to("v2")
        future.rename(current)
        async with asyncio.timeout(20):
            assert failures_of(await told.get()) == 2
    finally:
        await watch.stop()


async def test_touching_a_file_changes_nothing(tmp_path: Path) -> None:
    async with watching(tmp_path) as story:
        os.utime(story.path, ns=(1, 1))
        await story.nothing_more(told=0)
        assert story.told == []


async def test_a_bad_file_is_told_once_and_the_next_good_one_is_taken(tmp_path: Path) -> None:
    async with watching(tmp_path) as story:
        story.path.write_text("upstreams: [", encoding="utf-8")
        assert isinstance(await story.next(), ConfigError)
        await asyncio.sleep(0.1)
        assert len(story.told) == 1
        story.failures(3)
        assert failures_of(await story.next()) == 3
        assert len(story.told) == 2


async def test_a_file_that_was_missing_is_noticed_when_it_comes(tmp_path: Path) -> None:
    async with watching(tmp_path) as story:
        story.path.write_text((CONFIG % 4).replace("p.txt", "late.txt"), encoding="utf-8")
        assert "late.txt" in str(await story.next())
        (tmp_path / "late.txt").write_text("here", encoding="utf-8")
        assert failures_of(await story.next()) == 4
        assert len(story.told) == 2


async def test_going_back_to_what_is_in_force_needs_no_change(tmp_path: Path) -> None:
    async with watching(tmp_path) as story:
        story.path.write_text("", encoding="utf-8")
        assert isinstance(await story.next(), ConfigError)
        story.failures(1)
        assert await story.watch.check_now() == "unchanged"
        assert len(story.told) == 1


async def test_a_configuration_that_cannot_be_put_in_force_is_a_problem(tmp_path: Path) -> None:
    async with watching(tmp_path) as story:
        story.unfit = {5}
        story.failures(5)
        assert str(await story.next()) == "no such price"
        assert await story.watch.check_now() == "refused"
        story.unfit = set()
        assert await story.watch.check_now() == "taken"
        assert failures_of(story.told[-1]) == 5


async def test_a_file_that_is_still_being_written_is_not_judged(tmp_path: Path) -> None:
    story = Story(tmp_path)
    writing = True

    async def write_on() -> None:
        size = 0
        while writing:
            size += 1
            story.path.write_text("upstreams: [" + " " * size, encoding="utf-8")
            await asyncio.sleep(0)
        story.failures(6)

    writer = asyncio.create_task(write_on())
    checking = asyncio.create_task(story.watch.check_now())
    await asyncio.sleep(0.2)
    assert not checking.done()
    writing = False
    await writer
    assert await checking == "taken"
    assert [failures_of(what) for what in story.told] == [6]


class TestByHand:
    async def test_check_now_says_what_came_of_it(self, tmp_path: Path) -> None:
        story = Story(tmp_path)
        assert await story.watch.check_now() == "unchanged"
        story.failures(2)
        assert await story.watch.check_now() == "taken"
        story.path.unlink()
        assert await story.watch.check_now() == "refused"
        assert await story.watch.check_now() == "refused"
        assert len(story.told) == 3

    async def test_it_sees_what_time_and_size_do_not_show(self, tmp_path: Path) -> None:
        story = Story(tmp_path)
        await story.watch.check_now()
        status = story.path.stat()
        story.failures(9)
        os.utime(story.path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert await story.watch.check_now() == "taken"

    async def test_check_soon_does_not_wait_for_the_next_look(self, tmp_path: Path) -> None:
        story = Story(tmp_path)
        told: asyncio.Queue[Loaded] = asyncio.Queue()
        loaded = load(story.path, {})
        watch = Watch(story.path, loaded, every_s=3600, on_change=told.put, on_problem=pytest.fail, environ={})
        watch.start()
        try:
            story.failures(8)
            watch.check_soon()
            async with asyncio.timeout(20):
                assert failures_of(await told.get()) == 8
        finally:
            await watch.stop()

    async def test_check_soon_tells_again_what_is_still_bad(self, tmp_path: Path) -> None:
        async with watching(tmp_path) as story:
            story.path.write_text("", encoding="utf-8")
            first = await story.next()
            story.watch.check_soon()
            assert str(await story.next()) == str(first)
            assert len(story.told) == 2

    async def test_a_watch_that_never_started_can_be_stopped(self, tmp_path: Path) -> None:
        await Story(tmp_path).watch.stop()
