"""What each model of the scripted upstream does. This table is the only place that knows their names.

docs/reference/scripted.md prints it, and a test compares the two. Names can be joined with a slash:
`slow-250/no-usage` is slow and reports no usage; `flaky-1/reset` resets its first connection, then answers.
A name that is not in the table, or has a part that is not, answers from what the upstream knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

from router.upstreams.scripted_passages import Citing

Content = Literal["knowledge", "echo", "mirror", "tools", "long", "attentive", "editor"]
Fault = Literal[
    "none",
    "refused",
    "reset",
    "reset-after-headers",
    "stall",
    "stall-mid-stream",
    "cut-mid-stream",
    "error-mid-stream",
    "malformed",
    "malformed-stream",
    "empty",
    "wrong-type",
]
UsageStyle = Literal["right", "none", "negative", "strings", "contradictory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How one call is answered. Times in seconds."""

    content: Content = "knowledge"
    tokens: int = 0
    """Length of a `long` answer."""
    known: float = 1.0
    """Share of the entries on file that it knows; below 1 it guesses at the others."""
    notice: bool = True
    """Whether its answers say that they are scripted."""
    citing: Citing = "rightly"
    """What an answer from passages cites."""
    headers_after_s: float = 0.0
    token_gap_s: float = 0.0
    finish: Literal["stop", "length"] = "stop"
    usage: UsageStyle = "right"
    done: bool = True
    """Whether a stream ends with [DONE]."""
    fault: Fault = "none"
    status: int = 200
    retry_after: str | None = None
    failures: int = 0
    """How many of every `failures + 1` calls fail; the last of them is answered."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One row: `name` as the docs print it, N for a number that may be left out where `default` is given.

    `sets` are the fields of Script that it changes; `fails` says whether a call that meets it can go well.
    """

    name: str
    does: str
    sets: Callable[[float], Mapping[str, Any]]
    default: float | None = None
    fails: bool = False


def _fault(name: Fault, does: str) -> Behaviour:
    return Behaviour(name, does, lambda _: {"fault": name}, fails=True)


def _retry_after(seconds: float) -> Mapping[str, Any]:
    return {"status": 429, "retry_after": f"{seconds:g}"}


_USAGE_LIES: tuple[UsageStyle, ...] = ("negative", "strings", "contradictory")

BEHAVIOURS: tuple[Behaviour, ...] = (
    Behaviour("echo", "Repeats the last user message.", lambda _: {"content": "echo"}),
    Behaviour("mirror", "Answers with the request's own JSON body.", lambda _: {"content": "mirror"}),
    Behaviour(
        "scripted-tools",
        "Calls the first tool on offer (or the one asked for) with arguments that fit its schema; once the tool "
        "has answered, reports what it said.",
        lambda _: {"content": "tools"},
    ),
    Behaviour("long-N", "Answers with N tokens.", lambda n: {"content": "long", "tokens": int(n)}, default=1000),
    Behaviour(
        "attentive",
        "Answers from the knowledge file as well as its system prompt tells it to: see below.",
        lambda _: {"content": "attentive"},
    ),
    Behaviour(
        "editor",
        "Writes better instructions, or some that look like it, for whoever asks for them: see below.",
        lambda _: {"content": "editor"},
    ),
    Behaviour(
        "novice-N",
        "Knows N percent of what is on file, and guesses at the rest; its log probabilities tell which.",
        lambda n: {"known": min(1.0, n / 100)},
        default=50,
    ),
    Behaviour(
        "unmarked",
        "Answers from the knowledge file without saying that it is scripted: a teacher for a student.",
        lambda _: {"notice": False},
    ),
    Behaviour(
        "cites-astray",
        "Where its prompt has passages, cites by a number that none of them has.",
        lambda _: {"citing": "astray"},
    ),
    Behaviour(
        "cites-nothing",
        "Where its prompt has passages, answers from them without a citation.",
        lambda _: {"citing": "nothing"},
    ),
    Behaviour("length", "Stops halfway, with finish_reason `length`.", lambda _: {"finish": "length"}),
    Behaviour(
        "slow-N", "Sends the headers after N milliseconds.", lambda n: {"headers_after_s": n / 1000}, default=1000
    ),
    Behaviour(
        "slow-tokens-N",
        "Waits N milliseconds between two tokens.",
        lambda n: {"token_gap_s": n / 1000},
        default=50,
    ),
    Behaviour(
        "flaky-N",
        "Fails N times, then answers once, over and over; counted per name. Fails with 500, or as the names "
        "joined to it say.",
        lambda n: {"failures": int(n)},
        default=1,
    ),
    _fault("refused", "Refuses the connection. Only in Weir's own process; elsewhere it is a `reset`."),
    _fault("reset", "Resets the connection before a byte is sent."),
    _fault("reset-after-headers", "Resets the connection once the headers are out."),
    _fault("stall", "Accepts the request and never sends a byte."),
    _fault("stall-mid-stream", "Falls silent after three tokens, or in the middle of a whole answer."),
    _fault("cut-mid-stream", "Closes the connection after three tokens, or in the middle of a whole answer."),
    _fault("error-mid-stream", "Sends an error event after three tokens; not streamed, a 500."),
    _fault("malformed", "Answers 200 with JSON that breaks off."),
    _fault("malformed-stream", "Sends an event that is not JSON after three tokens; not streamed, `malformed`."),
    _fault("empty", "Answers 200 with no body at all."),
    _fault("wrong-type", "Answers 200 with an HTML page."),
    Behaviour(
        "rate-limited-N",
        "Answers 429 with `Retry-After: N`.",
        _retry_after,
        fails=True,
    ),
    Behaviour(
        "rate-limited",
        "Answers 429 without Retry-After.",
        lambda _: {"status": 429, "retry_after": None},
        fails=True,
    ),
    Behaviour(
        "error-N",
        "Answers HTTP status N, from 400 to 599, with an OpenAI error body.",
        lambda n: {"status": int(n) if 400 <= n < 600 else 500},
        default=500,
        fails=True,
    ),
    Behaviour(
        "wrong-usage-N",
        "Reports usage that cannot be: 1 negative counts, 2 counts as strings, 3 more cached tokens than there "
        "were.",
        lambda n: {"usage": _USAGE_LIES[int(n - 1) % len(_USAGE_LIES)]},
        default=1,
    ),
    Behaviour("no-usage", "Reports no usage, even where it is asked for.", lambda _: {"usage": "none"}),
    Behaviour("no-done", "Ends its streams without [DONE].", lambda _: {"done": False}),
)

DEFAULT_NAME = "any other name"
DEFAULT_DOES = (
    "Answers from the knowledge file, by resemblance to the last user message, and says that it is scripted."
)


def script(model: str, turn: int = 0) -> Script:
    """What `model` does at its `turn`-th call, counted from 0."""
    failing, sound = _scripts(model)
    return sound if turn % (failing.failures + 1) == failing.failures else failing


@lru_cache(maxsize=1024)
def _scripts(model: str) -> tuple[Script, Script]:
    """What `model` does while it fails and when it goes well; the first of them says how often which."""
    found = [_step(part) for part in model.split("/")]
    steps = [step for step in found if step is not None]
    if len(steps) < len(found):
        return Script(), Script()
    failing = _apply(steps)
    if not failing.failures:
        return failing, failing
    if not any(behaviour.fails for behaviour, _ in steps):
        failing = replace(failing, status=500)
    return failing, _apply([step for step in steps if not step[0].fails])


def _apply(steps: list[tuple[Behaviour, float]]) -> Script:
    fields: dict[str, Any] = {}
    for behaviour, number in steps:
        fields.update(behaviour.sets(number))
    return Script(**fields)


def _step(name: str) -> tuple[Behaviour, float] | None:
    for behaviour, pattern in _PATTERNS:
        match = pattern.fullmatch(name)
        if match:
            number = match.groupdict().get("number")
            return behaviour, float(number) if number is not None else behaviour.default or 0.0
    return None


def _pattern(behaviour: Behaviour) -> re.Pattern[str]:
    stem = behaviour.name.removesuffix("-N")
    if stem == behaviour.name:
        return re.compile(re.escape(stem))
    number = r"-(?P<number>\d{1,7}(?:\.\d{1,3})?)"
    return re.compile(re.escape(stem) + (number if behaviour.default is None else f"(?:{number})?"))


_PATTERNS = tuple((behaviour, _pattern(behaviour)) for behaviour in BEHAVIOURS)
