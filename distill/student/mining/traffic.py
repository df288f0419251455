"""A route's own traffic, as students learn from it: of tenants who agreed, not too old, without who asked.

The non-obvious decision: personal data is hidden here, before anything is compared, named, sent to a teacher or
written down, so that no later stage ever holds it; a conversation is known by a hash alone. And an answer counts
only as the teacher's: what a smaller model said, or an earlier student, is left out as if nobody knew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from distill.student.running import Tell
from evals.cases import canonical
from evals.importing import lines
from evals.importing.deidentify import REGIONS, Cover
from router.config.schema import Config, Tenant

CONSENT = "training"
"""What a tenant consents to before anything is learned from it."""
_TOLD_EVERY = 200


class Request(Struct, frozen=True, kw_only=True):
    """One request without who asked. `turn` counts the user's turns, `conversation` is a hash.

    Without an `answer` nobody knows the teacher's; `score` is how good it is, 0..1, where somebody said. `day` is
    `YYYY-MM-DD` or empty, and `cost_usd` what was paid, where it is known.
    """

    id: str
    tenant: str
    conversation: str
    turn: int
    messages: tuple[Mapping[str, Any], ...]
    answer: str = ""
    intent: str = lines.UNKNOWN
    lang: str = ""
    day: str = ""
    cost_usd: Decimal | None = None
    score: float | None = None

    @property
    def question(self) -> str:
        """The user's last turn."""
        return str(self.messages[-1].get("content") or "")


class Traffic(Struct, frozen=True, kw_only=True):
    """`requests` by day. `left_out` counts the others by reason, `without_consent` and `tenants` by tenant.

    `hidden` says how often each kind of personal data was; `sources` name each file and its hash.
    """

    route: str
    owner: str
    requests: list[Request]
    left_out: Mapping[str, int] = field(default_factory=dict)
    without_consent: Mapping[str, int] = field(default_factory=dict)
    hidden: Mapping[str, int] = field(default_factory=dict)
    sources: Sequence[Mapping[str, Any]] = ()

    @property
    def tenants(self) -> Mapping[str, int]:
        return dict(sorted(Counter(one.tenant for one in self.requests).items()))


def read_requests(
    config: Config,
    *,
    route: str,
    owner: str,
    logs: Sequence[Path],
    state: Path,
    today: date,
    tell: Tell,
    teacher: str = "",
    regions: Sequence[str] = REGIONS,
    keep: Sequence[str] = (),
) -> Traffic:
    """Of `route` and the tenant `owner`, or "" for all of its tenants: from `logs`, or else what Weir wrote down.

    `state` is Weir's folder. Answers of another model than `teacher` do not count; left out, all do. `regions` and
    `keep` are those of `Cover`. Raises `evals.importing.draft.Unusable`, with advice.
    """
    tenants = {owner: config.tenants[owner]} if owner else config.tenants
    consents = {name: CONSENT in tenant.consents for name, tenant in tenants.items()}
    reading = lines.read_traffic(consents, logs, state)
    left: Counter[str] = Counter(reading.counts)
    hidden: Counter[str] = Counter()
    often: Counter[bytes] = Counter()
    found: list[Request] = []
    for place, one in enumerate(reading.requests, 1):
        reason = _obstacle(one, route, tenants[one.tenant], today)
        if reason:
            left[reason] += 1
        else:
            found.append(_covered(one, teacher, Cover(regions, frozenset(map(str.casefold, keep))), often, hidden))
        if not place % _TOLD_EVERY or place == len(reading.requests):
            tell("hiding who asked", place, len(reading.requests))
    return Traffic(
        route=route,
        owner=owner,
        requests=sorted(found, key=lambda one: one.day),
        left_out=dict(sorted(left.items())),
        without_consent=dict(sorted(reading.tenants.items())),
        hidden=dict(sorted(hidden.items())),
        sources=reading.sources,
    )


def _obstacle(one: lines.Request, route: str, tenant: Tenant, today: date) -> str:
    """Why nothing is learned from it; empty where something may be."""
    if one.route not in ("", route):
        return "of another route"
    if one.tools:
        return "with tools"
    if one.turn > len(one.messages):
        return "a later turn whose beginning was not written down"
    if tenant.training_days is None:
        return ""
    if not one.day:
        return f"without a day, of a tenant whose requests are kept {tenant.training_days} days"
    oldest = today - timedelta(days=tenant.training_days)
    return "older than its tenant's `training_days`" if one.day < oldest.isoformat() else ""


def _turns(messages: Sequence[Mapping[str, Any]]) -> int:
    return sum(each["role"] == "user" for each in messages)


def _covered(
    one: lines.Request, teacher: str, cover: Cover, often: Counter[bytes], hidden: Counter[str]
) -> Request:
    taught = one.answer if not teacher or one.model in ("", teacher) else ""
    cover.learn([one.messages, taught])
    messages, answer = cover.hide(one.messages), cover.hide(taught)
    hidden.update(cover.counts)
    talk = _hash(canonical([one.tenant, one.conversation]))
    said = canonical([one.tenant, talk, messages])
    often[said] += 1
    return Request(
        id=_hash(said + bytes(str(often[said]), "ascii")),
        tenant=one.tenant,
        conversation=talk,
        turn=_turns(messages),
        messages=tuple(messages),
        answer=answer,
        intent=one.intent,
        lang=one.lang,
        day=one.day,
        cost_usd=one.cost,
        score=one.score if answer else None,
    )


def _hash(content: bytes) -> str:
    return blake2b(content, digest_size=8).hexdigest()
