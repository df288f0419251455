"""What the model that reflects is asked, and what is made of its answer."""

from __future__ import annotations

import json

import pytest

from prompts.optimise.feedback import Escape
from prompts.optimise.ports import CallFailed, SearchEnded
from prompts.optimise.proposing import Proposer, proposal_in, request_of, standing_notes
from prompts.prompt import BookedPrompt, Contract, Section
from tests.prompts.optimise.plain_line import PlainLine

BASE = BookedPrompt(
    sections=(
        Section(name="who", text="You are {{ company }}'s help desk. {{ nothing }}"),
        Section(name="law", text="Never lie about {{ year }}.", locked=True),
        Section(name="manner", text="Be polite."),
    ),
    slots={"company": "Tolvana", "year": "2026"},
    contract=Contract(text="Answer in one line."),
    rule="prepend",
)
EXAMPLE = {
    "Inputs": {"conversation": "How much is it?"},
    "Generated Outputs": {"reply": "Not much."},
    "Feedback": "Score 0.00 of 1. does not say: $8",
}


class Silent(PlainLine):
    def model(self, *_: object) -> str:
        raise CallFailed("down")


@pytest.mark.parametrize(
    ("said", "proposal"),
    [
        ("```\nBe brief.\n```", "Be brief."),
        ("Here you are:\n```markdown\nBe brief.\nBe kind.\n```\nGood luck!", "Be brief.\nBe kind."),
        ("```Be brief.```", "Be brief."),
        ("```\nUse ```code``` for paths.\n```", "Use ```code``` for paths."),
        ("Be brief.", "Be brief."),
        ("```\nBe brief.", "Be brief."),
        ("", ""),
        ("``````", ""),
    ],
)
def test_the_proposal_is_what_stands_between_backticks(said: str, proposal: str) -> None:
    assert proposal_in(said) == proposal


def test_the_request_says_what_went_wrong_and_what_must_stay() -> None:
    request = request_of("Be good.", [EXAMPLE, EXAMPLE], BASE)
    said = ["```\nBe good.\n```", "Asked: How much is it?", "Replied: Not much.", "does not say: $8", "Example 2"]
    stays = ["Never lie about {{ year }}.", "Answer in one line.", "{{ company }}", "'## who', '## manner'"]
    assert [text for text in (*said, *stays) if text not in request] == []
    assert "{{ nothing }}" not in request
    assert "do not quote or mention these examples" in request


def test_nothing_is_noted_of_a_plain_prompt() -> None:
    assert standing_notes(BookedPrompt.plain("Be {{ good }}.", "append")) == ""


def test_the_model_is_asked_for_each_component() -> None:
    line = PlainLine(editor="```\nBe kind.\n```")
    assert Proposer(line, BASE)({"answer": "Be good."}, {"answer": [EXAMPLE]}, ["answer"]) == {"answer": "Be kind."}
    ((messages, temperature),) = map(json.loads, line.reflections)
    assert messages == [{"role": "user", "content": request_of("Be good.", [EXAMPLE], BASE)}]
    assert temperature == 1.0


@pytest.mark.parametrize("line", [Silent(), PlainLine(editor="``` ```")])
def test_without_a_proposal_the_instructions_stay(line: PlainLine) -> None:
    assert Proposer(line, BASE)({"answer": "Be good."}, {}, ["answer"]) == {"answer": "Be good."}


def test_the_end_of_the_calls_escapes() -> None:
    with pytest.raises(Escape) as escape:
        Proposer(PlainLine(most=0), BASE)({"answer": "Be good."}, {}, ["answer"])
    assert isinstance(escape.value.cause, SearchEnded)
