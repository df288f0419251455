"""What the scripted upstream says, and how it is counted; `scripted_shapes` gives it OpenAI's shapes.

A token here is up to four letters of a word, or one sign: not what any model counts, but the same every time, and
a streamed answer has exactly as many content events as it reports completion tokens.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import orjson

from router.upstreams.scripted_attention import attended
from router.upstreams.scripted_behaviours import Script
from router.upstreams.scripted_demonstrations import Exchange
from router.upstreams.scripted_editor import edited
from router.upstreams.scripted_knowledge import Knowledge
from router.upstreams.scripted_passages import passages_in

NOTICE = "(Scripted stand-in: no hosted model is configured.)"
_NOT_KNOWN = "I am sorry, I do not have an answer to that."
_TOKEN = re.compile(r"\s*(?:\w{1,4}|[^\w\s])|\s+")
_IMAGE_TOKENS = 85
_GOOD_FIT, _LEAST_FIT = 0.6, 0.01
"""How well a question fits what is known, from which on there is no doubt, and below which there is no more."""
_CACHE_STEP, _CACHE_FLOOR = 128, 1024
_SCHEMA_DEPTH = 8
"""Steps into a schema, which may refer to itself, before it is filled with null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer to a chat or text completion, before it is shaped: the same for each of `n` choices."""

    body: Mapping[str, Any]
    n: int
    pieces: tuple[str, ...]
    finish: str
    tool: str = ""
    """Name of the function that is called with the text as arguments; empty for a plain answer."""
    doubt: float = 0.0
    """By how much each token's log probability is below what it is usually, in nats."""
    usage: Mapping[str, Any] | None
    id: str = field(default_factory=lambda: uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def reply(script: Script, body: Mapping[str, Any], knowledge: Knowledge) -> Reply:
    """What `script` says to the chat or completions request `body`. Of several prompts it answers the last."""
    tool = _tool(body) if script.content == "tools" else None
    doubt = 0.0
    if script.content == "attentive" and not _tool_answered(body):
        text, fit = attended(_system_text(body), *_conversation(body), knowledge, script.known)
        text, doubt = _formed(body, text), _doubt(fit) if script.known < 1 else 0.0
    elif script.content == "knowledge" and (passages := passages_in(_system_text(body))) is not None:
        text = _formed(body, passages.answer(_user_texts(body), knowledge.questions, script.citing))
    elif script.known < 1:
        text, fit = knowledge.guess(_user_texts(body), script.known)
        text, doubt = f"{text or _NOT_KNOWN} {NOTICE}", _doubt(fit)
    elif tool is not None:
        text = orjson.dumps(_instance(tool.get("parameters") or {}, _last(_user_texts(body)))).decode()
    else:
        text = _text(script, body, knowledge)
    if not script.notice:
        text = text.removesuffix(NOTICE).rstrip()
    pieces = tuple(tokens(text))
    finish = "stop" if tool is None else "tool_calls"
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or len(pieces)
    if script.finish == "length":
        limit = min(limit, len(pieces) // 2)
        finish = "length"
    if limit < len(pieces):
        pieces, finish = pieces[:limit], "length"
    n = body.get("n") or 1
    return Reply(
        body=body,
        n=n,
        pieces=pieces,
        finish=finish,
        tool="" if tool is None else str(tool["name"]),
        doubt=doubt,
        usage=usage(script, body, len(pieces) * n),
    )


def usage(script: Script, body: Mapping[str, Any], completion: int) -> Mapping[str, Any] | None:
    """The usage object of an answer of `completion` tokens: right, or wrong as the script wants it."""
    prompt, cached = _prompt_tokens(body)
    if script.usage == "none":
        return None
    if script.usage == "negative":
        prompt, completion = -prompt, -completion
    elif script.usage == "contradictory":
        cached = prompt + 1
    counts: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }
    if script.usage == "strings":
        counts |= {name: str(counts[name]) for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    return counts


def tokens(text: str) -> list[str]:
    """`text` in the pieces that this upstream counts; joined, they are `text` again."""
    return _TOKEN.findall(text)


def _text(script: Script, body: Mapping[str, Any], knowledge: Knowledge) -> str:
    turns = _user_texts(body)
    if script.content == "long":
        return " word" * script.tokens
    if script.content == "mirror":
        return orjson.dumps(body).decode()
    if script.content == "echo":
        return _last(turns)
    if script.content == "editor":
        return edited(body, _last(turns))
    if _tool_answered(body):
        answer = f"The tool answered: {_content(body['messages'][-1])}"
    else:
        answer = knowledge.answer(turns) or _NOT_KNOWN
    return _formed(body, answer)


def _formed(body: Mapping[str, Any], answer: str) -> str:
    """`answer` in the form that the request asks for, with the notice."""
    form = body.get("response_format") or {}
    if form.get("type") == "json_object":
        return orjson.dumps({"answer": answer, "notice": NOTICE}).decode()
    if form.get("type") == "json_schema":
        schema = (form.get("json_schema") or {}).get("schema") or {}
        return orjson.dumps(_instance(schema, f"{answer} {NOTICE}")).decode()
    return f"{answer} {NOTICE}"


def _tool_answered(body: Mapping[str, Any]) -> bool:
    messages: Sequence[Mapping[str, Any]] = body.get("messages") or ({},)
    return messages[-1].get("role") == "tool"


def _doubt(fit: float) -> float:
    return max(0.0, -math.log(max(fit, _LEAST_FIT) / _GOOD_FIT))


def _system_text(body: Mapping[str, Any]) -> str:
    turns = body.get("messages") or ()
    return "\n\n".join(_content(turn) for turn in turns if turn.get("role") in ("system", "developer"))


def _user_texts(body: Mapping[str, Any]) -> list[str]:
    if "messages" in body:
        return [_content(turn) for turn in body["messages"] if turn.get("role") == "user"]
    return texts(body.get("prompt"))


def _conversation(body: Mapping[str, Any]) -> tuple[Sequence[Exchange], str]:
    """The exchanges before the last message of the user, with answers as they were before the notice; and that."""
    exchanges: list[Exchange] = []
    for turn in body.get("messages") or ():
        if turn.get("role") == "user":
            exchanges.append(Exchange(_content(turn), ""))
        elif turn.get("role") == "assistant" and exchanges:
            said = _content(turn).removesuffix(NOTICE).rstrip()
            exchanges[-1] = exchanges[-1]._replace(assistant=said)
    if "messages" not in body:
        exchanges = [Exchange(text, "") for text in texts(body.get("prompt"))]
    return exchanges[:-1], exchanges[-1].user if exchanges else ""


def _last(said: Sequence[str]) -> str:
    return said[-1] if said else ""


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(str(part["text"]) for part in content if part.get("text"))
    return content or ""


def texts(value: object) -> list[str]:
    """The texts of a `prompt` or `input`: one string, several, or token numbers (one list, or several)."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, Sequence) or not value:
        return [""]
    if all(type(item) is int for item in value):
        return [" ".join(map(str, value))]
    return [item if isinstance(item, str) else " ".join(map(str, item)) for item in value]


def _prompt_tokens(body: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens of the request and how many of them count as cached: a long system prompt is, in whole steps."""
    if "messages" not in body:
        return sum(len(tokens(text)) for text in texts(body.get("prompt"))), 0
    total, system = 3, 0
    for message in body["messages"]:
        size = 3 + len(tokens(_content(message)))
        parts = message.get("content")
        if isinstance(parts, list):
            size += _IMAGE_TOKENS * sum(part.get("type") == "image_url" for part in parts)
        if message.get("role") in ("system", "developer"):
            system += size
        total += size
    if body.get("tools"):
        total += len(tokens(orjson.dumps(body["tools"]).decode()))
    return total, system // _CACHE_STEP * _CACHE_STEP if system >= _CACHE_FLOOR else 0


def _tool(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The function to call, or None: nothing on offer, not wanted, or it has answered already."""
    tools = body.get("tools") or ()
    choice = body.get("tool_choice")
    if not tools or choice == "none" or _tool_answered(body):
        return None
    functions: list[Mapping[str, Any]] = [tool["function"] for tool in tools if "function" in tool]
    if isinstance(choice, dict):
        wanted = (choice.get("function") or {}).get("name")
        functions = [function for function in functions if function.get("name") == wanted]
    return functions[0] if functions else None


def _instance(schema: Mapping[str, Any], text: str) -> Any:
    """A value that fits a JSON schema, with `text` where a string is wanted."""
    return _fitting(schema, text, schema.get("$defs") or {}, _SCHEMA_DEPTH)


def _fitting(schema: Mapping[str, Any], text: str, definitions: Mapping[str, Any], depth: int) -> Any:
    if depth == 0:
        return None
    if "$ref" in schema:
        return _fitting(definitions.get(schema["$ref"].rpartition("/")[2]) or {}, text, definitions, depth - 1)
    for name in ("anyOf", "oneOf", "allOf"):
        if schema.get(name):
            return _fitting(schema[name][0], text, definitions, depth - 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object" or (kind is None and "properties" in schema):
        properties = (schema.get("properties") or {}).items()
        return {name: _fitting(part, text, definitions, depth - 1) for name, part in properties}
    if kind == "array":
        return [_fitting(schema["items"], text, definitions, depth - 1)] if schema.get("items") else []
    simple: dict[Any, Any] = {
        "integer": schema.get("minimum", 1),
        "number": schema.get("minimum", 0.5),
        "boolean": True,
        "null": None,
    }
    return simple.get(kind, text)
