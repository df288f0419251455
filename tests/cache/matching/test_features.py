"""What is left over between two questions, and what it counts as."""

from __future__ import annotations

import numpy as np
import pytest

from cache.matching.features import NAMES, features, profile
from cache.matching.opposites import OPPOSITES
from cache.matching.words import BUCKETS, Lexicon, parts, respelled, stem_of

MEANINGS = {"buy": (1.0, 0.0), "purchase": (0.8, 0.6), "car": (0.0, 1.0)}


def lexicon() -> Lexicon:
    return Lexicon(
        np.ones(BUCKETS, np.float32),
        np.zeros(BUCKETS, np.float32),
        list(MEANINGS),
        np.array(list(MEANINGS.values()), np.float32),
    )


def row(query: str, stored: str) -> dict[str, float]:
    words = lexicon()
    values = features(profile(query, words), profile(stored, words), 0.9, words)
    assert len(values) == len(NAMES)
    return dict(zip(NAMES, values, strict=True))


TRAPS = [
    ("enable the alarm", "disable the alarm", "opposites"),
    ("How do I turn it off?", "How do I turn it on?", "opposites"),
    ("send 10 dollars to Ann", "send 20 dollars to Ann", "numbers_query"),
    ("revenue in 2023", "revenue in 2024", "numbers_stored"),
    ("send ten dollars", "send twenty dollars", "numbers_query"),
    ("wake me at 7:30", "wake me at 7:45", "numbers_query"),
    ("open ticket AB17x", "open ticket AB18x", "codes_query"),
    ("a table for friday", "a table for saturday", "dates_query"),
    ("trains from Ulm to Bonn", "trains from Bonn to Ulm", "role_swaps"),
    ("trains from Ulm to Bonn", "trains from Ulm to Kiel", "role_conflicts"),
    ("compare red with blue", "compare blue with red", "descents_content"),
    ("pizza with olives", "pizza without olives", "denials_differ"),
    ("files that are not shared", "files that are shared", "denials_differ"),
    ("why can't I log in", "why can I log in", "denials_differ"),
    ("write to Tim Reed", "write to Tom Reed", "capitals_query"),
    ("is the C++ compiler free", "is the C compiler free", "symbols_query"),
]


@pytest.mark.parametrize(("query", "stored", "name"), TRAPS)
def test_a_trap_shows_in_its_feature(query: str, stored: str, name: str) -> None:
    assert row(query, stored)[name] > 0
    assert row(query, query)[name] == 0


def test_what_is_asked_for_is_told_apart() -> None:
    assert row("where is my parcel", "when is my parcel")["question_same"] == 0
    assert row("where is my parcel", "and where is it")["question_same"] == 1


HARMLESS = [
    ("Please tell me the opening hours", "the opening hours"),
    ("opening hour?", "Opening hours"),
    ("what's the opening hour", "what is the opening hour"),
    ("I need 1,000 screws", "i need 1000 screws"),
    ("at 10pm", "at 10 pm"),
    ("two screws", "2 screws"),
    ("don't stop", "do not stop"),
]


@pytest.mark.parametrize(("query", "stored"), HARMLESS)
def test_what_does_no_harm_leaves_nothing_over(query: str, stored: str) -> None:
    found = row(query, stored)
    for name in (
        "content_query",
        "content_stored",
        "numbers_query",
        "numbers_stored",
        "denials_differ",
        "opposites",
    ):
        assert found[name] == 0, name


def test_words_pair_up_by_spelling_and_by_meaning() -> None:
    assert row("my adress", "my address")["unpaired_query"] == 0
    assert row("buy it", "purchase it")["unpaired_query"] == pytest.approx(0.2)
    assert row("buy it", "car it")["unpaired_query"] == pytest.approx(1)
    assert row("buy it", "it")["unpaired_query"] == 1
    assert row("buy it", "xylophone it")["meaning_most"] == 0  # a word without a meaning is near to none


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("address", "adress", True),
        ("recieve", "receive", True),
        ("colour", "color", True),
        ("adapt", "adopt", True),  # what a typo also looks like: the trees see the rest
        ("cat", "car", False),
        ("house", "mouses", False),
        ("morning", "evening", False),
    ],
)
def test_a_slip_is_one_letter_or_a_swap(one: str, other: str, same: bool) -> None:
    assert respelled(one, other) is same
    assert respelled(other, one) is same


ODD = [
    "",
    " ",
    "?",
    "😀🎉",
    "x" * 100_000,
    "is it? " * 20_000,
    "中文的问题" * 900,
    "ไม่ใช่",
    "İß ǅ",
    "\ud800",
    "\0",
    "'’'",
    "1" * 50,
]


@pytest.mark.parametrize("odd", ODD)
def test_odd_texts_give_finite_rows_of_bounded_size(odd: str) -> None:
    words = lexicon()
    one = profile(odd, words)
    assert len(one.stems) <= 300
    for left, right in ((odd, "plain words"), ("plain words", odd), (odd, odd)):
        assert np.isfinite(list(row(left, right).values())).all()


def test_a_lexicon_forgets() -> None:
    words = Lexicon(np.ones(BUCKETS), np.zeros(BUCKETS), [], np.zeros((0, 1), np.float32), most=10)
    for number in range(100):
        words.words(f"word{number}a")
    assert len(words._known) <= 10


@pytest.mark.parametrize(
    ("word", "stem"),
    [
        ("flights", "flight"), ("leaving", "leav"), ("leave", "leav"), ("stopped", "stop"), ("cities", "city"),
        ("glass", "glass"), ("calling", "call"), ("from", "from"), ("007", "7"), ("000", "0"), ("bus", "bus"),
    ],
)  # fmt: skip
def test_stems(word: str, stem: str) -> None:
    assert stem_of(word) == stem


def test_parts_of_tokens() -> None:
    assert parts("can't") == ["can", "not"]
    assert parts("isn’t") == ["is", "not"]
    assert parts("n't") == ["not"]
    assert parts("what's") == ["what", "is"]
    assert parts("Ann's") == ["ann"]
    assert parts("21st") == ["21st"]
    assert parts("5km") == ["5", "km"]
    assert parts("2FA") == ["2fa"]


def test_opposites_go_both_ways() -> None:
    assert all(one in OPPOSITES[other] for one, others in OPPOSITES.items() for other in others)
    assert stem_of("enable") in OPPOSITES[stem_of("disabled")]
