"""Words are one rule for chunks and questions, whatever the text."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.retrieval import words
from rag.retrieval.words import counted, matching, weighted, words_of


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("How do I return the shoes?", ["return", "shoe"]),
        ("Returning returned RETURNS", ["return", "return", "return"]),
        ("Cafés in São Paulo", ["cafe", "paulo"]),
        ("Was ist die Kündigungsfrist?", ["die", "kundigungsfrist"]),
        ("für Pelze, but fur coats", ["pelz", "fur", "coat"]),
        ("東京都の天気", ["東京", "京都", "都の", "の天", "天気"]),
        ("水 H2O", ["水", "h2o"]),
        ("snake_case, v3.5 and e-mail", ["snake", "case", "v3", "5", "e", "mail"]),
        ("ＦＵＬＬ width", ["full", "width"]),
        ("what is it?", []),
        ("", []),
    ],
)
def test_words_are_those_that_a_text_is_about(text: str, found: list[str]) -> None:
    assert words_of(text) == found


def test_a_chunk_counts_its_words_and_a_question_has_each_once() -> None:
    text = "Refund a refund, and refunds of fees."

    assert counted(text) == {"refund": 3, "fee": 1}
    assert weighted(text) == {"refund": 1.0, "fee": 1.0}


@given(st.text())
def test_any_text_finds_itself(text: str) -> None:
    assert set(weighted(text)) == set(counted(text))
    assert all(word and not word.isspace() for word in weighted(text))


@given(st.text(), st.text())
def test_what_stands_on_lines_of_its_own_has_words_of_its_own(first: str, second: str) -> None:
    assert words_of(f"{first}\n{second}") == words_of(first) + words_of(second)


def test_a_word_without_end_is_cut_and_not_stemmed() -> None:
    assert words_of("a" * 10_000) == ["a" * 64]


def test_what_is_wanted_stays_where_it_stands() -> None:
    assert matching("Returned: old leather boots, für Cafés", {"return", "boot", "cafe"}) == [
        "return",
        "",
        "",
        "boot",
        "cafe",
    ]


@given(st.text(), st.text())
def test_matching_finds_what_the_words_say(text: str, question: str) -> None:
    wanted = set(words_of(question)) | set(words_of(text)[::2])

    assert matching(text, wanted) == [word if word in wanted else "" for word in words_of(text)]


@pytest.mark.parametrize(
    "sentence", ["The skies idly cried over the buses' news, generously gently ugly and early; singly only."]
)
def test_stems_begin_as_their_words_do(sentence: str) -> None:
    assert matching(sentence, set(words_of(sentence))) == words_of(sentence)


def test_threads_do_not_get_each_others_stems() -> None:
    begins = [first + second for first in "bcdfghklmnprst" for second in "aeiou"]
    texts = [f"{begin}rationally {begin}nesses {begin}llingly {begin}tional {begin}rizing" for begin in begins]
    words._stem.cache_clear()
    alone = [words_of(text) for text in texts]
    words._stem.cache_clear()
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(words_of, texts)) == alone
    finally:
        sys.setswitchinterval(usual)
