"""Requests as they were written down: a Weir's own notebook, and logs of JSON lines.

The non-obvious decision: a log needs no answers to have some. A chat sends its whole history, so the answer to a
turn stands in the next turn of its conversation; only the last one of each remains without.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import Any

import orjson

from evals.importing.draft import Unusable
from router.learning.notebook import notebook_path

LONGEST_LINE = 1 << 18
"""Bytes; what is longer holds a picture or a whole book, and nobody reads it as a case."""
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
UNKNOWN = "unknown"
"""The intent of what nobody classified: a stratum of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. `day` is `YYYY-MM-DD` or empty; without an `answer` nobody knows what was said."""

    tenant: str
    conversation: str
    turn: int
    route: str
    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] = ()
    answer: str = ""
    intent: str = UNKNOWN
    lang: str = ""
    day: str = ""
    model: str = ""
    """Which model answered, where it is known."""
    score: float | None = None
    """How good the answer is, 0..1, where somebody said."""
    cost: Decimal | None = None
    """Dollars that it cost, where it is known."""


@dataclass(slots=True)
class Reading:
    """What came of reading. `counts` has what was left out, by reason; `sources` name each file and its hash."""

    requests: list[Request] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    tenants: Counter[str] = field(default_factory=Counter)
    """Lines of tenants who did not consent, by tenant; only those that the configuration knows."""
    sources: list[dict[str, Any]] = field(default_factory=list)


def read_traffic(consents: Mapping[str, bool], logs: Sequence[Path], state: Path) -> Reading:
    """Of the tenants in `consents`, which says who did: from `logs`, or else what Weir wrote down in `state`.

    Raises Unusable.
    """
    reading = Reading()
    for log in logs:
        read_log(log, consents, reading)
    if not logs:
        for tenant, consented in consents.items():
            path = notebook_path(state, tenant)
            there = [file for file in (path.with_suffix(".jsonl.old"), path) if file.exists()]
            if consented:
                read_notebook(there, tenant, reading)
            elif there:
                reading.tenants[tenant] += count_lines(there)
    return reading


def read_notebook(paths: Iterable[Path], tenant: str, into: Reading) -> None:
    """A tenant's own lines, the older file first: questions without history, and answers where one was noted.

    What was answered counts, unless another answer to the question was scored better. Raises Unusable.
    """
    asked: dict[str, Request] = {}
    answers: dict[str, tuple[float, str, str]] = {}
    scores: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for line in _objects(paths, into):
        name, query = str(line.get("request_id", "")), line.get("query")
        if line.get("tenant") != tenant or not name:
            into.counts["of another tenant, or without a request_id"] += 1
        elif "score" in line:
            said, score = line.get("answer"), line["score"]
            model = _text(line, "model")
            if isinstance(score, int | float):
                scores[name, model].append(float(score))
                if isinstance(said, str) and said:
                    answers[name] = max(answers.get(name, (-1.0, "", "")), (float(score), said, model))
        elif not isinstance(query, str) or not query.strip():
            into.counts["without a question"] += 1
        else:
            messages = [{"role": "user", "content": query}]
            asked[name] = _request(line, tenant, name, messages)
    into.requests += [_best(one, scores.get((name, one.model)), answers.get(name)) for name, one in asked.items()]


def _best(asked: Request, scores: Sequence[float] | None, other: tuple[float, str, str] | None) -> Request:
    """With what was answered and its mean score, or with the `other` answer that was scored, if it is better."""
    score = fmean(scores) if asked.answer and scores else None
    if other is None or (asked.answer and (score is None or score >= other[0])):
        return replace(asked, score=score)
    score, answer, model = other
    return replace(asked, score=score, answer=answer, model=model)


def read_log(path: Path, tenants: Mapping[str, bool], into: Reading) -> None:
    """A log of JSON lines, as `examples/support/log.jsonl`; `tenants` says of each whether it consented.

    A line needs `tenant` and `messages` (or `input`, a text); `conversation`, `turn`, `route`, `at`, `intent`,
    `lang`, `tools`, `answer`, `model`, `score` and `cost_usd` are read where they are given. Raises Unusable.
    """
    talks: dict[tuple[str, str], list[Request]] = defaultdict(list)
    for number, line in enumerate(_objects([path], into), 1):
        tenant = line.get("tenant")
        if not isinstance(tenant, str) or tenant not in tenants:
            into.counts["of no tenant of the configuration"] += 1
        elif not tenants[tenant]:
            into.tenants[tenant] += 1
        elif (messages := _messages(line)) is None:
            into.counts["without messages of text that end with a user's"] += 1
        else:
            talk = str(line.get("conversation") or f"{path.name}:{number}")
            talks[tenant, talk].append(_request(line, tenant, talk, messages))
    for turns in talks.values():
        into.requests += _answered(turns)


def count_lines(paths: Iterable[Path]) -> int:
    """Of what nobody may read. Raises Unusable."""
    return sum(1 for path in paths for _ in _lines(path, len))


def _objects(paths: Iterable[Path], into: Reading) -> Iterator[dict[str, Any]]:
    for path in paths:
        digest = sha256()
        lines = 0
        for lines, line in enumerate(_lines(path, digest.update), 1):  # noqa: B007 - counted
            if line is None:
                into.counts["longer than 256 KiB"] += 1
            elif line.strip():
                try:
                    value = orjson.loads(line)
                except orjson.JSONDecodeError:  # the last line of a server that was killed, most often
                    value = None
                if isinstance(value, dict):
                    yield value
                else:
                    into.counts["no JSON object in UTF-8"] += 1
        into.sources.append({"name": path.name, "sha256": digest.hexdigest(), "lines": lines})


def _lines(path: Path, show: Callable[[bytes], object]) -> Iterator[bytes | None]:
    """The lines of a file, None for one that is too long; `show` sees all of it. Memory is bounded."""
    try:
        with path.open("rb") as file:
            while line := file.readline(LONGEST_LINE):
                show(line)
                if len(line) < LONGEST_LINE or line.endswith(b"\n"):
                    yield line
                    continue
                while rest := file.readline(LONGEST_LINE):
                    show(rest)
                    if rest.endswith(b"\n"):
                        break
                yield None
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}") from error


def _request(line: Mapping[str, Any], tenant: str, talk: str, messages: Sequence[Mapping[str, Any]]) -> Request:
    turn, answer, tools = line.get("turn"), line.get("answer"), line.get("tools")
    return Request(
        tenant=tenant,
        conversation=talk,
        turn=turn if isinstance(turn, int) else len(messages),
        route=_text(line, "route"),
        messages=messages,
        tools=tools if isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools) else (),
        answer=answer.strip() if isinstance(answer, str) else "",
        intent=_text(line, "intent") or UNKNOWN,
        lang=_text(line, "lang"),
        day=found[0] if (found := _DAY.match(_text(line, "at"))) else "",
        model=_text(line, "model"),
        score=_share(line.get("score")),
        cost=_dollars(line.get("cost_usd")),
    )


def _share(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= 1 else None


def _dollars(value: object) -> Decimal | None:
    try:
        cost = Decimal(str(value))
    except InvalidOperation:
        return None
    return cost if cost.is_finite() and cost >= 0 else None


def _text(line: Mapping[str, Any], key: str) -> str:
    value = line.get(key)
    return value.strip() if isinstance(value, str) else ""


def _messages(line: Mapping[str, Any]) -> Sequence[Mapping[str, Any]] | None:
    messages = line.get("messages")
    if messages is None and _text(line, "input"):
        messages = [{"role": "user", "content": line["input"]}]
    if not isinstance(messages, list) or not messages:
        return None
    sound = all(isinstance(turn, dict) and isinstance(turn.get("role"), str) for turn in messages)
    if not sound or messages[-1]["role"] != "user" or not _said_in_text(messages):
        return None
    return messages


def _said_in_text(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Pictures and the like cannot be looked through for what tells who somebody is."""
    contents = [turn.get("content") for turn in messages]
    return all(isinstance(one, str) or one is None for one in contents) and bool((contents[-1] or "").strip())


def _answered(talk: Collection[Request]) -> Iterator[Request]:
    """The turns of a conversation, each with the answer that the next one remembers."""
    turns = sorted(talk, key=lambda one: (one.turn, len(one.messages)))
    for place, one in enumerate(turns):
        end = len(one.messages)
        said = [
            later.messages[end].get("content")
            for later in turns[place + 1 :]
            if len(later.messages) > end
            and later.messages[:end] == one.messages
            and later.messages[end].get("role") == "assistant"
        ]
        found = next((text.strip() for text in said if isinstance(text, str) and text.strip()), "")
        yield replace(one, answer=one.answer or found)
