"""The tables, and the column types that make SQLite and PostgreSQL agree to the last digit.

Money is NUMERIC(24, 12) on PostgreSQL. SQLite has no exact decimal: there it is a whole number of
`money.QUANTUM`, so sums stay exact. They end at 9.2 million dollars with an error, never with a rounded figure.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    Index,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from contracts.money import usd

SCHEMA_VERSION = "0003"
"""The newest migration in `ledger/migrations/versions`."""

MONEY_DECIMALS = 12


class Money(TypeDecorator[Decimal]):
    """Dollars as Decimal, both ways, also through `func.sum`. Rounded by `money.usd` when written."""

    impl = Numeric(24, MONEY_DECIMALS)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(BigInteger() if dialect.name == "sqlite" else Numeric(24, MONEY_DECIMALS))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        amount = usd(value)
        return int(amount.scaleb(MONEY_DECIMALS)) if dialect.name == "sqlite" else amount

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        if value is None:
            return None
        return Decimal(value).scaleb(-MONEY_DECIMALS) if dialect.name == "sqlite" else Decimal(value)


class Instant(TypeDecorator[datetime]):
    """An aware datetime, in UTC both ways. SQLite keeps it without its zone, so that text order is time order."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without a zone: {value}")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


metadata = MetaData()

usage_events = Table(
    "usage_events",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("at", Instant, nullable=False),
    _text("tenant"),
    _text("key_id"),
    _text("route"),
    _text("endpoint"),
    _text("requested_model"),
    _text("model"),
    _text("upstream"),
    Column("stream", Boolean, nullable=False),
    _text("purpose"),
    _text("outcome"),
    _text("error"),
    Column("status", Integer, nullable=False),
    _count("prompt_tokens"),
    _count("completion_tokens"),
    _count("cached_tokens"),
    _count("cache_write_tokens"),
    _count("reasoning_tokens"),
    _count("audio_prompt_tokens"),
    _count("audio_completion_tokens"),
    _text("usage_source"),
    _text("usage_method"),
    _text("usage_tier"),
    Column("usage_raw", JSON(none_as_null=True)),
    Column("cost", Money, nullable=False),
    Column("saved", Money, nullable=False),
    Column("avoided", Money, nullable=False),
    _text("priced_by"),
    _text("verdict"),
    Column("verdict_detail", JSON, nullable=False),
    Column("decision", JSON(none_as_null=True)),
    Column("attempts", JSON, nullable=False),
    Column("latency_ms", Double, nullable=False),
    Column("first_token_ms", Double),
    Column("hung_up", Boolean, nullable=False),
    _text("prompt_version"),
    _text("policy_version"),
    _text("corpus_version"),
    Column("retrieval", JSON(none_as_null=True)),
    _text("conversation"),
    _text("arm"),
    Column("tags", JSON, nullable=False),
    Index("usage_events_at", "at", postgresql_using="brin"),
    Index("usage_events_tenant_at", "tenant", "at"),
)
"""On PostgreSQL partitioned by month of `at`, with (request_id, at) as its primary key."""


def _roll_up(name: str) -> Table:
    """Sums of the events of one span of time, from `start` on; `tags` is a JSON object, names sorted."""
    return Table(
        name,
        metadata,
        Column("start", Instant, primary_key=True),
        *(Column(part, Text, primary_key=True) for part in ROLLED_UP_BY),
        *(_count(sum_) for sum_ in COUNTED),
        *(Column(sum_, Money, nullable=False) for sum_ in MONEY),
    )


ROLLED_UP_BY = ("tenant", "key_id", "route", "model", "purpose", "tags")
COUNTED = (
    "requests", "hits", "failed", "estimated", "unpriced", "calls", "failed_calls", "prompt_tokens",
    "completion_tokens", "cached_tokens",
)  # fmt: skip
MONEY = ("cost", "saved", "avoided")

usage_hours = _roll_up("usage_hours")
usage_days = _roll_up("usage_days")

usage_latencies = Table(
    "usage_latencies",
    metadata,
    Column("start", Instant, primary_key=True),
    *(Column(part, Text, primary_key=True) for part in ("tenant", "route", "model", "purpose")),
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    _count("requests"),
)
"""How many requests of a day took how long: see `ledger.rollups.bucket_of`."""

marks = Table("marks", metadata, Column("name", Text, primary_key=True), _text("value"))
"""What is to be known of this database as a whole, such as whether its roll-ups are complete."""

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    _text("tenant"),
    Column("hash", Text, nullable=False, unique=True),
    _text("name"),
    Column("routes", JSON(none_as_null=True)),
    Column("models", JSON(none_as_null=True)),
    Column("created_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    _text("role"),
)

tenants = Table(
    "tenants",
    metadata,
    Column("name", Text, primary_key=True),
    Column("routes", JSON(none_as_null=True)),
    Column("models", JSON(none_as_null=True)),
    Column("refused_models", JSON, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("closed_at", Instant),
)
"""Those that the admin made; the configuration declares others."""

budgets = Table(
    "budgets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("settings", JSON, nullable=False),
    Column("changed_at", Instant, nullable=False),
)
"""The same of budgets."""

audit_log = Table(
    "audit_log",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    _text("by"),
    _text("what"),
    _text("subject"),
    Column("before", JSON(none_as_null=True)),
    Column("after", JSON(none_as_null=True)),
    _text("reason"),
    _text("previous"),
    _text("hash"),
)
"""Every change to tenants, keys and budgets, each with the hash of the one before: see `ledger.audit_log`."""
