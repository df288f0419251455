"""The scripted upstream's answers in OpenAI's JSON shapes, whole or cut into the objects of a stream."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from router.upstreams.scripted_answers import Reply, texts, tokens, usage
from router.upstreams.scripted_behaviours import Script

_DIMENSIONS = 256
_MOST_DIMENSIONS = 4096


def whole(reply: Reply, chat: bool) -> Mapping[str, Any]:
    """The reply as one JSON object."""
    choices = [_chat_choice(reply, i) if chat else _text_choice(reply, i) for i in range(reply.n)]
    shape = _shape(reply, "chat.completion" if chat else "text_completion", chat)
    return {**shape, "choices": choices} | ({"usage": reply.usage} if reply.usage is not None else {})


def chunks(reply: Reply, chat: bool) -> Iterator[Mapping[str, Any]]:
    """The reply as the objects of a stream, without [DONE]. A choice's first chunk carries no text in a chat."""
    options = reply.body.get("stream_options")
    wants_usage = isinstance(options, dict) and bool(options.get("include_usage")) and reply.usage is not None
    shape = _shape(reply, "chat.completion.chunk" if chat else "text_completion", chat)
    if wants_usage:
        shape["usage"] = None
    if chat:
        for index in range(reply.n):
            yield {**shape, "choices": [_choice(index, delta=_opening(reply, index))]}
    for piece in reply.pieces:
        for index in range(reply.n):
            yield {**shape, "choices": [_piece(reply, chat, index, piece)]}
    for index in range(reply.n):
        closing: Mapping[str, Any] = {"delta": {}} if chat else {"text": ""}
        yield {**shape, "choices": [_choice(index, finish=reply.finish, **closing)]}
    if wants_usage:
        yield {**shape, "choices": [], "usage": reply.usage}


def embeddings(script: Script, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Unit vectors, made from the hashes of a text's tokens: equal for equal texts, near for similar ones."""
    inputs = texts(body.get("input"))
    size = body.get("dimensions")
    size = size if type(size) is int and 1 <= size <= _MOST_DIMENSIONS else _DIMENSIONS
    packed = body.get("encoding_format") == "base64"
    data = []
    for index, text in enumerate(inputs):
        vector = _vector(text, size)
        shown = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode() if packed else vector
        data.append({"object": "embedding", "index": index, "embedding": shown})
    counted = usage(script, {"prompt": inputs}, 0)
    kept = {name: counted[name] for name in ("prompt_tokens", "total_tokens")} if counted is not None else None
    shape = {"object": "list", "model": body.get("model"), "data": data}
    return shape | ({"usage": kept} if kept is not None else {})


def _shape(reply: Reply, kind: str, chat: bool) -> dict[str, Any]:
    return {
        "id": f"{'chatcmpl' if chat else 'cmpl'}-{reply.id}",
        "object": kind,
        "created": reply.created,
        "model": reply.body.get("model"),
        "system_fingerprint": "fp_scripted",
    }


def _choice(index: int, *, finish: str | None = None, logprobs: Any = None, **said: Any) -> Mapping[str, Any]:
    return {"index": index, **said, "logprobs": logprobs, "finish_reason": finish}


def _chat_choice(reply: Reply, index: int) -> Mapping[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None}
    if reply.tool:
        called = {"name": reply.tool, "arguments": reply.text}
        message["content"] = None
        message["tool_calls"] = [{"id": _call_id(reply, index), "type": "function", "function": called}]
    return _choice(index, message=message, finish=reply.finish, logprobs=_logprobs(reply, True, reply.pieces))


def _text_choice(reply: Reply, index: int) -> Mapping[str, Any]:
    return _choice(index, text=reply.text, finish=reply.finish, logprobs=_logprobs(reply, False, reply.pieces))


def _opening(reply: Reply, index: int) -> Mapping[str, Any]:
    if not reply.tool:
        return {"role": "assistant", "content": ""}
    call = {"index": 0, "id": _call_id(reply, index), "type": "function"}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{**call, "function": {"name": reply.tool, "arguments": ""}}],
    }


def _piece(reply: Reply, chat: bool, index: int, piece: str) -> Mapping[str, Any]:
    logprobs = _logprobs(reply, chat, (piece,))
    if not chat:
        return _choice(index, text=piece, logprobs=logprobs)
    if reply.tool:
        return _choice(index, delta={"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    return _choice(index, delta={"content": piece}, logprobs=logprobs)


def _call_id(reply: Reply, index: int) -> str:
    return f"call_{reply.id[:20]}{index}"


def _logprobs(reply: Reply, chat: bool, pieces: Sequence[str]) -> Mapping[str, Any] | None:
    """Invented, but the same for the same token: between -1 and 0."""
    if not reply.body.get("logprobs") or reply.tool:
        return None
    if not chat:
        return {
            "tokens": list(pieces),
            "token_logprobs": [_logprob(piece) - reply.doubt for piece in pieces],
            "top_logprobs": [{piece: _logprob(piece) - reply.doubt} for piece in pieces],
            "text_offset": [],
        }
    top = reply.body.get("top_logprobs") or 0
    content = []
    for piece in pieces:
        logprob = _logprob(piece) - reply.doubt
        said: dict[str, Any] = {"token": piece, "logprob": logprob, "bytes": list(piece.encode())}
        others = [{"token": f"{piece}{i}", "logprob": logprob - i, "bytes": None} for i in range(1, top)]
        content.append({**said, "top_logprobs": [said, *others] if top else []})
    return {"content": content, "refusal": None}


def _logprob(piece: str) -> float:
    return -hashlib.blake2b(piece.encode(), digest_size=1).digest()[0] / 256


def _vector(text: str, size: int) -> list[float]:
    sums = [0.0] * size
    for token in tokens(text.casefold()) or [""]:
        for place, value in enumerate(_directions(token.strip(), size)):
            sums[place] += value - 127.5
    length = math.sqrt(sum(value * value for value in sums))
    return [value / length for value in sums]


@lru_cache(maxsize=4096)
def _directions(token: str, size: int) -> bytes:
    return hashlib.shake_128(token.encode()).digest(size)
