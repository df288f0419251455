"""What does not count, what does, and that no language is normalised away."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.scorers.normalised import normalise
from tests.evals.scorers.scoring import lacks, right, scored, unhurried


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("Paris", "  paris. "),
        ("São Paulo", "SAO  PAULO!"),
        ("don't know", "Don’t know…"),
        ("Straße", "STRASSE"),
        ("€ 5", "€ 5."),
        ("-5", "−5"),
        ("北京", "「北京」。"),
        ("القاهرة", "القاهرة."),
        ("नई दिल्ली", "नई  दिल्ली!"),
        ("서울", "서울."),
        ("ＡＢＣ", "abc"),
        ("résumé", "re\u0301sume\u0301"),
        ("yes, please", "Yes please"),
        ("C++", "c++"),
    ],
)
def test_what_does_not_count(answer: str, text: str) -> None:
    assert right("normalised", {"answer": answer}, text)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("3.5", "35"),
        ("3.5", "3 5"),
        ("-5", "5"),
        ("20%", "20"),
        ("$5", "€5"),
        ("C#", "C"),
        ("C++", "C"),
        ("か", "が"),
        ("北京", "南京"),
        ("کتاب", "کباب"),
        ("कि", "की"),
        ("Paris", "Paris France"),
        ("now here", "nowhere"),
        ("10:30", "10 30"),
    ],
)
def test_what_does(answer: str, text: str) -> None:
    assert not right("normalised", {"answer": answer}, text)


def test_the_reason_quotes_the_answer_as_it_was() -> None:
    assert scored("normalised", {"answer": ["Paris", "Lutetia"]}, "Rome!").why == 'says "Rome!", not "Paris"'


def test_an_answer_of_punctuation_alone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^expected\.answer: is nothing but punctuation"):
        lacks("normalised", {"answer": "?!"})
    assert lacks("normalised", {}) == "`expected.answer`"


@unhurried
@given(st.text())
def test_normalising_again_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@unhurried
@given(st.text("abñçß北京が서울कि١٢ ", min_size=1).filter(str.strip))
def test_letters_of_any_language_survive(text: str) -> None:
    assert normalise(text)
    assert right("normalised", {"answer": text}, f"“{text}.”")


@unhurried
@given(st.integers(), st.integers())
def test_another_number_is_another_answer(one: int, other: int) -> None:
    assert right("normalised", {"answer": one}, f" {other}.") == (one == other)
