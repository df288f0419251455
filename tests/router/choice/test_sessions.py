"""Which model a conversation has been with: seen by all workers, for a while, in a table that never grows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.choice.sessions import Sessions

MODELS = ("small", "large")
ROW = 24
"""Bytes."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "sessions"


@pytest.fixture
def sessions(path: Path) -> Iterator[Sessions]:
    sessions = Sessions(path, rows=64)
    yield sessions
    sessions.close()


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = time.time() + seconds
    monkeypatch.setattr(time, "time", lambda: now)


def test_the_model_that_answered_last_is_found(sessions: Sessions) -> None:
    assert sessions.find("s", MODELS) is None
    sessions.note("s", "small")
    assert sessions.find("s", MODELS) == "small"
    sessions.note("s", "large")
    assert sessions.find("s", MODELS) == "large"
    assert sessions.find("another", MODELS) is None


def test_one_that_is_no_candidate_any_more_is_not(sessions: Sessions) -> None:
    sessions.note("s", "small")
    assert sessions.find("s", ("large",)) is None
    assert sessions.find("s", ()) is None


def test_two_workers_share_what_they_note(path: Path, sessions: Sessions) -> None:
    other = Sessions(path, rows=64)
    sessions.note("s", "small")
    assert other.find("s", MODELS) == "small"
    other.note("s", "large")
    assert sessions.find("s", MODELS) == "large"
    other.close()


def test_it_survives_a_restart(path: Path) -> None:
    before = Sessions(path, rows=64)
    before.note("s", "small")
    before.close()
    after = Sessions(path, rows=64)
    assert after.find("s", MODELS) == "small"
    after.close()


def test_only_its_owner_may_read_the_file(path: Path, sessions: Sessions) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_table_of_another_size_is_made_anew(path: Path, sessions: Sessions) -> None:
    sessions.note("s", "small")
    sessions.close()
    larger = Sessions(path, rows=256)
    assert path.stat().st_size == 256 * ROW
    assert larger.find("never seen", MODELS) is None
    larger.note("s", "large")
    assert larger.find("s", MODELS) == "large"
    larger.close()


def test_a_conversation_may_pause_for_so_long(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(path, rows=64, keep_s=100)
    sessions.note("s", "small")
    later(monkeypatch, 98)
    assert sessions.find("s", MODELS) == "small"
    sessions.note("s", "small")
    later(monkeypatch, 98)
    assert sessions.find("s", MODELS) == "small"
    later(monkeypatch, 104)
    assert sessions.find("s", MODELS) is None
    sessions.close()


@pytest.mark.parametrize("at", range(ROW))
def test_a_row_that_is_torn_anywhere_is_none(path: Path, sessions: Sessions, at: int) -> None:
    sessions.note("s", "small")
    table = bytearray(path.read_bytes())
    start = next(place for place in range(0, len(table), ROW) if any(table[place : place + ROW]))
    table[start + at] ^= 0x40
    path.write_bytes(table)
    assert sessions.find("s", MODELS) is None
    sessions.note("s", "large")
    assert sessions.find("s", MODELS) == "large"


def test_an_empty_table_and_one_full_of_rubbish_hold_nothing(path: Path, sessions: Sessions) -> None:
    path.write_bytes(bytes(range(1, 65)) * (ROW))
    assert all(sessions.find(str(number), MODELS) is None for number in range(100))
    sessions.note("7", "small")
    assert sessions.find("7", MODELS) == "small"


def test_the_conversation_that_has_paused_longest_gives_way(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(path, rows=4)
    for age in range(4):
        later(monkeypatch, 1000 + age * 10)
        sessions.note(str(age), "small")
    sessions.note("0", "large")
    sessions.note("new", "small")
    found = [sessions.find(name, MODELS) for name in ("0", "1", "2", "3", "new")]
    assert found == ["large", None, "small", "small", "small"]
    assert path.stat().st_size == 4 * ROW
    sessions.close()


names = st.sampled_from("abcdefgh")


@settings(deadline=None)
@given(st.lists(st.tuples(names, st.sampled_from(MODELS), st.integers(0, 1)), max_size=40))
def test_what_is_found_is_never_anothers(
    tmp_path_factory: pytest.TempPathFactory, notes: list[tuple[str, str, int]]
) -> None:
    """Eight conversations, four rows, two workers: each finds its own last model, or none."""
    path = tmp_path_factory.mktemp("shared") / "sessions"
    workers = [Sessions(path, rows=4) for _ in range(2)]
    last: dict[str, str] = {}
    for name, model, worker in notes:
        workers[worker].note(name, model)
        last[name] = model
        assert workers[1 - worker].find(name, MODELS) == model
    found = {name: workers[0].find(name, MODELS) for name in "abcdefgh"}
    assert all(model is None or model == last[name] for name, model in found.items())
    assert sum(model is not None for model in found.values()) == min(4, len(last))
    for each in workers:
        each.close()


@settings(deadline=None)
@given(st.text(max_size=50), st.text(max_size=50))
def test_any_name_will_do(tmp_path_factory: pytest.TempPathFactory, session: str, model: str) -> None:
    sessions = Sessions(tmp_path_factory.mktemp("any") / "sessions", rows=16)
    sessions.note(session, model)
    assert sessions.find(session, ("other model", model)) == model
    sessions.close()
