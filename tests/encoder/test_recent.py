"""Recent vectors: which go, and how many bytes stay."""

from __future__ import annotations

import numpy as np

from encoder.recent import RecentVectors

VECTOR = np.zeros(384, np.float32)


def test_the_least_recently_used_goes_first() -> None:
    one = RecentVectors(1 << 30)
    one.keep("a", VECTOR)
    recent = RecentVectors(3 * one.size)
    for text in "abc":
        recent.keep(text, VECTOR)
    assert recent.find("a") is VECTOR
    recent.keep("d", VECTOR)
    assert [text for text in "abcd" if recent.find(text) is not None] == ["a", "c", "d"]


def test_it_never_holds_more_than_its_bound() -> None:
    recent = RecentVectors(100_000)
    for number in range(1000):
        recent.keep(f"{number} " * (number % 50), VECTOR)
        assert recent.size <= 100_000
    assert 20 < len(recent) < 60


def test_the_same_text_again_takes_no_more() -> None:
    recent = RecentVectors(100_000)
    recent.keep("a", VECTOR)
    size = recent.size
    recent.keep("a", VECTOR)
    assert (len(recent), recent.size) == (1, size)


def test_what_is_larger_than_all_of_it_is_not_kept() -> None:
    recent = RecentVectors(10_000)
    recent.keep("a", VECTOR)
    recent.keep("x" * 20_000, VECTOR)
    assert (recent.find("x" * 20_000), len(recent)) == (None, 1)


def test_none_is_kept_where_there_is_no_room_at_all() -> None:
    recent = RecentVectors(0)
    recent.keep("", VECTOR)
    assert (len(recent), recent.size) == (0, 0)
