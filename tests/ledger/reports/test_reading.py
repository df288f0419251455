"""How a span is put together: days where it can be, hours at the edges, single events for what is left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.reports.reading import Piece, Question, floor, pieces

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({}, [Piece("days", None, None)]),
        ({"since": at(3), "until": at(5)}, [Piece("days", at(3), at(5))]),
        ({"since": at(3, 7)}, [Piece("hours", at(3, 7), at(4)), Piece("days", at(4), None)]),
        ({"until": at(3, 7)}, [Piece("days", None, at(3)), Piece("hours", at(3), at(3, 7))]),
        ({"since": at(3, 7), "until": at(3, 9)}, [Piece("hours", at(3, 7), at(3, 9))]),
        (
            {"since": at(3, 23), "until": at(4, 1)},
            [Piece("hours", at(3, 23), at(4, 1))],
        ),
        (
            {"since": at(3, 7, 30), "until": at(6, 1, 15)},
            [
                Piece("events", at(3, 7, 30), at(3, 8)),
                Piece("hours", at(3, 8), at(4)),
                Piece("days", at(4), at(6)),
                Piece("hours", at(6), at(6, 1)),
                Piece("events", at(6, 1), at(6, 1, 15)),
            ],
        ),
        ({"since": at(3, 7, 10), "until": at(3, 7, 20)}, [Piece("events", at(3, 7, 10), at(3, 7, 20))]),
        (
            {"since": at(3, 7, 10), "until": at(3, 8, 20)},
            [Piece("events", at(3, 7, 10), at(3, 8)), Piece("events", at(3, 8), at(3, 8, 20))],
        ),
        ({"since": at(3), "until": at(5), "grain": "hour"}, [Piece("hours", at(3), at(5))]),
        ({"tags": ("app",)}, [Piece("events", None, None)]),
        ({"tags": ("app",), "rolled_up": ("app", "team")}, [Piece("days", None, None)]),
    ],
)
def test_each_part_is_read_from_the_coarsest_sums_that_fit(asked: dict[str, Any], wanted: list[Piece]) -> None:
    assert pieces(Question(**asked)) == wanted


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({}, [Piece("days", None, at(5)), Piece("events", at(5), None)]),
        ({"since": at(6, 1, 1)}, [Piece("events", at(6, 1, 1), None)]),
        ({"until": at(4)}, [Piece("days", None, at(4))]),
        ({"since": at(4, 9)}, [Piece("hours", at(4, 9), at(5)), Piece("events", at(5), None)]),
    ],
)
def test_where_single_events_are_gone_sums_are_read(asked: dict[str, Any], wanted: list[Piece]) -> None:
    assert pieces(Question(tags=("app",), **asked), pruned_before=at(5)) == wanted


moments = st.datetimes(datetime(2026, 11, 1), datetime(2026, 11, 9), timezones=st.just(UTC))


@given(
    since=st.none() | moments,
    until=st.none() | moments,
    grain=st.sampled_from(["", "day", "hour"]),
    tags=st.sampled_from([(), ("app",)]),
    pruned=st.none() | moments.map(lambda moment: floor(moment, DAY)),
    moment=moments,
)
def test_every_moment_is_in_one_part_where_it_is_in_the_span(
    since: datetime | None,
    until: datetime | None,
    grain: Any,
    tags: tuple[str, ...],
    pruned: datetime | None,
    moment: datetime,
) -> None:
    found = pieces(Question(since=since, until=until, grain=grain, tags=tags), pruned)
    holding = [
        piece
        for piece in found
        if (piece.since is None or moment >= piece.since) and (piece.until is None or moment < piece.until)
    ]
    wanted = (since is None or moment >= since) and (until is None or moment < until)
    assert len(holding) == int(wanted)
    for piece in found:
        step = {"days": DAY, "hours": HOUR}.get(piece.source)
        for bound in (piece.since, piece.until):
            assert step is None or bound is None or floor(bound, step) == bound


def test_a_zone_that_changes_its_clock_moves_no_bound() -> None:
    since = datetime(2026, 3, 29, 10, tzinfo=ZoneInfo("Europe/Berlin"))
    assert floor(since, DAY) == datetime(2026, 3, 29, tzinfo=UTC)
    assert pieces(Question(since=since))[0] == Piece(
        "hours", since.astimezone(UTC), datetime(2026, 3, 30, tzinfo=UTC)
    )


def test_the_end_of_time_is_no_fault() -> None:
    last = datetime.max.replace(tzinfo=UTC)
    assert pieces(Question(since=datetime.min.replace(tzinfo=UTC), until=last))[0].source == "days"
    assert pieces(Question(since=last))
