"""What a model's hardware gets done, measured from its usage events: what a price by the GPU hour rests on.

A model is busy while at least one of its requests is under way, so busy time is the union of the requests' times,
and falls into spells with nothing in between. How long a prompt token takes beside a completion token is read from
the spells, by least squares; where they cannot tell the two apart, a stated ratio is used, and the measurement says
so. Either way the two are then scaled so that all tokens together take exactly the time that was busy: what is
billed by token adds up to what the busy hours cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import sqrt
from typing import NamedTuple

from sqlalchemy import select

from ledger.database import Database
from ledger.tables import usage_events

MOST_EVENTS = 100_000
"""The newest that are looked at."""
USUAL_RATIO = 10.0
"""Prompt tokens that take as long as one completion token, where the events cannot tell: an assumption."""
_LEAST_SPELLS = 20
_LARGEST_ERROR = 0.5  # of a coefficient, relative to it: beyond, the spells do not tell the two kinds apart
_BILLED = ("reported", "estimated")


class Work(NamedTuple):
    """One request: when it began and ended, in seconds of one clock, and its tokens."""

    start: float
    end: float
    prompt: int
    completion: int


class Spell(NamedTuple):
    """Time with something to do all through: seconds, and the tokens of the requests in it."""

    seconds: float
    prompt: int
    completion: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Tokens per second of all the hardware together while busy, each kind as if it were the only one.

    `prompt / prompt_tokens_per_second + completion / completion_tokens_per_second == busy_seconds`. `fitted`: the
    events told how the two compare; else `ratio`, prompt tokens that take as long as a completion token, was given.
    """

    prompt_tokens_per_second: float
    completion_tokens_per_second: float
    ratio: float
    fitted: bool
    events: int
    estimated: int
    """Events whose tokens had to be estimated."""
    spells: int
    prompt: int
    completion: int
    busy_seconds: float
    span_seconds: float
    """From the first request's beginning to the last one's end."""


class NothingMeasured(Exception):
    """There are no events to measure by; the message says of what."""


async def measure(
    database: Database, model: str, *, since: datetime | None = None, ratio: float = USUAL_RATIO
) -> Throughput:
    """From the newest `MOST_EVENTS` of `model` from `since` on. Raises NothingMeasured.

    An event's time runs from its request's arrival to its last byte, so attempts at other models are counted in.
    """
    await database.prepare()
    events = usage_events.c
    wanted = [events.model == model, events.usage_source.in_(_BILLED)]
    if since is not None:
        wanted.append(events.at >= since)
    columns = (events.at, events.latency_ms, events.prompt_tokens, events.completion_tokens, events.usage_source)
    query = select(*columns).where(*wanted).order_by(events.at.desc()).limit(MOST_EVENTS)
    async with database.reading() as connection:
        rows = (await connection.execute(query)).all()
    if not rows:
        raise NothingMeasured(f"there are no usage events of the model '{model}'")
    work = [
        Work(row.at.timestamp(), row.at.timestamp() + row.latency_ms / 1000, *row[2:4]) for row in reversed(rows)
    ]
    estimated = sum(row.usage_source == "estimated" for row in rows)
    return throughput(work, estimated=estimated, ratio=ratio)


def throughput(work: Sequence[Work], *, estimated: int = 0, ratio: float = USUAL_RATIO) -> Throughput:
    """Raises NothingMeasured where there is no time or there are no tokens."""
    found = list(spells(work))
    busy = sum(spell.seconds for spell in found)
    prompt, completion = sum(spell.prompt for spell in found), sum(spell.completion for spell in found)
    if busy <= 0 or prompt + completion <= 0:
        raise NothingMeasured("the events hold no tokens, or took no time")
    told = _ratio(found)
    ratio = ratio if told is None else told
    per_completion = busy / (prompt / ratio + completion)  # seconds
    return Throughput(
        prompt_tokens_per_second=ratio / per_completion,
        completion_tokens_per_second=1 / per_completion,
        ratio=ratio,
        fitted=told is not None,
        events=len(work),
        estimated=estimated,
        spells=len(found),
        prompt=prompt,
        completion=completion,
        busy_seconds=busy,
        span_seconds=max(each.end for each in work) - min(each.start for each in work),
    )


def spells(work: Iterable[Work]) -> Iterator[Spell]:
    """The union of the requests' times, in its connected parts."""
    begun, until, prompt, completion = 0.0, float("-inf"), 0, 0
    for each in sorted(work):
        if each.start > until:
            if until > float("-inf"):
                yield Spell(until - begun, prompt, completion)
            begun, until, prompt, completion = each.start, each.end, 0, 0
        until = max(until, each.end)
        prompt += each.prompt
        completion += each.completion
    if until > float("-inf"):
        yield Spell(until - begun, prompt, completion)


def _ratio(found: Sequence[Spell]) -> float | None:
    """Prompt tokens that take as long as a completion token; None where the spells do not tell.

    Least squares without a constant: seconds = a * prompt + b * completion, and the ratio is b / a. Standard errors
    are the textbook's, of a regression with two coefficients.
    """
    if len(found) < _LEAST_SPELLS:
        return None
    pp = sum(spell.prompt**2 for spell in found)
    cc = sum(spell.completion**2 for spell in found)
    pc = sum(spell.prompt * spell.completion for spell in found)
    sp = sum(spell.seconds * spell.prompt for spell in found)
    sc = sum(spell.seconds * spell.completion for spell in found)
    determinant = pp * cc - pc * pc
    if determinant <= 0:
        return None
    a, b = (sp * cc - sc * pc) / determinant, (sc * pp - sp * pc) / determinant
    if a <= 0 or b <= 0:
        return None
    left = sum((spell.seconds - a * spell.prompt - b * spell.completion) ** 2 for spell in found)
    variance = left / (len(found) - 2)
    errors = sqrt(variance * cc / determinant) / a, sqrt(variance * pp / determinant) / b
    return b / a if max(errors) <= _LARGEST_ERROR else None
