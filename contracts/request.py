"""A typed view over a client's raw JSON. What Weir does not know travels on untouched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from contracts.errors import InvalidRequest
from contracts.records import Endpoint

MAX_DEPTH = 128
"""How deep arrays and objects may nest: less than orjson can write, which is less than it can read."""

_RANGES: Mapping[str, tuple[bool, float, float]] = {
    # name: (whole numbers only, lowest, highest)
    "n": (True, 1, 128),
    "temperature": (False, 0, 2),
    "top_p": (False, 0, 1),
    "presence_penalty": (False, -2, 2),
    "frequency_penalty": (False, -2, 2),
    "top_logprobs": (True, 0, 20),
    "max_tokens": (True, 0, 10_000_000),  # none: completions that only score their prompt
    "max_completion_tokens": (True, 1, 10_000_000),
}
FILE_SEARCH = "file_search"
"""The type of a tool that asks Weir to look things up in vector stores. Models are not told of it."""
_NO_TOOLS: Mapping[int, dict[str, Any]] = {}
_NESTING = (dict, list)
_TOOL_ROLES = frozenset({"tool", "function"})
_TYPES: Mapping[str, tuple[type, str]] = {
    "stream": (bool, "true or false"),
    "stream_options": (dict, "an object"),
    "tools": (list, "an array"),
    "response_format": (dict, "an object"),
    "metadata": (dict, "an object"),
    "logit_bias": (dict, "an object"),
    "parallel_tool_calls": (bool, "true or false"),
    "user": (str, "a string"),
}


class ModelRequest:
    """One call to a model endpoint: `raw` is the client's JSON object, `endpoint` where it was sent.

    Raises InvalidRequest, naming the field, where a field that every upstream shares is wrong.
    """

    __slots__ = ("endpoint", "raw")

    def __init__(self, endpoint: Endpoint, raw: object) -> None:
        if not isinstance(raw, dict):
            raise InvalidRequest("The request body must be a JSON object.")
        self.endpoint = endpoint
        self.raw: dict[str, Any] = cast("dict[str, Any]", raw)
        self._check()

    @property
    def model(self) -> str:
        return cast(str, self.raw["model"])

    @property
    def stream(self) -> bool:
        """Whether the answer is to come piece by piece. Embeddings never do, whatever the client sent."""
        return self.endpoint != "embeddings" and bool(self.raw.get("stream"))

    @property
    def wants_usage_chunk(self) -> bool:
        options = self.raw.get("stream_options")
        return isinstance(options, dict) and bool(options.get("include_usage"))

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The chat turns; empty for other endpoints."""
        if self.endpoint != "chat/completions":
            return []
        return cast("list[dict[str, Any]]", self.raw.get("messages") or [])

    @property
    def asked(self) -> list[str]:
        """What the user wrote, in all turns; of completions, the prompts."""
        prompt = self.raw.get("prompt") if self.endpoint == "completions" else None
        texts = [prompt] if isinstance(prompt, str) else [text for text in prompt or () if isinstance(text, str)]
        for turn in self.messages:
            if turn["role"] != "user":
                continue
            content = turn.get("content")
            if isinstance(content, str):
                texts.append(content)
            else:
                texts += [text for part in content or () if isinstance(text := part.get("text"), str)]
        return texts

    @property
    def n(self) -> int:
        return cast(int, self.raw.get("n") or 1)

    @property
    def choices(self) -> int:
        """How many choices a full answer has: `n` for each prompt. Completions take several at once."""
        prompt = self.raw.get("prompt") if self.endpoint == "completions" else None
        prompts = len(prompt) if isinstance(prompt, list) and not _is_tokens(prompt) else 1
        return self.n * prompts

    @property
    def temperature(self) -> float | None:
        return cast("float | None", self.raw.get("temperature"))

    @property
    def file_searches(self) -> Mapping[int, dict[str, Any]]:
        """A chat's tools of type `file_search`, by their place among its tools."""
        tools = self.raw.get("tools")
        if not tools or self.endpoint != "chat/completions":
            return _NO_TOOLS
        return {place: tool for place, tool in enumerate(tools) if is_file_search(tool)}

    @property
    def uses_tools(self) -> bool:
        """Whether tools are offered, or have been called in an earlier turn. Weir's own `file_search` is none."""
        if self.raw.get("functions") or not all(map(is_file_search, self.raw.get("tools") or ())):
            return True
        return any(turn["role"] in _TOOL_ROLES or turn.get("tool_calls") for turn in self.messages)

    def _check(self) -> None:
        raw = self.raw
        model = raw.get("model")
        if not isinstance(model, str) or not model:
            raise InvalidRequest("'model' must name a route or a model.", param="model")
        for name, value in raw.items():
            if value is None:
                continue
            if name in _RANGES:
                whole, low, high = _RANGES[name]
                if not _is_number(value, whole) or not low <= value <= high:
                    number = "a whole number" if whole else "a number"
                    raise InvalidRequest(f"'{name}' must be {number} from {low} to {high}.", param=name)
            elif name in _TYPES:
                kind, wanted = _TYPES[name]
                if not isinstance(value, kind):
                    raise InvalidRequest(f"'{name}' must be {wanted}.", param=name)
            if type(value) in _NESTING and _deeper(value, MAX_DEPTH):
                raise InvalidRequest(f"'{name}' is nested more than {MAX_DEPTH} levels deep.", param=name)
        if self.endpoint == "chat/completions":
            self._check_messages()
        elif self.endpoint == "completions":
            self._check_texts("prompt")
        else:
            self._check_texts("input")

    def _check_messages(self) -> None:
        messages = self.raw.get("messages")
        if not isinstance(messages, list) or not messages:
            raise InvalidRequest("'messages' must be a non-empty array.", param="messages")
        for index, message in enumerate(messages):
            if not isinstance(message, dict):
                raise _wrong_message(index, "", "must be an object")
            role = message.get("role")
            if not isinstance(role, str) or not role:
                raise _wrong_message(index, ".role", "must be a string")
            content = message.get("content")
            if content is None or isinstance(content, str):
                continue
            if not isinstance(content, list):
                raise _wrong_message(index, ".content", "must be a string, an array of parts, or null")
            if not all(isinstance(part, dict) for part in content):
                raise _wrong_message(index, ".content", "must hold objects")

    def _check_texts(self, name: str) -> None:
        value = self.raw.get(name)
        if isinstance(value, str):
            return
        if not isinstance(value, list) or not value:
            raise InvalidRequest(f"'{name}' must be a string or a non-empty array.", param=name)
        if not all(isinstance(item, str) or _is_tokens(item) for item in value):
            raise InvalidRequest(f"'{name}' must hold strings or token numbers.", param=name)


def is_file_search(tool: object) -> bool:
    return isinstance(tool, dict) and tool.get("type") == FILE_SEARCH


def _deeper(value: Any, most: int) -> bool:
    """Whether arrays and objects nest more than `most` levels deep."""
    level = [value]
    for _ in range(most):
        level = [
            part
            for outer in level
            for part in (outer.values() if type(outer) is dict else outer)
            if type(part) in _NESTING
        ]
        if not level:
            return False
    return True


def _wrong_message(index: int, field: str, what: str) -> InvalidRequest:
    where = f"messages[{index}]{field}"
    return InvalidRequest(f"'{where}' {what}.", param=where)


def _is_number(value: object, whole: bool) -> bool:
    return type(value) is int or (not whole and type(value) is float)


def _is_tokens(item: object) -> bool:
    if isinstance(item, list):
        return all(type(token) is int for token in item)
    return type(item) is int
