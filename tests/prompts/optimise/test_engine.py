"""The model that reflects, asked through dspy's model layer."""

from __future__ import annotations

import json

import dspy
import pytest
from dspy.lm15 import Message, Request

from prompts.optimise.engine import LineEngine, reflecting
from prompts.optimise.ports import CallFailed
from tests.prompts.optimise.plain_line import PlainLine


class Deaf(PlainLine):
    def model(self, *_: object) -> str:
        self.reflections.append(b"")
        raise CallFailed("the upstream is down")


def test_a_request_is_told_as_messages_and_answered_with_the_text() -> None:
    line = PlainLine(editor="Be brief.")
    request = Request(
        model="weir/reflection",
        system="You write instructions.",
        messages=(Message.user("Write."), Message.assistant("What?"), Message.user("Instructions.")),
    )
    assert LineEngine(line).complete(request).message.text == "Be brief."
    assert json.loads(line.reflections[0]) == [
        [
            {"role": "system", "content": "You write instructions."},
            {"role": "user", "content": "Write."},
            {"role": "assistant", "content": "What?"},
            {"role": "user", "content": "Instructions."},
        ],
        None,
    ]


def test_nothing_is_remembered_and_the_temperature_is_what_a_copy_says() -> None:
    line = PlainLine(editor="Be brief.")
    warm = reflecting(line).copy(temperature=0.5, rollout_id=7)
    for _ in range(2):
        assert warm("Write.") == ["Be brief."]
    assert [json.loads(asked)[1] for asked in line.reflections] == [0.5, 0.5]


def test_a_failure_is_dspys_own_and_is_not_tried_again() -> None:
    line = Deaf()
    with pytest.raises(dspy.LMError, match="the upstream is down"):
        reflecting(line)("Write.")
    assert len(line.reflections) == 1
