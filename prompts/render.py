"""Merges a prompt with the messages that a client sent. Pure, and never changes what it is given.

This is the only place where a prompt becomes messages: what is optimised and what is served pass through it alike.

Instructions are messages with the role `system` or `developer`. Many chat templates accept only one of them, and
only at the start, so a prompt is joined to an instruction that is there rather than sent as another message:

| rule             | what it does                                                                                |
| ---------------- | ------------------------------------------------------------------------------------------- |
| `prepend`        | goes in front of the text of the conversation's first message, if that is an instruction    |
| `append`         | goes behind the text of the last of the instructions that open the conversation             |
| `replace`        | takes the place of all instructions, wherever they stand                                    |
| `only-if-absent` | is sent only where there is no instruction at all                                           |

Where there is no instruction to join, the prompt becomes a message of its own in front of the conversation.
Instructions after the first turn belong to the conversation: only `replace` touches them. Demonstrations, questions
with the answers they should get, stand between the opening instructions and the conversation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, Literal

MergeRule = Literal["prepend", "append", "replace", "only-if-absent"]
Message = Mapping[str, Any]

_INSTRUCTING = ("system", "developer")
_GAP = "\n\n"


def render(
    messages: Sequence[Message], text: str, rule: MergeRule, demonstrations: Sequence[Message] = ()
) -> Sequence[Message]:
    """`messages` with a prompt merged in by `rule`; `messages` itself where nothing changes.

    `text` are its instructions; `demonstrations` its messages of users and answers, in turn.
    """
    if rule == "only-if-absent" and any(map(_instructs, messages)):
        return messages
    merged = _merged(messages, text, rule)
    if not demonstrations:
        return merged
    opening = sum(1 for _ in takewhile(_instructs, merged))
    return [*merged[:opening], *demonstrations, *merged[opening:]]


def _merged(messages: Sequence[Message], text: str, rule: MergeRule) -> Sequence[Message]:
    match rule:
        case "prepend":
            if messages and _instructs(messages[0]):
                return [_joined(messages[0], text, in_front=True), *messages[1:]]
        case "append":
            opening = sum(1 for _ in takewhile(_instructs, messages))
            if opening:
                last = opening - 1
                return [*messages[:last], _joined(messages[last], text, in_front=False), *messages[opening:]]
        case "replace":
            instructions = [message for message in messages if _instructs(message)]
            if instructions:
                rest = [message for message in messages if not _instructs(message)]
                rendered = [{"role": instructions[0]["role"], "content": text}, *rest]
                return messages if rendered == messages else rendered
    return [{"role": "system", "content": text}, *messages]


def _instructs(message: Message) -> bool:
    return message.get("role") in _INSTRUCTING


def _joined(message: Message, text: str, *, in_front: bool) -> Message:
    """`message` with `text` before or after its content, which is a string, a list of parts, or nothing."""
    content = message.get("content")
    if not content:
        joined: str | list[Any] = text
    elif isinstance(content, str):
        joined = text + _GAP + content if in_front else content + _GAP + text
    else:
        part = {"type": "text", "text": text + _GAP if in_front else _GAP + text}
        joined = [part, *content] if in_front else [*content, part]
    return {**message, "content": joined}
