"""What the passages support, on pairs written by hand and on answers of several sentences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evals.scorers.grounded_pairs import BAKERY, CLINIC, HELD_OUT, TUNED, Pair
from tests.evals.scorers.scoring import lacks, right, scored, scorer, unhurried

HELD_OUT_RIGHT = 27
"""Of 33, measured once. Those it gets wrong are named below."""


def judged_right(pair: Pair) -> bool:
    return right("grounded", {}, pair.sentence, documents=pair.passages) == pair.supported


@pytest.mark.parametrize("pair", TUNED, ids=lambda pair: pair.sentence)
def test_a_pair_that_it_was_tuned_on_is_judged_right(pair: Pair) -> None:
    assert judged_right(pair)


def test_pairs_that_it_was_not_tuned_on() -> None:
    wrong = [pair for pair in HELD_OUT if not judged_right(pair)]
    assert len(HELD_OUT) - len(wrong) >= HELD_OUT_RIGHT, wrong
    assert {pair.kind for pair in HELD_OUT if not pair.supported} - {pair.kind for pair in wrong} >= {
        "number",
        "amount",
        "date",
        "denied",
    }


def test_the_share_of_sentences_and_the_first_that_is_not_supported() -> None:
    text = "Hello! Our shop is closed on Mondays. It opens at 7:00. A deposit of $30 is asked for. Anything else?"
    score = scored("grounded", {}, text, documents=BAKERY)
    assert score.value == pytest.approx(2 / 3)
    assert score.why == '"A deposit of $30 is asked for.": not found: 30 $'


def test_at_least_makes_it_yes_or_no() -> None:
    assert (scorer("grounded").binary, scorer("grounded", at_least=0.5).binary) == (False, True)
    text = "Our shop is closed on Mondays. A deposit of $30 is asked for."
    assert scored("grounded", {}, text, documents=BAKERY, at_least=0.5).value == 1
    assert scored("grounded", {}, text, documents=BAKERY, at_least=0.6).value == 0


def test_one_sentence_may_draw_on_several_passages() -> None:
    assert right("grounded", {}, "The bakery opens at 7:00 and is led by Marta Lindqvist.", documents=BAKERY)


def test_how_many_words_must_be_found_is_a_setting() -> None:
    text = "The bakery closes early on lovely summer evenings."
    assert right("grounded", {}, text, documents=BAKERY, coverage=0.3)
    assert scored("grounded", {}, text, documents=BAKERY).why.endswith("not found: early, lovely, summer, evenings")


@pytest.mark.parametrize("text", ["I can't help with that.", "Hello! How can I help?", "No tengo esa información."])
def test_an_answer_that_claims_nothing_is_grounded(text: str) -> None:
    assert right("grounded", {}, text, documents=CLINIC)


def test_an_empty_answer_is_not() -> None:
    assert scored("grounded", {}, " ", documents=CLINIC).why == "says nothing"


@pytest.mark.parametrize(
    ("text", "checked", "why"),
    [
        ("The shop opens at 7:00 [1].", True, ""),
        ("The shop opens at 7:00. [doc-1]", True, ""),
        ("The bakery asks a deposit of $25 [1, 2].", True, ""),
        ("The shop opens at 7:00 [2].", True, "in what it cites"),
        ("The shop opens at 7:00 [9].", True, "cites [9], which is no passage"),
        ("The shop opens at 7:00.", True, ""),
        ("The shop opens at 7:00 [2].", False, ""),
        ("The shop opens at 7:00 [9].", False, ""),
    ],
)
def test_marks_are_passed_over_unless_they_are_checked(text: str, checked: bool, why: str) -> None:
    found = scored("grounded", {}, text, documents=BAKERY, check_citations=checked).why
    assert found.endswith(why)
    assert bool(found) == bool(why)


def test_scripts_without_blanks() -> None:
    passages = ("返品は購入から30日以内に可能です。送料は無料です。",)
    assert right("grounded", {}, "返品は30日以内に可能です。", documents=passages)
    assert not right("grounded", {}, "返品は60日以内に可能です。", documents=passages)
    assert not right("grounded", {}, "店舗は日曜日に営業しています。", documents=passages)


def test_it_needs_documents() -> None:
    assert lacks("grounded", {"answer": "x"}) == "`documents`"
    assert lacks("grounded", {}, BAKERY) == ""


@unhurried
@given(st.lists(st.sampled_from([*BAKERY, *CLINIC]), min_size=1, unique=True))
def test_a_passage_supports_itself(passages: list[str]) -> None:
    assert right("grounded", {}, " ".join(passages), documents=passages)


@unhurried
@given(st.integers(0, 10**6))
def test_a_number_that_is_nowhere_is_never_supported(number: int) -> None:
    known = {45, 40, 24, 20, 2, 5, 8}
    assert right("grounded", {}, f"La primera consulta cuesta {number} €.", documents=CLINIC) <= (number in known)


def test_against_what_an_answer_cites_and_not_what_the_case_has() -> None:
    hours = ("1", "hours.md", "The shop is closed on Mondays and opens at 7:00.")
    cakes = ("2", "cakes.md", "A deposit of $30 is asked for.")
    said = "It opens at 7:00 [1]. A deposit of $30 is asked for [1]."

    def share(text: str, *cites: tuple[str, str, str], **options: bool) -> float:
        return scored("grounded", {}, text, cites=cites, against="citations", **options).value

    assert share(said, hours, cakes) == 1
    assert share(said, hours) == 0.5
    assert share(said, hours, cakes, check_citations=True) == 0.5
    assert share(said) == 0
    assert share("I did not find this in the documents.") == 1
    assert lacks("grounded", {}, against="citations") == ""
    assert lacks("grounded", {}) == "`documents`"
