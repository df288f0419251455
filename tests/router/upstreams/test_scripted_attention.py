"""An attentive model answers as well as its prompt asks it to, in whatever words, and no better."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.scorers.contains_facts import Fact
from evals.suite import read_suite
from router.upstreams.scripted_answers import reply
from router.upstreams.scripted_attention import Attention, attended, attention
from router.upstreams.scripted_behaviours import script
from router.upstreams.scripted_demonstrations import Exchange
from router.upstreams.scripted_instructions import INSTRUCTIONS, OTHER, PHRASES, Instruction
from router.upstreams.scripted_knowledge import Entry, Knowledge

SUPPORT = Path(__file__).parents[3] / "examples/support"
PROMPT = (SUPPORT / "prompts/support.md").read_text(encoding="utf-8")
REWORDED = """You work for the help desk of Tolvana Coffee.

1. Reply in the same language the customer writes in.
2. Keep answers short, four sentences at most.
3. State all prices, time limits and amounts precisely. Do not make up figures.
4. If a request is unclear, ask a question back before answering.
5. When our information doesn't cover something, say that you cannot help with it and point to help@tolvana.example.
"""
RETURNS = "Within 30 days. The label costs $8, which we take off. We pay within 5 days."
KNOWLEDGE = Knowledge(
    [
        Entry("returns.en", ("Can I send it back?", "How do I return my order?", "I want to return it"), RETURNS),
        Entry(
            "returns.es",
            ("¿Puedo devolver mi pedido?", "¿Cómo hago una devolución?", "Quiero devolverlo"),
            "Dentro de los 30 días. La etiqueta cuesta $8.",
        ),
        Entry("hours.en", ("When are you open?", "What are your opening hours?", "Are you open now?"), "Always."),
        Entry("hours.es", ("¿Cuándo abren?", "¿Qué horario tienen?", "¿Están abiertos ahora?"), "Siempre."),
    ]
)
QUESTION, STRANGE = "How do I return my order?", "Which mushrooms grow in dark forests?"
EXACT = "State exact figures, amounts and dates."


@pytest.mark.parametrize(
    ("prompt", "instruction"),
    [
        ("Respond using whichever language the shopper wrote in.", "language"),
        ("- Be kind.\n- Please always reply in the same language as the customer.", "language"),
        ("Be accurate: repeat all amounts, fees and time limits literally, with exact numbers.", "exactness"),
        ("Numbers, prices and limits are given exactly as in the documents.", "exactness"),
        ("If something isn't in our help pages, tell them you don't know and give a@b.example.", "refusal"),
        ("You run a desk. Whenever you don't know an answer, admit it and refer to support.", "refusal"),
        ("One sentence per reply, no more.", "brevity"),
        ("Keep it short and concise.", "brevity"),
        ("If it's not clear what they want, ask them to explain.", "question"),
        ("Ask a clarifying question where a message is ambiguous.", "question"),
    ],
)
def test_an_instruction_is_understood_in_other_words(prompt: str, instruction: Instruction) -> None:
    shares = attention(prompt).shares
    assert max(shares, key=shares.__getitem__) == instruction
    assert shares[instruction] >= 0.4


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "You are a helpful assistant.",
        "You are a support bot for a coffee shop. Be friendly. Help with orders and returns.",
        "Answer in English only.",
        "Never answer in the customer's language.",
        "It is not necessary to answer in the language of the customer.",
        "Never give prices.",
        "Give no prices, periods or limits.",
        "Prices, periods and limits must not be given.",
        "Do not state exact figures.",
        "Guess if you don't know.",
        "Never refuse a question.",
        "Don't ask clarifying questions.",
        "Don't be brief.",
    ],
)
def test_what_is_forbidden_or_not_said_is_not_asked_for(prompt: str) -> None:
    assert set(attention(prompt).shares.values()) == {0.0}


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_every_wording_on_file_is_obeyed_nearly_always(name: Instruction) -> None:
    assert {
        text: attention(text).shares[name] for text in INSTRUCTIONS[name] if attention(text).shares[name] < 0.8
    } == {}


def test_nothing_else_on_file_is_an_instruction() -> None:
    assert {text: max(attention(text).shares.values()) for text in OTHER} == dict.fromkeys(OTHER, 0)


def test_the_examples_prompt_asks_for_everything() -> None:
    told = attention(PROMPT)
    assert set(told.shares.values()) == {1.0}
    assert (told.contact, told.sentences) == ("help@tolvana.example", 4)


@pytest.mark.parametrize(
    ("prompt", "sentences"),
    [("Answer in one sentence.", 1), ("Two to four sentences are enough.", 4), ("Be brief and concise.", 3)],
)
def test_brevity_is_so_many_sentences(prompt: str, sentences: int) -> None:
    assert attention(prompt).sentences == sentences


def test_figures_are_vague_unless_they_are_asked_for() -> None:
    assert attended(EXACT, [], QUESTION, KNOWLEDGE)[0] == RETURNS
    vague = "Within some days. The label costs some, which we take off. We pay within some days."
    assert attended("", [], QUESTION, KNOWLEDGE)[0] == vague
    assert attended(f"{EXACT} Answer in one sentence.", [], QUESTION, KNOWLEDGE)[0] == "Within 30 days."


def test_what_is_not_known_is_guessed_unless_refusing_is_asked_for() -> None:
    assert attended("", [], STRANGE, KNOWLEDGE)[0] == PHRASES["en"]["guess"]
    refusal = INSTRUCTIONS["refusal"][0]
    assert attended(refusal, [], STRANGE, KNOWLEDGE)[0] == PHRASES["en"]["refusal"]
    told = f"{refusal} Ours is desk@shop.example, or call 1-800-555-0100."
    assert "desk@shop.example" in attended(told, [], STRANGE, KNOWLEDGE)[0]
    assert "1-800-555-0100" in attended(f"{refusal} Call 1-800-555-0100.", [], STRANGE, KNOWLEDGE)[0]


def test_another_language_is_only_read_and_answered_where_that_is_asked_for() -> None:
    asked = "Quiero devolverlo"
    assert attended(EXACT, [], asked, KNOWLEDGE)[0] == PHRASES["en"]["guess"]
    both = f"{EXACT} Reply in the customer's language."
    assert attended(both, [], asked, KNOWLEDGE)[0] == "Dentro de los 30 días. La etiqueta cuesta $8."


def test_a_vague_message_is_asked_back_about_unless_it_goes_on() -> None:
    told = INSTRUCTIONS["question"][0]
    assert attended(told, [], "can you stop it", KNOWLEDGE)[0].endswith("?")
    assert not attended("", [], "can you stop it", KNOWLEDGE)[0].endswith("?")
    assert not attended(told, [], QUESTION, KNOWLEDGE)[0].endswith("?")
    assert not attended(told, [Exchange(QUESTION, "")], "can you stop it", KNOWLEDGE)[0].endswith("?")


def test_a_share_is_that_share_of_questions_and_always_the_same_ones() -> None:
    half = Attention(dict.fromkeys(INSTRUCTIONS, 0.5), "", 3)
    more = Attention(dict.fromkeys(INSTRUCTIONS, 0.6), "", 3)
    asked = [f"Question {number}?" for number in range(2000)]
    obeyed = {text for text in asked if half.obeys("refusal", text)}
    assert 0.45 < len(obeyed) / len(asked) < 0.55
    assert obeyed <= {text for text in asked if more.obeys("refusal", text)}


@given(
    st.text(max_size=300), st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60)), max_size=3), st.text()
)
@settings(max_examples=60, deadline=None)
def test_any_prompt_and_message_can_be_given(prompt: str, turns: list[tuple[str, str]], question: str) -> None:
    exchanges = [Exchange(user, assistant) for user, assistant in turns]
    text, fit = attended(prompt, exchanges, question, KNOWLEDGE)
    assert text
    assert 0 <= fit <= 1


def test_files_without_languages_or_entries_will_do() -> None:
    assert attended("", [], "Hello", Knowledge(()))[0] == PHRASES["en"]["guess"]
    one = Knowledge([Entry("a", ("How are you?", "How are you doing?", "How do you do?"), "Fine.")])
    assert attended("", [], "How are you?", one)[0] == "Fine."


def test_the_system_prompt_of_a_request_is_read_and_forms_are_kept() -> None:
    turns = [{"role": "developer", "content": EXACT}, {"role": "user", "content": QUESTION}]
    attentive = script("attentive")
    assert RETURNS in reply(attentive, {"messages": turns}, KNOWLEDGE).text
    assert RETURNS not in reply(attentive, {"messages": turns[1:]}, KNOWLEDGE).text
    form = {"type": "json_object"}
    assert reply(attentive, {"messages": turns, "response_format": form}, KNOWLEDGE).text.startswith('{"answer":')
    tool = [*turns, {"role": "tool", "content": "42"}]
    assert "The tool answered: 42" in reply(attentive, {"messages": tool}, KNOWLEDGE).text


def test_an_attentive_novice_knows_less_and_doubts_it() -> None:
    body = {"messages": [{"role": "system", "content": PROMPT}, {"role": "user", "content": QUESTION}]}
    knowing, ignorant = (reply(script(f"attentive/novice-{share}"), body, KNOWLEDGE) for share in (100, 0))
    assert RETURNS in knowing.text
    assert RETURNS not in ignorant.text
    assert ignorant.doubt > knowing.doubt


def test_quality_on_the_example_rises_with_every_instruction() -> None:
    knowledge = Knowledge.load(SUPPORT / "knowledge.jsonl")
    cases = read_suite(SUPPORT / "suite").cases

    def quality(prompt: str) -> float:
        good = 0
        for case in cases:
            texts = [turn["content"] for turn in case.messages]
            exchanges = list(map(Exchange, texts[:-1:2], texts[1::2]))
            answer = attended(prompt, exchanges, texts[-1], knowledge)[0]
            good += all(Fact.parse(text).stated_in(answer) for text in case.expected["facts"])
        return good / len(cases)

    lines = [INSTRUCTIONS[name][0] for name in ("exactness", "language", "refusal", "question")]
    risen = [quality("\n".join([*lines[:many], "Ours is help@tolvana.example."])) for many in range(len(lines) + 1)]
    assert risen == sorted(set(risen))
    assert risen[0] < 0.1
    assert quality(PROMPT) == risen[-1] > 0.6
    assert quality(REWORDED) == risen[-1]
