"""Usage events as JSON (in the spool) and as rows (in the database).

Readers take what they know: a field from a newer Weir is passed over, one that an older Weir did not write gets
its default. Money is a string in JSON, because a JSON number would be read back as a float.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import orjson
from msgspec.structs import replace
from sqlalchemy import Boolean, Double, Integer, RowMapping, Text, select

from contracts.records import (
    AttemptRecord,
    Candidate,
    Check,
    Decision,
    Near,
    PassageRecord,
    Retrieval,
    UsageEvent,
    Verdict,
)
from contracts.usage import TokenUsage
from ledger.database import Database
from ledger.request_ids import NEAR, moment_of
from ledger.tables import usage_events

_KINDS = (
    *(UsageEvent, TokenUsage, Verdict, Decision, Candidate, Near, Check, AttemptRecord),
    *(Retrieval, PassageRecord),
)
_FIELDS: Mapping[type[msgspec.Struct], frozenset[str]] = {
    kind: frozenset(kind.__struct_fields__) for kind in _KINDS
}
_UNTOLD: Mapping[str, Any] = {"good": 0.0, "needed": 0.0}
"""Of a check whose numbers were infinite, which JSON has as null: the event is read all the same."""
# fmt: off
_SAME_IN_ROW = (
    "request_id", "at", "tenant", "key_id", "route", "endpoint", "requested_model", "model", "upstream", "stream",
    "purpose", "outcome", "error", "status", "cost", "saved", "avoided", "priced_by", "latency_ms",
    "first_token_ms", "hung_up", "prompt_version", "policy_version", "corpus_version", "conversation", "arm",
)
# fmt: on
_MONEY = ("cost", "saved", "avoided")
_COUNTS = ("prompt", "completion", "cached", "cache_write", "reasoning", "audio_prompt", "audio_completion")
_BLANK = UsageEvent(
    request_id="", at=datetime.min, tenant="", key_id="", route="", endpoint="embeddings", requested_model=""
)
_NEEDED = frozenset(field.name for field in msgspec.structs.fields(UsageEvent) if field.required)
_ABSENT = {name: getattr(_BLANK, name) for name in _SAME_IN_ROW if name not in _NEEDED}
_TYPES: Mapping[str, tuple[type, ...]] = {
    column.name: (float, int) if isinstance(column.type, Double) else (column.type.python_type,)
    for column in usage_events.columns
    if isinstance(column.type, Text | Integer | Boolean | Double) and not column.nullable
}


def to_json(event: UsageEvent) -> bytes:
    """One line of JSON. Never fails: what JSON cannot hold (half a surrogate pair, say) is replaced."""
    try:
        return _ENCODER.encode(event)
    except RecursionError:
        return to_json(_shallow(event))
    except (TypeError, ValueError, OverflowError):
        try:
            return orjson.dumps(_mended(event), default=_as_json)
        except (TypeError, RecursionError):
            return orjson.dumps(_mended(_shallow(event)), default=_as_json)


def from_json(data: bytes) -> UsageEvent:
    """Raises ValueError where `data` is no usage event."""
    raw = orjson.loads(data)
    try:
        return _event(raw)
    except (TypeError, KeyError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"not a usage event: {type(error).__name__}: {error}") from error


def to_row(record: bytes) -> dict[str, Any]:
    """The columns of `usage_events`, straight from the JSON that `to_json` made: the writer has many of them.

    PostgreSQL has no NUL in text, so it becomes U+FFFD. Raises ValueError where `record` is no usage event.
    """
    raw = orjson.loads(record)
    try:
        usage, verdict = _known(TokenUsage, raw.get("usage") or {}), dict(raw.get("verdict") or {})
        row = _ABSENT | {name: value for name in _SAME_IN_ROW if (value := raw.get(name)) is not None}
        row.update((f"{name}_tokens", usage.get(name, 0)) for name in _COUNTS)
        row["usage_source"] = usage.get("source", _BLANK.usage.source)
        row["usage_method"] = usage.get("method", "")
        row["usage_tier"] = usage.get("tier", "")
        row["usage_raw"] = usage.get("raw")
        row["verdict"] = verdict.pop("kind", _BLANK.verdict.kind)
        row["verdict_detail"] = verdict
        row["decision"] = raw.get("decision")
        row["retrieval"] = raw.get("retrieval")
        row["attempts"] = raw.get("attempts") or []
        row["tags"] = raw.get("tags") or {}
        row["at"] = _moment(row["at"])
        row.update((name, Decimal(row[name])) for name in _MONEY)
    except (TypeError, KeyError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"not a usage event: {type(error).__name__}: {error}") from error
    _check_types(row)
    return row


def from_row(row: RowMapping) -> UsageEvent:
    values: dict[str, Any] = {name: row[name] for name in _SAME_IN_ROW}
    usage = {name: row[f"{name}_tokens"] for name in _COUNTS}
    usage |= {"source": row["usage_source"], "method": row["usage_method"]}
    usage |= {"tier": row["usage_tier"], "raw": row["usage_raw"]}
    values["usage"] = usage
    values["verdict"] = {**row["verdict_detail"], "kind": row["verdict"]}
    values |= {name: row[name] for name in ("decision", "retrieval", "attempts", "tags")}
    return _event(values)


async def find_event(database: Database, request_id: str, tenant: str | None) -> UsageEvent | None:
    """The event of one request, for `tenant` only; None as tenant means any. None where there is none.

    An id of Weir's tells when its request arrived: it is looked for there first, and only then at all times.
    """
    query = select(usage_events).where(usage_events.c.request_id == request_id)
    if tenant is not None:
        query = query.where(usage_events.c.tenant == tenant)
    moment = moment_of(request_id)
    async with database.reading() as connection:
        row = None
        if moment is not None:
            at = usage_events.c.at
            about = query.where(at >= moment - NEAR, at <= moment + NEAR)
            row = (await connection.execute(about)).mappings().first()
        if row is None:
            row = (await connection.execute(query)).mappings().first()
    return None if row is None else from_row(row)


def _event(raw: Mapping[str, Any]) -> UsageEvent:
    values = _known(UsageEvent, raw)
    values["at"] = _moment(values["at"])
    for name in _MONEY:
        if name in values:
            values[name] = Decimal(values[name])
    if "usage" in values:
        values["usage"] = TokenUsage(**_known(TokenUsage, values["usage"]))
    if "verdict" in values:
        values["verdict"] = _verdict(values["verdict"])
    if "decision" in values:
        values["decision"] = _decision(values["decision"])
    if "retrieval" in values:
        values["retrieval"] = _retrieval(values["retrieval"])
    if "attempts" in values:
        values["attempts"] = tuple(map(_attempt, values["attempts"]))
    return UsageEvent(**values)


def _verdict(raw: Mapping[str, Any]) -> Verdict:
    values = _known(Verdict, raw)
    if "saved" in values:
        values["saved"] = Decimal(values["saved"])
    return Verdict(**values)


def _decision(raw: Mapping[str, Any]) -> Decision:
    values = _known(Decision, raw)
    candidates = [_known(Candidate, candidate) for candidate in values.get("candidates", ())]
    for candidate in candidates:
        if "cost" in candidate:
            candidate["cost"] = Decimal(candidate["cost"])
    values["candidates"] = tuple(Candidate(**candidate) for candidate in candidates)
    values["nearest"] = tuple(Near(**_known(Near, near)) for near in values.get("nearest", ()))
    if "check" in values:
        check = _known(Check, values["check"])
        values["check"] = Check(**{**_UNTOLD, **check, "reasons": tuple(check.get("reasons", ()))})
    return Decision(**values)


def _retrieval(raw: Mapping[str, Any]) -> Retrieval:
    values = _known(Retrieval, raw)
    values["stores"] = tuple(values.get("stores", ()))
    values["passages"] = tuple(PassageRecord(**_known(PassageRecord, one)) for one in values.get("passages", ()))
    if "saved" in values:
        values["saved"] = Decimal(values["saved"])
    return Retrieval(**values)


def _attempt(raw: Mapping[str, Any]) -> AttemptRecord:
    values = _known(AttemptRecord, raw)
    if "usage" in values:
        values["usage"] = TokenUsage(**_known(TokenUsage, values["usage"]))
    if "cost" in values:
        values["cost"] = Decimal(values["cost"])
    return AttemptRecord(**values)


def _known(kind: type[msgspec.Struct], raw: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `kind` in `raw`. Null is left out: wherever it is allowed, it is the default."""
    names = _FIELDS[kind]
    return {name: value for name, value in raw.items() if value is not None and name in names}


def _moment(value: str | datetime) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _check_types(row: dict[str, Any]) -> None:
    """SQLite would keep anything in any column, and add it up as zero."""
    for name, kinds in _TYPES.items():
        value = row.get(name)
        if type(value) not in kinds:
            raise ValueError(f"not a usage event: '{name}' must be {kinds[0].__name__}")
        if isinstance(value, str) and "\0" in value:
            row[name] = value.replace("\0", "\ufffd")


def _as_json(value: object) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


_ENCODER = msgspec.json.Encoder(enc_hook=_as_json)


def _shallow(event: UsageEvent) -> UsageEvent:
    """Without the providers' own usage objects: nothing else can be nested deeper than JSON's writers go."""
    attempts = [
        attempt if attempt.usage is None else replace(attempt, usage=replace(attempt.usage, raw=None))
        for attempt in event.attempts
    ]
    return replace(event, usage=replace(event.usage, raw=None), attempts=tuple(attempts))


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_mended(str(name)): _mended(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mended(item) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    if type(value) in _FIELDS:
        return {name: _mended(getattr(value, name)) for name in _FIELDS[type(value)]}
    return value
