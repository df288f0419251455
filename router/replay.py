"""A stored answer as bytes again, whole or streamed; `router.assembly` is the way back.

The non-obvious decision: nothing is dropped because it is unknown. Whatever is not cut into pieces travels in the
first or the last chunk, so that a replay put together gives the stored answer again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from contracts.records import Endpoint, StoredAnswer
from contracts.sse import DONE, event

_Json = dict[str, Any]

_CHUNK = {"chat/completions": "chat.completion.chunk", "completions": "text_completion"}
_SPOKEN = ("reasoning_content", "reasoning", "refusal", "content")
"""The texts of a message, in the order in which models write them."""
_NOTES = "annotations"
"""What points into the text, and so comes after it."""
_WORD = re.compile(r"\s*\S{1,24}|\s+")


def replay_whole(stored: StoredAnswer, *, reply_id: str, created: int) -> bytes:
    """The JSON answer under a new id. `reply_id` without OpenAI's prefix; `created` in Unix seconds."""
    data = orjson.loads(stored.body)
    if data.get("choices"):
        data = _stamped(data, reply_id, created)
    if stored.usage is not None:
        data["usage"] = stored.usage
    return orjson.dumps(data)


def replay_events(
    stored: StoredAnswer, endpoint: Endpoint, *, reply_id: str, created: int, usage: bool
) -> Iterator[bytes]:
    """The same answer as server-sent events, [DONE] included; `usage`: the client asked for it in the stream.

    A lone choice comes in the pieces in which it was streamed, anything else in words. Embeddings are never
    streamed.
    """
    data = _stamped(orjson.loads(stored.body), reply_id, created)
    choices = data.pop("choices")
    reported = data.pop("usage", None) if stored.usage is None else stored.usage
    frame = {**data, "object": _CHUNK[endpoint]}
    if usage and reported is not None:
        frame["usage"] = None
    else:
        frame.pop("usage", None)
    lengths = stored.pieces if len(choices) == 1 else ()
    for choice in choices:
        parts_of = _message_parts if "message" in choice else _text_parts
        for part in parts_of(choice, lengths):
            yield event(orjson.dumps({**frame, "choices": [part]}))
    if "usage" in frame:
        yield event(orjson.dumps({**frame, "choices": [], "usage": reported}))
    yield event(DONE)


def text_of(answer: Mapping[str, Any]) -> str:
    """All that the model wrote in a whole answer, of all choices."""
    choices = objects_in(answer.get("choices"))
    return "".join(
        text for choice in choices for said in (choice, choice.get("message")) for text in texts_in(said)
    )


def texts_in(said: object) -> list[str]:
    """What the model wrote in a choice, its message, or a piece of one: reasoning, content and tool calls."""
    if not isinstance(said, dict):
        return []
    if len(said) == 1 and type(text := said.get("content")) is str:  # so it is with nearly every piece of a stream
        return [text] if text else []
    texts = [said.get(name) for name in ("text", *_SPOKEN)]
    for call in objects_in(said.get("tool_calls")):
        for function in objects_in([call.get("function")]):
            texts += (function.get("name"), function.get("arguments"))
    return [text for text in texts if text and isinstance(text, str)]


def objects_in(value: object) -> Iterator[_Json]:
    """The objects in what should be a list of them: models are not to be trusted with shapes."""
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _stamped(data: _Json, reply_id: str, created: int) -> _Json:
    prefix = "chatcmpl" if any("message" in choice for choice in data["choices"]) else "cmpl"
    return {**data, "id": f"{prefix}-{reply_id}", "created": created}


def _message_parts(choice: _Json, lengths: Sequence[int]) -> Iterator[_Json]:
    """The chunks of one chat choice: its role, its texts piece by piece, its end."""
    message = choice["message"]
    texts = {name: text for name in _SPOKEN if (text := message.get(name)) and isinstance(text, str)}
    after = {_NOTES: message[_NOTES]} if message.get(_NOTES) else {}
    opening = {name: value for name, value in message.items() if name not in texts and name not in after}
    if "content" in texts:
        opening["content"] = ""
    if opening.get("tool_calls"):
        opening["tool_calls"] = [{"index": index, **call} for index, call in enumerate(opening["tool_calls"])]
    yield _part(choice, {"delta": opening})
    logprobs: Any = choice.get("logprobs")
    unsent = dict(logprobs) if isinstance(logprobs, dict) else logprobs
    for name, text in texts.items():
        pieces = _pieces(text, lengths if name == "content" else ())
        tokens = logprobs.get(name) if isinstance(logprobs, dict) else None
        if not isinstance(tokens, list) or not all(map(_is_token, tokens)):
            yield from (_part(choice, {"delta": {name: piece}}) for piece in pieces)
            continue
        unsent[name] = None
        for piece, share in zip(pieces, _shares([token["token"] for token in tokens], pieces), strict=True):
            yield _part(choice, {"delta": {name: piece}}, {**dict.fromkeys(logprobs), name: tokens[share]})
    if after:
        yield _part(choice, {"delta": after})
    yield _ending(choice, {"delta": {}}, unsent)


def _text_parts(choice: _Json, lengths: Sequence[int]) -> Iterator[_Json]:
    """The chunks of one completion choice. Its logprobs are lists of equal length, one item for each token."""
    pieces = _pieces(choice["text"], lengths)
    logprobs: Any = choice.get("logprobs")
    tokens = logprobs.get("tokens") if isinstance(logprobs, dict) else None
    if not pieces or not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        yield from (_part(choice, {"text": piece}) for piece in pieces)
        yield _ending(choice, {"text": ""}, logprobs)
        return
    lists = {name: items for name, items in logprobs.items() if isinstance(items, list)}
    none_yet = dict.fromkeys(logprobs)
    for piece, share in zip(pieces, _shares(tokens, pieces), strict=True):
        yield _part(choice, {"text": piece}, {**none_yet, **{name: items[share] for name, items in lists.items()}})
    yield _ending(choice, {"text": ""}, {**logprobs, **dict.fromkeys(lists)})


def _is_token(token: object) -> bool:
    return isinstance(token, dict) and isinstance(token.get("token"), str)


def _part(choice: _Json, said: _Json, logprobs: _Json | None = None) -> _Json:
    part = {"index": choice.get("index", 0), **said, "finish_reason": None}
    if "logprobs" in choice:
        part["logprobs"] = logprobs
    return part


def _ending(choice: _Json, said: _Json, logprobs: _Json | None) -> _Json:
    """The last chunk, which also carries what Weir has never heard of."""
    rest = {name: value for name, value in choice.items() if name not in ("message", "text", "logprobs")}
    return {**_part(choice, said, logprobs), **rest}


def _pieces(text: str, lengths: Sequence[int]) -> list[str]:
    """`text` cut into `lengths` where they fit it, else into words and the space before them."""
    if not lengths or sum(lengths) != len(text):
        return _WORD.findall(text)
    pieces = []
    begin = 0
    for length in lengths:
        pieces.append(text[begin : begin + length])
        begin += length
    return pieces


def _shares(tokens: Sequence[str], pieces: Sequence[str]) -> Iterator[slice]:
    """Which `tokens` go with each piece: those that end inside it, and with the last piece all that are left."""
    taken = 0
    ahead = 0  # characters of tokens taken beyond the pieces so far
    for piece in pieces[:-1]:
        first = taken
        ahead -= len(piece)
        while taken < len(tokens) and ahead + len(tokens[taken]) <= 0:
            ahead += len(tokens[taken])
            taken += 1
        yield slice(first, taken)
    yield slice(taken, None)
