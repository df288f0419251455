"""One whole answer, put together from the chunks of a stream as they pass.

The non-obvious decision: values are merged by their kind, not by their name, so nothing is dropped because Weir has
never heard of it. Text that goes on is only collected, and joined when something else comes: a long answer is not
copied with each of its tokens, and when it ends little is left to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.records import Endpoint
from router.replay import objects_in

_Json = dict[str, Any]

_WHOLE = {"chat/completions": "chat.completion", "completions": "text_completion"}
_SAID_ONCE = frozenset({"role", "id", "type", "name", "index"})
"""What a stream sends once, or again and again; all other text comes in parts."""
_PADDING = "obfuscation"
"""Random text with which OpenAI hides how long its chunks are."""


class Assembly:
    """`add` each parsed chunk, in order; `answer` is what they amount to."""

    __slots__ = ("_answer", "_choices", "_endpoint", "_going_on", "_lengths", "_texts")

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._answer: _Json = {}
        self._choices: dict[int, _Json] = {}
        self._lengths: list[int] = []
        self._going_on: _Json | None = None
        """The choice whose text `_texts` are."""
        self._texts: list[str] = []

    def add(self, chunk: Mapping[str, Any]) -> None:
        answer = self._answer
        for name, value in chunk.items():
            if value is not None or name not in answer:
                answer[name] = value
        choices = chunk.get("choices")
        for part in choices if type(choices) is list else ():
            if type(part) is dict:
                self._add_part(part)

    def answer(self) -> tuple[_Json, tuple[int, ...]]:
        """The whole answer, and how long the pieces of its text were.

        The lengths are those of a lone choice's content, in characters; of several choices there are none. A choice
        that never ended has the finish_reason None.
        """
        self._join()
        answer, choices = self._answer, self._choices
        answer.pop(_PADDING, None)
        answer["object"] = _WHOLE[self._endpoint]
        answer["choices"] = [_rounded_off(choices[index]) for index in sorted(choices)]
        return answer, tuple(self._lengths) if len(choices) == 1 else ()

    def add_text(self, index: int, text: str) -> None:
        """As `add` would with a chunk that is like the last one in all but the text of its only choice."""
        choice = self._choices[index]
        if choice is not self._going_on:
            self._join()
            self._going_on = choice
        self._texts.append(text)
        if text:
            self._lengths.append(len(text))

    def _add_part(self, part: Mapping[str, Any]) -> None:
        index = index_of(part)
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = {"index": index, **_blank(self._endpoint)}
        text = text_alone(part)
        if text is not None and "message" in choice and all(name in choice or name == "delta" for name in part):
            self.add_text(index, text)
            return
        self._join()
        text = _add_part(choice, part)
        if text:
            self._lengths.append(len(text))

    def _join(self) -> None:
        if self._going_on is not None:
            _merge(self._going_on.setdefault("message", {}), {"content": "".join(self._texts)})
            self._going_on = None
            self._texts.clear()


def index_of(part: Mapping[str, Any]) -> int:
    """Which choice `part` belongs to."""
    index = part.get("index")
    return index if type(index) is int else 0


def text_alone(part: Mapping[str, Any]) -> str | None:
    """The content that `part` adds to a chat's choice, where that is all there is to it."""
    delta = part.get("delta")
    if type(delta) is not dict or len(delta) != 1 or type(text := delta.get("content")) is not str:
        return None
    for name, value in part.items():
        if value is not None and name not in ("delta", "index"):
            return None
    return text


def _add_part(choice: _Json, part: Mapping[str, Any]) -> str:
    """Add one chunk's part of a choice; returns the piece of its text that came with it."""
    text: object = None
    for name, value in part.items():
        if name in ("index", "message"):
            continue
        if name == "delta" and isinstance(value, dict) and "message" in choice:
            _merge(choice["message"], value)
            text = value.get("content")
        elif name in ("text", "logprobs"):
            _merge(choice, {name: value})
            text = value if name == "text" else text
        elif isinstance(value, list):
            known = choice.get(name)
            choice[name] = [*known, *value] if isinstance(known, list) else value
        elif value is not None or name not in choice:
            choice[name] = value
    return text if isinstance(text, str) else ""


def _merge(whole: _Json, part: Mapping[str, Any]) -> None:
    """Add `part` to `whole`: text is joined, lists go on, objects merge, and of anything else the last counts."""
    for name, value in part.items():
        known = whole.get(name)
        if isinstance(value, dict):
            if not isinstance(known, dict):
                known = whole[name] = {}
            _merge(known, value)
        elif isinstance(value, list):
            if not isinstance(known, list):
                known = whole[name] = []
            for item in value:
                _append(known, item)
        elif isinstance(value, str) and isinstance(known, str) and name not in _SAID_ONCE:
            whole[name] = known + value
        elif known is None or value not in (None, ""):
            whole[name] = value


def _append(items: list[Any], item: Any) -> None:
    """Add `item`, or merge it with the one of the same `index`, as tool calls have."""
    if not isinstance(item, dict) or type(item.get("index")) is not int:
        items.append(item)
        return
    same = next((known for known in items if isinstance(known, dict) and known.get("index") == item["index"]), None)
    if same is None:
        items.append(same := {})
    _merge(same, item)


def _blank(endpoint: Endpoint) -> _Json:
    """What every whole answer's choice has."""
    if endpoint == "chat/completions":
        return {"message": {"role": "assistant", "content": None}, "finish_reason": None}
    return {"text": "", "finish_reason": None}


def _rounded_off(choice: _Json) -> _Json:
    """`choice` without the `index` that only streamed tool calls have."""
    message = choice.get("message", {})
    if message.get("tool_calls"):
        message["tool_calls"] = [
            {name: value for name, value in call.items() if name != "index"}
            for call in objects_in(message["tool_calls"])
        ]
    return choice
