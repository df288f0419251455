"""What a scripted model says to a question about passages, and what it cites."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.retrieval import Passage
from router.grounding.contract import grounded
from router.upstreams.scripted_answers import NOTICE, reply
from router.upstreams.scripted_behaviours import script
from router.upstreams.scripted_knowledge import Entry, Knowledge
from router.upstreams.scripted_passages import NOT_FOUND, passages_in

RETURNS = "You have **45 days** to return a machine. Shipping back costs $8.\n\n- Open bags stay with you."
CARE = "Tolvana Care adds 1 year to the warranty. It must be bought within 60 days of delivery."
QUESTIONS = (
    "How do I do this?",
    "How long is it?",
    "What does it say?",
    "Tell me about it.",
    "Who is it, and when?",
)
KNOWLEDGE = Knowledge([Entry("a", QUESTIONS, "On file.")])


def passage(text: str, name: str = "a.md", context: str = "") -> Passage:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    return Passage(
        store_id="vs_1",
        file_id="file-1",
        filename=name,
        revision=1,
        updated_at=at,
        start=0,
        end=len(text),
        text=text,
        context=context,
    )


def answer(question: str, texts: Sequence[str], model: str = "unmarked", context: str = "") -> str:
    body = {"model": model, "messages": [{"role": "user", "content": question}]}
    return reply(script(model), grounded(body, [passage(text, context=context) for text in texts]), KNOWLEDGE).text


def test_it_says_what_stands_there_with_its_citation() -> None:
    assert answer("What does shipping back cost?", [CARE, RETURNS]) == "Shipping back costs $8 [2]."
    assert (
        answer("How many days to return a machine?", [RETURNS, CARE]) == "You have 45 days to return a machine [1]."
    )
    assert answer("Which bags stay with me when open?", [RETURNS]) == "Open bags stay with you [1]."


def test_two_sentences_that_are_worth_as_much_each_with_its_own() -> None:
    said = answer("Care or warranty?", ["Care is dear.", "Warranty is long."])
    assert said == "Care is dear [1]. Warranty is long [2]."


def test_the_context_line_is_not_said() -> None:
    assert answer("Shipping back costs?", [RETURNS], context="Returns > Shipping back costs") == (
        "Shipping back costs $8 [1]."
    )


@pytest.mark.parametrize("texts", [[], [RETURNS], [RETURNS, CARE]])
def test_it_says_that_it_found_nothing(texts: list[str]) -> None:
    assert answer("Who won yesterday's football match in Lisbon?", texts) == NOT_FOUND


def test_a_short_turn_goes_on_with_the_one_before_it() -> None:
    turns = [{"role": "user", "content": text} for text in ("What does shipping back cost?", "how much?")]
    body = grounded({"messages": turns}, [passage(CARE), passage(RETURNS)])
    assert reply(script("unmarked"), body, KNOWLEDGE).text == "Shipping back costs $8 [2]."


def test_those_that_cite_wrongly_or_not_at_all() -> None:
    assert answer("What does shipping back cost?", [CARE, RETURNS], "unmarked/cites-astray") == (
        "Shipping back costs $8 [3]."
    )
    assert answer("What does shipping back cost?", [RETURNS], "unmarked/cites-nothing") == "Shipping back costs $8."


def test_any_other_name_says_that_it_is_scripted() -> None:
    assert answer("What does shipping back cost?", [RETURNS], "gpt-5.1") == f"Shipping back costs $8 [1]. {NOTICE}"


def test_without_passages_it_answers_from_what_is_on_file() -> None:
    body = {"messages": [{"role": "user", "content": "How do I do this?"}]}
    assert reply(script("unmarked"), body, KNOWLEDGE).text == "On file."
    assert passages_in("Answer briefly. <passages> is a word.") is None


def test_a_citation_is_streamed_in_pieces() -> None:
    body = grounded({"messages": [{"role": "user", "content": "Shipping back costs?"}]}, [passage(RETURNS)])
    assert reply(script("unmarked"), body, KNOWLEDGE).pieces[-4:] == (" [", "1", "]", ".")


@given(st.lists(st.text(max_size=120), max_size=4), st.text(max_size=60))
def test_it_reads_any_passages_and_cites_none_that_is_not_there(texts: list[str], question: str) -> None:
    body = grounded({"messages": [{"role": "user", "content": question}]}, [passage(text) for text in texts])
    read = passages_in(body["messages"][0]["content"])
    assert read is not None
    said = read.answer([question], ())
    assert said == NOT_FOUND or {int(mark) for mark in re.findall(r" \[(\d+)\][.!?]", said)} & {1, 2, 3, 4}
