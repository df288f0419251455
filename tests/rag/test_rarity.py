"""Lucene's formula, by hand."""

from __future__ import annotations

from math import log

import pytest

from rag.rarity import idf


def test_rare_words_say_more_and_none_less_than_nothing() -> None:
    assert idf(100, 0) > idf(100, 1) > idf(100, 99) > idf(100, 100) > 0
    assert idf(9, 2) == pytest.approx(log(1 + 7.5 / 2.5))


def test_a_count_that_is_older_than_another_does_not_break_it() -> None:
    assert idf(3, 7) == pytest.approx(log(1 + 0.5 / 7.5))
