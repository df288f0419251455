"""Paraphrases find their answer, in two languages; strangers find none."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.upstreams.scripted_knowledge import Entry, Knowledge

FAQ = {
    "password": [
        "How do I reset my password?",
        "I forgot my password, what now?",
        "Can't log in, the password is wrong",
        "Wie setze ich mein Passwort zurück?",
        "Ich habe mein Passwort vergessen",
    ],
    "refund": [
        "How long does a refund take?",
        "When do I get my money back?",
        "Can I have a refund for my order?",
        "Wann bekomme ich mein Geld zurück?",
        "Wie lange dauert eine Rückerstattung?",
    ],
    "shipping": [
        "How long does shipping take?",
        "When will my parcel arrive?",
        "Where is my delivery?",
        "Wann kommt mein Paket an?",
        "Wie lange dauert die Lieferung?",
    ],
    "invoice": [
        "Where can I download my invoice?",
        "Please send me a bill for tax purposes",
        "I need a receipt with VAT",
        "Wo finde ich meine Rechnung?",
        "Ich brauche einen Beleg mit Mehrwertsteuer",
    ],
    "cancel": [
        "How do I cancel my subscription?",
        "I want to end my plan",
        "Stop my membership please",
        "Wie kündige ich mein Abo?",
        "Ich möchte meinen Vertrag beenden",
    ],
    "address": [
        "How do I change my delivery address?",
        "I moved, please update my address",
        "Wie ändere ich meine Lieferadresse?",
        "Ich bin umgezogen, neue Adresse",
    ],
}


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return Knowledge([Entry(name, tuple(questions), name) for name, questions in FAQ.items()])


@pytest.mark.parametrize(
    ("question", "entry"),
    [
        ("i forgott my pasword", "password"),
        ("passwort vergessen, was tun?", "password"),
        ("my log in password does not work", "password"),
        ("refund status of order 1234?", "refund"),
        ("bis wann ist das Geld wieder da, ich will mein Geld zurück", "refund"),
        ("when is the parcel arriving", "shipping"),
        ("Wann kommt denn nun mein Paket?", "shipping"),
        ("where can I get the invoice again", "invoice"),
        ("rechnung fürs finanzamt", "invoice"),
        ("please cancel the subscription", "cancel"),
        ("Abo kündigen", "cancel"),
        ("new adress, I have moved", "address"),
        ("Adressänderung: bin umgezogen", "address"),
    ],
)
def test_a_paraphrase_finds_its_answer(knowledge: Knowledge, question: str, entry: str) -> None:
    assert knowledge.answer([question]) == entry


@pytest.mark.parametrize(
    "question",
    [
        "Which mushrooms in this forest can be eaten raw?",
        "Explain the proof that there are infinitely many primes",
        "Welche Farbe hat der Himmel auf dem Mars?",
        "asdf qwer zxcv",
        "",
        "?!",
    ],
)
def test_a_stranger_finds_none(knowledge: Knowledge, question: str) -> None:
    assert knowledge.answer([question]) is None


def test_earlier_turns_decide_between_equals_and_no_more(knowledge: Knowledge) -> None:
    vague = "And how long does that take?"
    assert knowledge.answer(["When do I get my money back?", vague]) == "refund"
    assert knowledge.answer(["When will my parcel arrive?", vague]) == "shipping"
    assert knowledge.answer(["When will my parcel arrive?", "How do I cancel my subscription?"]) == "cancel"
    assert knowledge.answer(["When will my parcel arrive?", "Which mushrooms can be eaten raw?"]) is None


def test_accents_may_be_left_out() -> None:
    assert Knowledge([Entry("summer", ("été",), "Warm.")]).answer(["ETE"]) == "Warm."


def test_every_question_on_file_finds_its_own_answer(knowledge: Knowledge) -> None:
    for name, questions in FAQ.items():
        assert [knowledge.answer([question.upper()]) for question in questions] == [name] * len(questions)


@given(st.lists(st.text(max_size=80), max_size=4))
def test_any_text_can_be_asked(turns: list[str]) -> None:
    found = Knowledge([Entry("a", ("How are you?",), "Fine.")]).answer(turns)
    assert found in (None, "Fine.")


def test_nothing_known_nothing_answered() -> None:
    assert Knowledge(()).answer(["How are you?"]) is None


def test_a_file_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "knowledge.jsonl"
    path.write_text('\n{"id": "a", "questions": ["How are you?"], "answer": "Fine.", "more": 1}\n\n')
    assert Knowledge.load(path).answer(["how are you"]) == "Fine."


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '{"answer": "x"}', '{"questions": [1], "answer": "x"}', '{"questions": ["x"], "answer": ""}'],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "knowledge.jsonl"
    path.write_text(f'{{"questions": ["x"], "answer": "y"}}\n{line}\n')
    with pytest.raises(ValueError, match=r"knowledge\.jsonl:2: "):
        Knowledge.load(path)
