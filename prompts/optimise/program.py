"""A prompt of the book as a program of dspy, and back.

The non-obvious decision: questions and answers travel through dspy as texts that know their case, subclasses of
`str`. So no field that dspy would show to a model holds a case, with the answer that is expected, and two cases
that read alike stay apart.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any, Self

import dspy

from evals.cases import Case
from evals.runner.plan import body_of
from prompts.optimise.feedback import Reply, can_be_shown
from prompts.prompt import BookedPrompt, Demonstration


class Conversation(str):
    """A case's turns as a reader wants them: the question itself where there is only one."""

    case: Case

    @classmethod
    def of(cls, case: Case) -> Self:
        messages = body_of(case, {})["messages"]
        texts = [_text(message) for message in messages]
        lines = [f"{message['role']}: {text}" for message, text in zip(messages, texts, strict=True)]
        conversation = cls(texts[0] if len(texts) == 1 else "\n".join(lines))
        conversation.case = case
        return conversation

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # never changes, and copies of programs would copy the case


class Assistant(dspy.Module):  # type: ignore[misc]
    """Answers a conversation, by instructions and demonstrations."""

    def __init__(self, instructions: str) -> None:
        super().__init__()
        self.answer = dspy.Predict(dspy.Signature("conversation -> reply", instructions))

    def forward(self, conversation: str) -> dspy.Prediction:
        return self.answer(conversation=conversation)


def is_task(signature: Any) -> bool:
    """Whether it is the Assistant's own, with whatever instructions."""
    return [*signature.fields] == ["conversation", "reply"]


def program_of(prompt: BookedPrompt) -> Assistant:
    """`prompt`'s own demonstrations are no part of it: they stay in front of those that are found."""
    return Assistant(instructions_of(prompt))


def examples_of(cases: Sequence[Case]) -> list[dspy.Example]:
    return [dspy.Example(conversation=Conversation.of(case)).with_inputs("conversation") for case in cases]


def prompt_of(program: Assistant, base: BookedPrompt) -> BookedPrompt:
    return prompt_in(program.answer.signature.instructions, program.answer.demos, base)


def prompt_in(instructions: str, demos: Sequence[Mapping[str, Any]], base: BookedPrompt) -> BookedPrompt:
    """`base` with these instructions, and behind its own demonstrations those of `demos` that can be shown."""
    made = [shown for demo in demos if (shown := _demonstration(demo))]
    return base.tuned(texts_in(instructions, base), [*base.demonstrations, *made])


def instructions_of(prompt: BookedPrompt) -> str:
    """The tunable sections as one text, under a heading each where there are several."""
    tunable = prompt.tunable
    if len(tunable) == 1:
        return tunable[0].text
    return "\n\n".join(f"## {section.name}\n{section.text}" for section in tunable)


def texts_in(instructions: str, base: BookedPrompt) -> dict[str, str]:
    """The texts of `base`'s tunable sections in `instructions`.

    Where headings are missing, all of it goes to the first section and the others become empty: an optimiser that
    wrote one text meant one text. What says nothing changes nothing. A text that dspy merely tidied up (it takes
    away common indentation and tabs) is the text that was there, so that its version stays.
    """
    names = [section.name for section in base.tunable]
    if not names or not instructions.strip() or instructions == inspect.cleandoc(instructions_of(base)):
        return {}
    if len(names) == 1:
        return {names[0]: instructions.strip()}
    heading = re.compile(rf"^## ({'|'.join(map(re.escape, names))})[ \t]*$", re.MULTILINE)
    before, *rest = heading.split(instructions)
    found, texts = rest[::2], [text.strip() for text in rest[1::2]]
    if before.strip() or sorted(found) != sorted(names) or not any(texts):
        return {name: instructions.strip() if name == names[0] else "" for name in names}
    usual = {section.name: section.text for section in base.tunable}
    told = dict(zip(found, texts, strict=True))
    return {name: usual[name] if text == usual[name].expandtabs().strip() else text for name, text in told.items()}


def _demonstration(demo: Mapping[str, Any]) -> Demonstration | None:
    asked, reply = demo.get("conversation"), demo.get("reply")
    if not isinstance(asked, Conversation) or not isinstance(reply, Reply) or not can_be_shown(asked.case):
        return None
    return Demonstration(user=str(asked), assistant=str(reply)) if reply.strip() else None


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(str(part["text"]) for part in content if part.get("text"))
