"""Variants of questions: the same dice give the same ones, and what is not asked for does not happen."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as some

from distill.student.training.augment import Varied, bare, plain_word, usual_words, with_slips
from distill.student.training.recipe import Variation

QUESTIONS = {
    ("reset", "en"): ["How can I reset my password?", "I forgot my password, how do I get in?"],
    ("track", "en"): ["How can I track my parcel?", "Where is my parcel?"],
    ("cancel", "en"): ["How do I cancel my plan?"],
    ("reset", "es"): ["¿Cómo cambio mi contraseña?"],
}
NOTHING = Variation(plain=0, typos=0, synonyms=0, drops=0, fills=0, mixes=0)


def varied(settings: Variation, near: dict[str, list[str]] | None = None) -> Varied:
    return Varied(QUESTIONS, near or {}, settings)


def test_words_of_many_intents_are_usual() -> None:
    found = usual_words(QUESTIONS)
    assert set(found["en"]) == {"how", "i", "my"}
    assert found["es"] == ()


def test_the_same_dice_give_the_same_variants() -> None:
    def some_variants(seed: int) -> list[str]:
        dice, maker = random.Random(seed), varied(Variation())
        return [maker.variant("How can I reset my password?", ("reset", "en"), dice) for _ in range(20)]

    assert some_variants(1) == some_variants(1)
    assert some_variants(1) != some_variants(2)
    assert len(set(some_variants(1))) > 10


def test_a_near_word_takes_the_place_of_a_word() -> None:
    maker = varied(Variation(**{**vars(NOTHING), "synonyms": 1}), {"parcel": ["package"]})
    said = {maker.variant("where is my Parcel?", ("track", "en"), random.Random(seed)) for seed in range(20)}
    assert all("package" in one and "parcel" not in one.lower() for one in said)


def test_phrasings_of_one_intent_are_mixed_and_of_no_other() -> None:
    maker = varied(Variation(**{**vars(NOTHING), "mixes": 1}))
    said = [maker.variant("Where is my parcel?", ("track", "en"), random.Random(seed)) for seed in range(40)]
    words = {plain_word(word) for one in said for word in one.split()}
    assert words == {"how", "can", "i", "track", "my", "parcel", "where", "is"}


def test_without_slips_the_letters_stay() -> None:
    for seed in range(30):
        said = with_slips("¿Cómo cambio mi contraseña?", 0, random.Random(seed))
        assert plain_word(said).strip() == "como cambio mi contrasena"


def test_slips_change_letters() -> None:
    said = {plain_word(with_slips("password parcel", 1, random.Random(seed))) for seed in range(30)}
    assert len(said) > 5


@given(some.text(max_size=40), some.integers(0, 99))
def test_any_text_has_variants(text: str, seed: int) -> None:
    dice = random.Random(seed)
    assert isinstance(varied(Variation(typos=1)).variant(text, ("reset", "en"), dice), str)


def test_accents_go() -> None:
    assert bare("¿Cómo está? año") == "¿Como esta? ano"
