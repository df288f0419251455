"""An event is found wherever it is on its way: in the spool of any process, or in the database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.errors import LedgerUnavailable
from contracts.records import UsageEvent
from ledger import doors
from ledger.database import Database
from ledger.doors import StoredEvents, find_waiting
from ledger.events import to_json
from ledger.segment import line_of
from ledger.spool import Spool
from ledger.writer import Writer

MakeEvent = Callable[..., UsageEvent]


@pytest.fixture
def nowhere() -> Database:
    return Database("postgresql://weir@127.0.0.1:9/weir")


async def test_what_another_process_has_just_spooled_is_found_without_the_database(
    folder: Path, make_event: MakeEvent, nowhere: Database
) -> None:
    ours, theirs = Spool(folder, adopts=False), Spool(folder, adopts=False)
    events = [make_event() for _ in range(3)]
    ours.append(events[0])
    theirs.append(events[1])
    archive = StoredEvents(nowhere, folder)
    assert [await archive.find(event.request_id) for event in events[:2]] == events[:2]
    with pytest.raises(LedgerUnavailable):
        await archive.find(events[2].request_id)
    theirs.hand_over()
    theirs.append(events[2])
    theirs.close()
    assert [await archive.find(event.request_id) for event in events] == events
    ours.close()
    await nowhere.close()


async def test_so_is_what_was_shipped(
    spool: Spool, folder: Path, database: Database, make_event: MakeEvent
) -> None:
    event = make_event()
    spool.append(event)
    await Writer(spool, database).flush()
    assert find_waiting(folder, event.request_id) is None
    archive = StoredEvents(database, folder)
    assert await archive.find(event.request_id) == event
    assert await archive.find("req_of_nobody") is None


def test_only_its_own_line_counts(folder: Path, make_event: MakeEvent) -> None:
    """Another event may mention its id; a torn line, or one of a later Weir, is no event."""
    event = make_event()
    spool = Spool(folder)
    spool.append(make_event(tags={"see": event.request_id}))
    assert find_waiting(folder, event.request_id) is None
    spool.append(event)
    spool.append(make_event(tags={"see": event.request_id}))
    (folder / "00000000000000000001-1.events").write_bytes(
        b'0000 {"request_id":"%s"\n' % event.request_id.encode()
        + line_of(b'{"request_id":"%s","cost":[]}' % event.request_id.encode())
    )
    assert find_waiting(folder, event.request_id) == event
    spool.close()


@pytest.mark.parametrize("shift", [-12, -5, -1, 0, 1])
def test_it_is_found_wherever_it_stands_in_its_file(folder: Path, make_event: MakeEvent, shift: int) -> None:
    """Files are read a piece at a time, and the border between two pieces may run through the id."""
    event = make_event(request_id="req_long")
    line = line_of(to_json(event))
    folder.mkdir()
    blanks = b"\n" * (doors._CHUNK + shift - line.index(b'"req_long"'))
    (folder / "1-1.events").write_bytes(blanks + line)
    assert find_waiting(folder, event.request_id) == event


def test_it_looks_through_the_newest_files_and_not_through_all(folder: Path, make_event: MakeEvent) -> None:
    event = make_event()
    folder.mkdir()
    Spool(folder).append(event)
    newer = folder / "99999999999999999999-1.events"
    newer.touch()
    assert find_waiting(folder, event.request_id) == event
    with newer.open("wb") as file:
        file.truncate(doors._MOST_BYTES)
    assert find_waiting(folder, event.request_id) is None


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert find_waiting(tmp_path / "nowhere", "req_1") is None
