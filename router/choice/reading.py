"""What a policy looks at in a request: the question, how long all of it is, and what its model must be able to do.

The non-obvious decision: the text is the last user turn, stripped, just as the semantic cache compares it, so that
one request has one vector. Everything here is bounded: of a request of any size only so much is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from msgspec import Struct

from contracts.ports import Query
from contracts.records import Endpoint

LONGEST = 8_000
"""Characters of a question that are looked at."""
_CHARACTERS_A_TOKEN = 4
"""Of English text, by the tokenizers of current models; other scripts have fewer."""
_IMAGE_TOKENS = 1_000
_TOOL_ROLES = frozenset({"tool", "function"})


class Reading(Struct, frozen=True, kw_only=True):
    """`tokens` is an estimate of the whole prompt, `settled_tokens` of what an earlier turn has sent already."""

    endpoint: Endpoint
    text: str
    tokens: int
    settled_tokens: int
    images: bool
    audio: bool
    tools: bool
    in_tool_loop: bool
    """A tool has answered, and the model that called it is to go on."""
    continues: bool
    """There is an earlier answer in the conversation."""
    session: str
    """The same for all turns of a conversation; empty where there is none."""


def read(query: Query) -> Reading:
    """What there is to know of a request before any model is asked. Raises nothing, whatever the client sent."""
    request = query.request
    messages = query.body.get("messages") if request.endpoint == "chat/completions" else None
    turns: Sequence[Mapping[str, Any]] = messages if isinstance(messages, list) else ()
    parts = [part for turn in turns for part in _parts(turn)]
    answers = [place for place, turn in enumerate(turns) if turn.get("role") == "assistant"]
    return Reading(
        endpoint=request.endpoint,
        text=_question(turns) if turns else _prompt(request.asked),
        tokens=_tokens(turns, query.body),
        settled_tokens=_tokens(turns[: answers[-1]], {}) if answers else 0,
        images=any("image" in str(part.get("type")) for part in parts),
        audio=any("audio" in str(part.get("type")) for part in parts),
        tools=request.uses_tools,
        in_tool_loop=bool(turns) and turns[-1].get("role") in _TOOL_ROLES,
        continues=bool(answers),
        session=_session(query, turns),
    )


def _question(turns: Sequence[Mapping[str, Any]]) -> str:
    for turn in reversed(turns):
        if turn.get("role") == "user":
            content = turn.get("content")
            texts = [content] if isinstance(content, str) else _texts(turn)
            return "\n".join(texts).strip()[:LONGEST]
    return ""


def _prompt(texts: Sequence[str]) -> str:
    return texts[-1].strip()[:LONGEST] if texts else ""


def _parts(turn: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = turn.get("content")
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def _texts(turn: Mapping[str, Any]) -> list[str]:
    return [text for part in _parts(turn) if isinstance(text := part.get("text"), str)]


def _tokens(turns: Sequence[Mapping[str, Any]], body: Mapping[str, Any]) -> int:
    characters, images, numbers = 0, 0, 0
    for turn in turns:
        content = turn.get("content")
        characters += len(content) if isinstance(content, str) else sum(map(len, _texts(turn)))
        images += sum("image" in str(part.get("type")) for part in _parts(turn))
        calls = turn.get("tool_calls")
        characters += sum(len(str(call)[:LONGEST]) for call in (calls if isinstance(calls, list) else ()))
    for text in (body.get("prompt"), body.get("input")):
        texts = text if isinstance(text, list) else [text]
        characters += sum(len(each) for each in texts if isinstance(each, str))
        numbers += sum(len(each) if isinstance(each, list) else 1 for each in texts if isinstance(each, list | int))
    characters += sum(len(str(tool)[:LONGEST]) for tool in (body.get("tools") or ())[:64])
    return -(-characters // _CHARACTERS_A_TOKEN) + numbers + _IMAGE_TOKENS * images


def _session(query: Query, turns: Sequence[Mapping[str, Any]]) -> str:
    """The client's name for the conversation, or a fingerprint of how it began."""
    named = query.session or query.request.raw.get("prompt_cache_key")
    if isinstance(named, str) and named:
        begun = [named]
    else:
        first = next((turn for turn in turns if turn.get("role") == "user"), None)
        begun = [str(first.get("content"))[:LONGEST]] if first is not None else []
    if not begun:
        return ""
    parts = (query.tenant, query.request.model, *begun)
    return blake2b("\0".join(parts).encode(errors="replace"), digest_size=16).hexdigest()
