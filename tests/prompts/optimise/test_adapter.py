"""What dspy asks goes out as the book renders it, or in dspy's own form where it asks for instructions."""

from __future__ import annotations

import json

import dspy
import pytest

from evals.cases import Case, canonical
from evals.runner.plan import body_of
from prompts.optimise.adapter import BookAdapter
from prompts.optimise.catalogue import optimiser_of
from prompts.optimise.engine import reflecting
from prompts.optimise.feedback import Escape, Trials
from prompts.optimise.ports import CallFailed
from prompts.optimise.program import examples_of, program_of
from prompts.prompt import BookedPrompt, Demonstration, Section
from tests.prompts.optimise.plain_line import PlainLine, Tale, search_for

BASE = BookedPrompt(
    sections=(
        Section(name="who", text="You are {{ company }}'s help desk.\n\n    Indented."),
        Section(name="law", text="Never lie.", locked=True),
    ),
    slots={"company": "Tolvana"},
    demonstrations=(Demonstration("Who are you?", "{{ company }}"),),
    rule="append",
)
TURNS = (
    {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
    {"role": "user", "content": "How much?", "name": "ann"},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]},
    {"role": "tool", "tool_call_id": "1", "content": "{}"},
)
CASE = Case(id="a", messages=TURNS, expected={"facts": ["$8"]}, segment="", cluster="a", metadata={})


class Deaf(PlainLine):
    def model(self, *_: object) -> str:
        raise CallFailed("down")


def asked(line: PlainLine, question: type[dspy.Signature] | str, **inputs: str) -> dspy.Prediction:
    search = search_for(optimiser_of("gepa"), line, Tale(), prompt=BASE)
    with dspy.context(lm=reflecting(line), adapter=BookAdapter(search, Trials(search))):
        return dspy.Predict(question)(**inputs)


@pytest.mark.parametrize(("settings", "temperature"), [({}, None), ({"temperature": 0.7, "rollout_id": 3}, 0.7)])
def test_what_is_sent_is_what_the_book_renders(settings: dict[str, float], temperature: float | None) -> None:
    line = PlainLine()
    search = search_for(optimiser_of("gepa"), line, Tale(), prompt=BASE, slots={"company": "Umbra"})
    program = program_of(BASE)
    program.set_lm(reflecting(line).copy(**settings))
    with dspy.context(adapter=BookAdapter(search, Trials(search))):
        reply = program(**examples_of([CASE])[0].inputs()).reply
    body = BASE.filled({"company": "Umbra"}).apply(body_of(CASE, {}), "chat/completions")
    assert line.tasks == [canonical([{**body_of(CASE, {}), **body}, temperature])]
    assert reply.case is CASE


def test_the_tasks_format_is_the_renderer_and_its_parse_gives_back_the_whole_reply() -> None:
    search = search_for(optimiser_of("gepa"), PlainLine(), Tale(), prompt=BASE)
    adapter = BookAdapter(search, Trials(search))
    task = program_of(BASE).answer.signature.with_instructions("Be brief.")
    tried = BASE.tuned({"who": "Be brief."})
    rendered = tried.filled({}).apply(body_of(CASE, {}), "chat/completions")["messages"]
    assert adapter.format(task, [], examples_of([CASE])[0].inputs()) == rendered
    said = " [[ ## reply ## ]]\nYes.\n\n[[ ## completed ## ]] "
    assert adapter.parse(task, said) == {"reply": said}
    assert adapter.parse(dspy.Signature("topic -> reply"), said.strip()) == {"reply": "Yes."}


@pytest.mark.parametrize(
    ("said", "instruction"),
    [
        ("[[ ## instruction ## ]]\nBe brief.\n\n[[ ## completed ## ]]", "Be brief."),
        ("Be brief.", "Be brief."),
        ("", ""),
    ],
)
def test_one_text_is_taken_with_or_without_dspys_markers(said: str, instruction: str) -> None:
    line = PlainLine(editor=said)
    assert asked(line, "topic -> instruction", topic="prices").instruction == instruction
    ((messages, _),) = map(json.loads, line.reflections)
    assert [message["role"] for message in messages] == ["system", "user"]
    assert "Never lie." in messages[0]["content"]
    assert "[[ ## topic ## ]]\nprices" in messages[1]["content"]


def test_a_text_that_nobody_writes_is_empty() -> None:
    assert asked(Deaf(), "topic -> instruction", topic="prices").instruction == ""


def test_several_fields_are_asked_for_again_as_json() -> None:
    line = PlainLine(editor='{"advice": "Be brief.", "reason": "It is long."}')
    assert asked(line, "topic -> advice, reason", topic="prices").advice == "Be brief."
    assert len(line.reflections) == 2


def test_the_end_of_the_calls_escapes_dspys_model_layer() -> None:
    with pytest.raises(Escape):
        asked(PlainLine(most=0), "topic -> instruction", topic="prices")
