"""What a server has spooled is let go, for whoever ships it; and only when it can be found there."""

from __future__ import annotations

import asyncio
import resource
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from contracts.records import UsageEvent
from ledger.events import from_json
from ledger.handover import Handover
from ledger.segment import record_of
from ledger.spool import Spool, segments

MakeEvent = Callable[..., UsageEvent]


@pytest.fixture
def spool(folder: Path) -> Iterator[Spool]:
    """A server's."""
    spool = Spool(folder, adopts=False)
    yield spool
    spool.close()


@pytest.fixture
async def handover(spool: Spool) -> AsyncIterator[Handover]:
    handover = Handover(spool, flush_s=0.001)
    handover.start()
    yield handover
    await handover.stop()


@pytest.fixture
def heir(folder: Path) -> Iterator[Spool]:
    heir = Spool(folder)
    yield heir
    heir.close()


def take(heir: Spool) -> list[str]:
    """The ids of what `heir` can adopt now; like a writer, it deletes what it has."""
    heir.tend()
    taken = []
    for segment in heir.sealed():
        records = [record_of(line)[0] for line, _ in segment.lines()]
        taken += [from_json(record).request_id for record in records if record]
        heir.committed(segment, segment.size, segment.events)
        heir.release(segment)
    return taken


async def taken(heir: Spool, number: int) -> list[str]:
    """What `heir` takes until they are `number`."""
    found = take(heir)
    async with asyncio.timeout(10):
        while len(found) < number:
            await asyncio.sleep(0.002)
            found += take(heir)
    return found


async def handed_over(spool: Spool) -> None:
    async with asyncio.timeout(10):
        while spool.events_waiting:  # noqa: ASYNC110 - there is nothing to wait on
            await asyncio.sleep(0.002)


@contextmanager
def no_folder(folder: Path) -> Iterator[None]:
    """None can be made: a file stands in its place."""
    folder.touch()
    yield
    folder.unlink()


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """There is room for one event in a file, but not for two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_each_turn_lets_go_of_what_was_appended(
    handover: Handover, spool: Spool, heir: Spool, make_event: MakeEvent
) -> None:
    for number in range(3):
        spool.append(make_event())
        assert await taken(heir, 1) == [f"r{number}"]


@pytest.mark.parametrize("started", [True, False])
async def test_stopping_lets_go_of_the_rest(
    spool: Spool, heir: Spool, make_event: MakeEvent, started: bool
) -> None:
    handover = Handover(spool, flush_s=3600)
    if started:
        handover.start()
        await asyncio.sleep(0.05)  # its first turn is over, most likely
    spool.append(make_event())
    await handover.stop()
    assert spool.events_waiting == 0
    assert take(heir) == ["r0"]


async def test_an_idle_server_makes_no_files(spool: Spool, folder: Path) -> None:
    before = segments(folder)
    await Handover(spool, flush_s=3600).stop()
    assert segments(folder) == before


async def test_while_nobody_takes_it_there_is_no_file_for_each_turn(
    handover: Handover, spool: Spool, folder: Path, make_event: MakeEvent
) -> None:
    """The database is down for hours, and each file is one that the writer holds open."""
    for _ in range(30):
        spool.append(make_event())
        await asyncio.sleep(0.003)
    assert len(segments(folder)) == 2, "what was handed over, and what is being appended to"
    await handover.stop()
    heir = Spool(folder)
    assert take(heir) == [f"r{number}" for number in range(30)]
    heir.close()


async def test_it_goes_on_when_what_it_handed_over_was_taken(
    handover: Handover, spool: Spool, heir: Spool, make_event: MakeEvent
) -> None:
    spool.append(make_event())
    await handed_over(spool)
    spool.append(make_event())
    spool.append(make_event())
    assert await taken(heir, 3) == ["r0", "r1", "r2"]


async def test_a_folder_that_is_taken_away_takes_nothing_with_it(
    spool: Spool, folder: Path, make_event: MakeEvent
) -> None:
    """Its files have no name any more, but are open here still."""
    spool.append(make_event())
    spool.seal()
    spool.append(make_event())
    shutil.rmtree(folder)
    spool.append(make_event(tags={"half": "a\ud800b"}))
    await Handover(spool, flush_s=3600).stop()
    heir = Spool(folder)
    assert sorted(take(heir)) == ["r0", "r1", "r2"]
    heir.close()


@pytest.mark.parametrize("fault", [no_folder, full_disk])
async def test_what_has_no_place_to_go_is_kept_until_there_is_one(
    spool: Spool, folder: Path, make_event: MakeEvent, fault: Callable[[Path], AbstractContextManager[None]]
) -> None:
    spool.append(make_event(tags={"filler": "x" * 500}))
    spool.append(make_event(tags={"filler": "x" * 500}))
    shutil.rmtree(folder)
    handover = Handover(spool, flush_s=3600)
    with fault(folder):
        await handover.stop()
        assert spool.events_waiting == 2
        assert not spool.ready()
    await handover.stop()
    assert spool.events_waiting == 0
    assert spool.ready()
    heir = Spool(folder)
    assert take(heir) == ["r0", "r1"]
    heir.close()


async def test_a_server_takes_nothing_of_the_dead_over(folder: Path, make_event: MakeEvent) -> None:
    """It would answer requests while it did, and the writer is there for it."""
    dead = Spool(folder)
    dead.append(make_event())
    dead.close()
    spool = Spool(folder, adopts=False)
    spool.append(make_event())
    spool.tend()
    assert (spool.events_waiting, spool.sealed()) == (1, ())
    await Handover(spool, flush_s=3600).stop()
    spool.close()
    heir = Spool(folder)
    assert take(heir) == ["r0", "r1"]
    heir.close()
