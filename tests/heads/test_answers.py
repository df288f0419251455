"""Agreement, faults and shape of answers, and that no text is too odd or too long for them."""

from __future__ import annotations

from math import isfinite, isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heads.answers import (
    CHOICE,
    FAULTS,
    MOST_CHARACTERS,
    NEARLY,
    SHAPE,
    agreement,
    choice,
    faults,
    final,
    grams,
    shape,
)

HOSTILE = (
    "",
    " \n\t",
    "😀" * 30_000,
    "x" * 100_000,
    "1," * 50_000,
    "\\boxed{" * 20_000,
    "[" * 100_000,
    "(A) " * 25_000,
    "\n A. x" * 20_000,
    "answer is " * 10_000,
    "```" * 30_000,
    "\ud800",
    "٣٤/٠",
    "1/0",
    "הי שלום 你好 здравствуйте",
    "\x00\x1b[0m",
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("540", "540 meters"),
        ("1,000", "1000.0"),
        ("$12", "12"),
        ("20%", "20"),
        (r"\frac{1}{2}", "0.5"),
        ("So the answer is 12.", "12"),
        ("We get #### 7", "7"),
        (r"Hence \boxed{\frac{3}{4}}.", "3/4"),
        ("B", "(b) the cat"),
        ("'Hello'", "Hello"),
        ("{u'a': 1}", '{"a": 1}'),
        ("**Paris**", "Paris."),
    ],
)
def test_the_same_answer_in_another_form_agrees(one: str, other: str) -> None:
    assert agreement(one, other) == agreement(other, one) == 1


@pytest.mark.parametrize(
    ("one", "other"), [("540", "541"), ("A", "B"), ("", "x"), ("", ""), ("yes", "no"), ("019", "19"), ("-3", "3")]
)
def test_other_answers_do_not(one: str, other: str) -> None:
    assert agreement(one, other) == agreement(other, one) == 0


def test_case_is_nearly_the_same_and_words_count_by_their_share() -> None:
    assert agreement("bR", "'br'") == NEARLY
    assert agreement("a red hat", "a blue hat") == pytest.approx(0.9 * 2 / 3)
    assert agreement("the blue diamond", "the diamond, blue") < NEARLY


@given(st.text(max_size=80), st.text(max_size=80))
def test_agreement_is_symmetric_and_a_share(one: str, other: str) -> None:
    assert 0 <= agreement(one, other) == agreement(other, one) <= 1


def test_what_is_marked_last_is_the_final_answer() -> None:
    assert final("The answer is 3. No: the answer is 4") == "4"
    assert final("just words") == "just words"


@pytest.mark.parametrize(
    ("fault", "answer", "known"),
    [
        ("empty", "  \n", {}),
        ("cut", "It begins", {"finish": "length"}),
        ("refusal", "I'm sorry, but I can't help with that.", {}),
        ("refusal", "Es tut mir leid, das geht nicht.", {}),
        ("unsure", "That is not mentioned in the text.", {}),
        (
            "repeats_question",
            "What is the capital city of France today?",
            {"question": "what is the capital city of France today"},
        ),
        ("loops", "one two three " * 20, {}),
        ("invalid_json", "{'a': 1}", {"wants_json": True}),
        ("other_script", "это ответ на вопрос", {"question": "what is the answer to this"}),
    ],
)
def test_faults_of_form(fault: str, answer: str, known: dict[str, object]) -> None:
    assert fault in faults(answer, **known)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "known"),
    [
        ("Paris is the capital of France.", {"question": "What is the capital of France?", "finish": "stop"}),
        ('```json\n{"a": [1, 2]}\n```', {"wants_json": True}),
        ("Der Zug fährt um acht Uhr.", {"question": "When does the train leave?"}),
        ("7", {"question": "What is three and four?"}),
    ],
)
def test_a_sound_answer_has_none(answer: str, known: dict[str, object]) -> None:
    assert faults(answer, **known) == ()  # type: ignore[arg-type]


def test_a_chosen_option_stands_among_the_others() -> None:
    question = "How many?\nA. 1 apple\nB. 20 apples in all\nC. 3 apples\nD. 40 apples"
    figures = dict(zip(CHOICE, choice(question, "The answer is (B)"), strict=True))
    assert figures["options"] == 4
    assert figures["chosen_value_rank"] == pytest.approx(2 / 3)
    assert figures["chosen_value_edge"] == pytest.approx(1 / 6)
    assert figures["chosen_length_rank"] == 1
    assert dict(zip(CHOICE, choice(question, "D"), strict=True))["chosen_value_rank"] == 1
    assert all(isnan(value) for value in choice(question, "E")[1:])
    assert all(isnan(value) for value in choice("How many?", "B")[1:])


def test_words_share_buckets_between_tasks_and_have_their_own_in_each() -> None:
    one, other = set(grams("yes it is", 1 << 20, "a")), set(grams("yes it is", 1 << 20, "b"))
    assert len(one) == len(other) == 2 * len(one & other)
    assert grams("", 64) == []


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_is_too_odd(text: str) -> None:
    assert 0 <= agreement(text, text + "1") <= 1
    assert set(faults(text, question=text, finish=text, wants_json=True)) <= set(FAULTS)
    assert len(shape(text)) == len(SHAPE) and all(isfinite(value) for value in shape(text))
    assert len(choice(text, "A")) == len(CHOICE)
    assert all(0 <= bucket < 64 for bucket in grams(text, 64, "task"))


def test_only_the_beginning_is_looked_at() -> None:
    start = "word and " * MOST_CHARACTERS
    assert shape(start + "?" * 9) == shape(start)
    assert grams(start, 999) == grams(start + " other", 999)
