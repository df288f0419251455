"""N-grams are counted, found again among those that are known, and taken of any text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heads.grams import MOST_CHARACTERS, RUNS, Vocabulary, character_grams, word_grams

TEXTS = st.text(st.characters(exclude_categories=()), max_size=200)


def test_words_and_their_neighbours_are_hashed_whatever_their_case() -> None:
    assert word_grams("Top UP").tolist() == word_grams("top up").tolist()
    assert len(word_grams("top up my card")) == 4 + 5
    assert set(word_grams("up top")) != set(word_grams("top up"))  # the pairs differ
    assert len(set(word_grams("up top")) & set(word_grams("top up"))) == 2


def test_runs_of_characters_differ_by_their_order_and_length() -> None:
    spaced = len(" abcd ")
    assert len(character_grams("abcd")) == sum(spaced - length + 1 for length in RUNS)
    assert len(set(character_grams("abcd").tolist())) == len(character_grams("abcd"))
    assert set(character_grams("abc")).isdisjoint(character_grams("cba"))


def test_a_misspelt_word_shares_runs_but_no_word() -> None:
    assert set(word_grams("password")).isdisjoint(word_grams("pasword"))
    assert len(set(character_grams("password")) & set(character_grams("pasword"))) >= 6


def test_known_grams_are_found_and_weighed() -> None:
    grams = np.array([7, 3, 7, 9], np.uint32)
    known = Vocabulary(np.array([3, 5, 7], np.uint32), np.array([2.0, 1.0, 1.0], np.float32))
    places, values = known.of(grams)
    assert places.tolist() == [0, 2]
    expected = np.array([2.0, 1 + np.log(2)])
    np.testing.assert_allclose(values, expected / np.linalg.norm(expected), rtol=1e-6)


def test_where_none_is_known_nothing_is_found() -> None:
    nothing = Vocabulary(np.zeros(0, np.uint32), np.zeros(0, np.float32))
    assert len(nothing.of(word_grams("some words"))[0]) == 0


@pytest.mark.parametrize("hashes", [[3, 3], [4, 3], [1, 2, 3]])
def test_hashes_out_of_order_or_without_weights_are_refused(hashes: list[int]) -> None:
    with pytest.raises(ValueError, match="in order"):
        Vocabulary(np.array(hashes, np.uint32), np.ones(2, np.float32))


@given(TEXTS)
def test_any_text_has_grams(text: str) -> None:
    for grams in (word_grams(text), character_grams(text)):
        assert grams.dtype == np.uint32
        assert len(grams) <= sum(RUNS) * (18 * len(text) + 2)


def test_of_a_long_text_only_the_beginning_is_read() -> None:
    long = "ab " * 50_000
    assert character_grams(long).tolist() == character_grams(long[:MOST_CHARACTERS]).tolist()
    assert word_grams("\ufdfa" * 100_000).size < 4 * MOST_CHARACTERS  # one character that unfolds to eighteen
