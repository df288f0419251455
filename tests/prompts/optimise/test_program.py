"""A prompt becomes a program of dspy and comes back the same, or as an optimiser left it."""

from __future__ import annotations

import copy
from typing import Any

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.cases import Case, Document
from prompts.optimise.feedback import Reply
from prompts.optimise.ports import Marked
from prompts.optimise.program import (
    Conversation,
    examples_of,
    instructions_of,
    program_of,
    prompt_in,
    prompt_of,
    texts_in,
)
from prompts.prompt import BookedPrompt, Demonstration, Section

ONE = BookedPrompt.plain("Be brief.\n    Keep this indented.", "append")
TWO = BookedPrompt(
    sections=(
        Section(name="who", text="You are a help desk."),
        Section(name="law", text="Never lie.", locked=True),
        Section(name="manner", text="Be polite.\n## Not a section\nBe brief."),
    ),
    demonstrations=(Demonstration("Hi", "Hello"),),
    rule="prepend",
)
HI = {"role": "user", "content": "How much is it?"}


def case(*messages: dict[str, Any], **other: Any) -> Case:
    usual: dict[str, Any] = {"expected": {"facts": ["$8"]}, "segment": "prices", "cluster": "c", "metadata": {}}
    return Case(id="a", messages=messages or (HI,), **{**usual, **other})


def demo(of: Case, text: str) -> dict[str, Any]:
    return {"conversation": Conversation.of(of), "reply": Reply.scored(text, Marked(1.0, ""), of)}


texts = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")) | st.sampled_from("\n\t #"), max_size=40
)


@pytest.mark.parametrize("prompt", [ONE, TWO])
def test_a_program_that_nobody_changed_is_the_prompt_that_was(prompt: BookedPrompt) -> None:
    assert prompt_of(program_of(prompt), prompt).version == prompt.version


@given(st.lists(texts.filter(str.strip), min_size=1, max_size=3))
def test_a_program_of_any_sections_is_the_prompt_that_was(said: list[str]) -> None:
    prompt = BookedPrompt(
        sections=tuple(Section(name=f"part {n}", text=text) for n, text in enumerate(said)), rule="replace"
    )
    assert prompt_of(program_of(prompt), prompt).version == prompt.version


def test_a_section_that_nobody_changed_is_the_text_that_was_beside_one_that_somebody_did() -> None:
    first = Section(name="who", text="\tYou help:\n\t\t- with orders \n")
    prompt = BookedPrompt(sections=(first, Section(name="manner", text="Be nice.")), rule="prepend")
    written = program_of(prompt).answer.signature.instructions
    found = prompt_in(written.replace("Be nice.", "Be kind."), [], prompt)
    assert found.sections == (first, Section(name="manner", text="Be kind."))


def test_one_section_is_its_text_and_several_have_headings() -> None:
    assert instructions_of(ONE) == ONE.text
    assert instructions_of(TWO).startswith("## who\nYou are a help desk.\n\n## manner\n")
    assert "Never lie." not in instructions_of(TWO)


def test_new_texts_are_found_under_their_headings_in_any_order() -> None:
    found = texts_in("## manner\nBe kind.\n## Sub\nAnd brief.\n\n## who\nYou help.\n", TWO)
    assert found == {"manner": "Be kind.\n## Sub\nAnd brief.", "who": "You help."}


@pytest.mark.parametrize(
    "broken",
    ["Be kind.", "## who\nYou help.", "Sure!\n## who\nA\n## manner\nB", "## who\nA\n## manner\nB\n## who\nC"],
)
def test_where_headings_are_broken_all_of_it_is_the_first_section(broken: str) -> None:
    assert texts_in(broken, TWO) == {"who": broken, "manner": ""}
    assert prompt_in(broken, [], TWO).sections[1] == TWO.sections[1]


@pytest.mark.parametrize("blank", ["", "  \n"])
def test_what_says_nothing_changes_nothing(blank: str) -> None:
    assert prompt_in(blank, [], TWO) == TWO


def test_what_is_all_locked_takes_no_instructions() -> None:
    locked = BookedPrompt(sections=(Section(name="a", text="Be nice.", locked=True),), rule="append")
    assert prompt_of(program_of(locked), locked) == locked


def test_found_demonstrations_stand_behind_the_prompts_own() -> None:
    found = prompt_in(instructions_of(TWO), [demo(case(), "It is $8.")], TWO)
    assert found.demonstrations == (Demonstration("Hi", "Hello"), Demonstration("How much is it?", "It is $8."))


@pytest.mark.parametrize(
    "shown",
    [
        demo(case(HI, {"role": "assistant", "content": "What?"}, HI), "It is $8."),
        demo(case(documents=(Document("d", "It is $8."),)), "It is $8."),
        demo(case(tools=({"type": "function"},)), "It is $8."),
        demo(case({"role": "user", "content": [{"type": "text", "text": "How much?"}]}), "It is $8."),
        demo(case(), " "),
        {"conversation": Conversation.of(case())},
        {"conversation": "How much is it?", "reply": "It is $8."},
    ],
)
def test_what_a_pair_of_messages_cannot_hold_is_no_demonstration(shown: dict[str, Any]) -> None:
    assert prompt_in(instructions_of(TWO), [shown], TWO) == TWO


def test_a_conversation_reads_as_its_question_or_turn_by_turn() -> None:
    assert Conversation.of(case()) == "How much is it?"
    turns = case(HI, {"role": "assistant", "content": "Of what?"}, {"role": "user", "content": "The brewer"})
    assert Conversation.of(turns) == "user: How much is it?\nassistant: Of what?\nuser: The brewer"
    assert "It is $8." in Conversation.of(case(documents=(Document("d", "It is $8."),)))


def test_an_example_shows_a_model_no_more_than_the_conversation() -> None:
    (example,) = examples_of([case()])
    assert isinstance(example, dspy.Example)
    assert list(example.keys()) == ["conversation"]
    assert "$8" not in repr(example)
    assert copy.deepcopy(example).conversation.case is example.conversation.case
