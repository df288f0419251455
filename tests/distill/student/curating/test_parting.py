"""Parts are never mixed, whatever is asked in whichever conversation, and what has a part keeps it."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.student.curating.parting import PARTS, Place, Posed, Shares, grouped, placed, texts_of, vectors_of
from evals.importing.alike import plain
from tests.distill.student.curated import encode

TRAFFIC: Shares = {"train": 0.6, "tune": 0.2, "test": 0.2}
CASES: Shares = {"tune": 0.5, "test": 0.5}
WORDS = ("where", "parcel", "Parcel!", "refund", "two", "three", "please", "not")


def posed(text: str, talk: str = "", intent: str = "parcel", *, case: bool = False) -> Posed:
    return Posed(text=text, talk=talk or f"talk of {text}", intent=intent, lang="en", case=case)


def places(asked: list[Posed]) -> list[Place]:
    texts = texts_of(asked)
    vectors = vectors_of(texts, encode, lambda *_: None)
    return placed(asked, grouped(texts, vectors, 0.9, lambda *_: None), TRAFFIC, CASES)


questions = st.builds(
    posed,
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join),
    st.sampled_from("abcdefgh"),
    st.sampled_from(("parcel", "refund")),
)


@given(st.lists(questions, max_size=25), st.lists(questions, max_size=8), st.integers(0, 6))
@settings(max_examples=60, deadline=None)
def test_no_question_and_no_conversation_is_in_two_parts_and_what_is_added_moves_nothing(
    asked: list[Posed], more: list[Posed], cases: int
) -> None:
    suite = [posed(one.text, f"case {number}", case=True) for number, one in enumerate(asked[:cases])]
    found = places([*suite, *asked])
    of: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for one, place in zip([*suite, *asked], found, strict=True):
        if place.part is not None:
            for name in (("said", plain(one.text)), ("talk", one.talk), ("group", place.group)):
                of[name].add(place.part)
    assert all(len(parts) == 1 for parts in of.values())
    asked_in_suite = {plain(one.text) for one in suite}
    for one, place in zip(asked, found[len(suite) :], strict=True):
        assert place.beside_case or plain(one.text) not in asked_in_suite
        assert not (place.beside_case and place.part == "train")
    assert places([*suite, *asked, *more])[: len(found)] == found


@pytest.mark.parametrize("many", [5, 10, 50])
def test_each_intent_has_its_shares_however_few_its_questions(many: int) -> None:
    asked = [posed(f"{intent} {number}", intent=intent) for intent in "abcdefgh" for number in range(many)]
    found = Counter(zip((one.intent for one in asked), (place.part for place in places(asked)), strict=True))
    for part in PARTS:
        for intent in "abcdefgh":
            assert found[intent, part] == pytest.approx(many * TRAFFIC[part], abs=1.3)


def test_the_first_question_of_an_intent_falls_into_any_part() -> None:
    """Else the most frequent wording, which comes first, would always be learned from and never be tested."""
    found = Counter(place.part for place in places([posed(f"{n} first", intent=f"{n}") for n in range(200)]))
    assert {part: found[part] / 200 for part in PARTS} == pytest.approx(TRAFFIC, abs=0.1)


def test_a_conversation_stays_together_and_is_not_lost() -> None:
    asked = [posed(f"q {number}", f"talk {number // 5}") for number in range(100)]
    found = places(asked)
    assert None not in {place.part for place in found}
    assert len({place.part for place in found}) == 3


def test_a_part_that_shall_have_nothing_has_nothing() -> None:
    asked = [posed(f"q {number}") for number in range(40)]
    texts = texts_of(asked)
    groups = grouped(texts, encode(texts), 0.9, lambda *_: None)
    found = placed(asked, groups, {"train": 0.8, "tune": 0.2, "test": 0.0}, CASES)
    assert {place.part for place in found} == {"train", "tune"}


def test_other_words_for_the_same_are_one_group_and_another_number_is_not() -> None:
    asked = [posed(text) for text in ("two parcels", "parcels two please", "three parcels", "parcels, TWO")]
    groups = [place.group for place in places(asked)]
    assert groups[0] == groups[1] == groups[3] != groups[2]
    assert len(texts_of(asked)) == 4
    assert vectors_of([], encode, lambda *_: None).shape[0] == 0
