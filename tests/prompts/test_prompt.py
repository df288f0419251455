"""Versions of prompts: what they are of, and what they do to a request's body."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.ports import Prompt
from prompts.prompt import BookedPrompt, Contract, Demonstration, Section
from registry.prompts import put
from registry.store import Registry

BODY = {"model": "support", "messages": [{"role": "user", "content": "hello"}], "x-unknown": 1}
BRIEF = BookedPrompt.plain("Be brief.", "prepend")
RICH = BookedPrompt(
    sections=(
        Section(name="tone", text="Speak for {{ firm }}."),
        Section(name="law", text="Never promise refunds.", locked=True),
    ),
    rule="append",
    demonstrations=(Demonstration("Who are you?", "I am {{ firm }}'s."),),
    slots={"firm": "Acme"},
    contract=Contract(text="At most 50 words, {{ reader }}.", most_words=50),
)


@pytest.mark.parametrize("prompt", [BRIEF, RICH])
def test_a_version_is_the_registrys(tmp_path: Path, prompt: BookedPrompt) -> None:
    assert put(Registry(tmp_path), "support", prompt.content, "test") == prompt.version
    assert BookedPrompt.stored(prompt.content) == prompt
    assert BookedPrompt.stored(prompt.content).version == prompt.version


def test_a_version_outlives_the_process() -> None:
    assert BRIEF.content == b'{"sections":[{"name":"instructions","text":"Be brief."}],"rule":"prepend"}'
    assert BRIEF.version == "5c19a6e0db95c1ee"


def test_equal_prompts_have_one_version_however_they_were_made() -> None:
    spelt_out = BookedPrompt(
        sections=(Section(name="instructions", text="Be brief.", locked=False),),
        rule="prepend",
        demonstrations=(),
        slots={},
        contract=Contract(text="", most_words=None),
    )
    assert spelt_out == BRIEF
    assert spelt_out.version == BRIEF.version
    turned = BookedPrompt(sections=BRIEF.sections, rule="prepend", slots={"b": "2", "a": "1"})
    assert (
        turned.version == BookedPrompt(sections=BRIEF.sections, rule="prepend", slots={"a": "1", "b": "2"}).version
    )


def test_whatever_a_prompt_does_is_in_its_version() -> None:
    others = [
        RICH.tuned({"tone": "Be kind."}),
        RICH.tuned({}, [Demonstration("a", "b")]),
        RICH.tuned({}, []),
        BookedPrompt(sections=RICH.sections, rule="prepend", demonstrations=RICH.demonstrations, slots=RICH.slots),
        BookedPrompt(sections=RICH.sections, rule="append", demonstrations=RICH.demonstrations),
        BookedPrompt(sections=RICH.sections[:1], rule="append"),
    ]
    assert len({RICH.version, *(other.version for other in others)}) == 1 + len(others)


def test_a_prompt_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        BRIEF.sections = ()  # type: ignore[misc]


def test_an_optimiser_changes_no_locked_section() -> None:
    assert [section.name for section in RICH.tunable] == ["tone"]
    assert RICH.tuned({"tone": "New."}).text == "New.\n\nNever promise refunds.\n\nAt most 50 words, {{ reader }}."
    for name in ("law", "absent"):
        with pytest.raises(ValueError, match=f"no tunable section is called {name}"):
            RICH.tuned({name: "New."})


def test_slots_are_filled_with_what_is_given_else_with_the_prompts_own() -> None:
    usual, own = RICH.filled(), RICH.filled({"firm": "Globex", "reader": "you"})
    assert usual.text.startswith("Speak for Acme.")
    assert own.text.startswith("Speak for Globex.")
    assert own.text.endswith("{{ reader }}.")  # declared by nobody, so it is text
    assert own.demonstrations == (
        {"role": "user", "content": "Who are you?"},
        {"role": "assistant", "content": "I am Globex's."},
    )


def test_answers_depend_on_what_slots_are_filled_with_and_versions_do_not() -> None:
    usual, same, own = RICH.filled(), RICH.filled({"firm": "Acme", "x": "1"}), RICH.filled({"firm": "Globex"})
    assert (usual.version, own.version) == (RICH.version, RICH.version)
    assert usual.rendering == same.rendering != own.rendering
    assert BRIEF.filled({"x": "1"}).rendering == BRIEF.version


@given(st.text(max_size=20))
def test_a_value_is_text_even_where_it_looks_like_a_slot(value: str) -> None:
    prompt = BookedPrompt(
        sections=(Section(name="a", text="<{{ a }}|{{b}}>"),), rule="prepend", slots={"a": "", "b": "B"}
    )
    assert prompt.filled({"a": value}).text == f"<{value}|B>"
    assert prompt.filled({"a": "{{ b }}"}).text == "<{{ b }}|B>"


def test_a_prompt_goes_into_a_chat_and_nothing_else_is_touched() -> None:
    prompt: Prompt = BRIEF.filled()
    applied = prompt.apply(BODY, "chat/completions")
    assert applied == {**BODY, "messages": [{"role": "system", "content": "Be brief."}, *BODY["messages"]]}
    assert len(BODY["messages"]) == 1


def test_endpoints_without_system_prompts_get_their_body_back() -> None:
    body = {"model": "m", "prompt": "hello", "input": "hello"}
    assert BRIEF.filled().apply(body, "completions") is body
    assert BRIEF.filled().apply(body, "embeddings") is body


def test_a_body_that_does_not_change_is_not_copied() -> None:
    body = {"model": "m", "messages": [{"role": "system", "content": "mine"}]}
    assert BookedPrompt.plain("Be brief.", "only-if-absent").filled().apply(body, "chat/completions") is body


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rule": "sideways"}, "'sideways' is not a merge rule"),
        ({"sections": (Section(name="a", text=" \n"),)}, "must say something"),
        ({"sections": ()}, "must say something"),
        ({"sections": (Section(name="a", text="x"), Section(name="a", text="y"))}, "the same name"),
    ],
)
def test_what_can_be_no_prompt_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        BookedPrompt(**{"sections": BRIEF.sections, "rule": "prepend", **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"sections": [], "rule": "prepend", "colour": "red"}', b"\xff"])
def test_what_no_prompt_made_is_not_read_back(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        BookedPrompt.stored(content)
