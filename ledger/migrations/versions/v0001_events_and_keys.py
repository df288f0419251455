"""Usage events and keys. Written out in full, because tables.py will move on and this step must not."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_MONEY = sa.Numeric(24, 12).with_variant(sa.BigInteger(), "sqlite")
_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "usage_events",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("at", _INSTANT, nullable=False),
        *_texts("tenant key_id route endpoint requested_model model upstream"),
        sa.Column("stream", sa.Boolean, nullable=False),
        *_texts("purpose outcome error"),
        sa.Column("status", sa.Integer, nullable=False),
        *_counts("prompt completion cached cache_write reasoning audio_prompt audio_completion"),
        *_texts("usage_source usage_method"),
        sa.Column("usage_raw", sa.JSON),
        sa.Column("cost", _MONEY, nullable=False),
        sa.Column("saved", _MONEY, nullable=False),
        *_texts("priced_by verdict"),
        sa.Column("verdict_detail", sa.JSON, nullable=False),
        sa.Column("decision", sa.JSON),
        sa.Column("attempts", sa.JSON, nullable=False),
        sa.Column("latency_ms", sa.Double, nullable=False),
        sa.Column("first_token_ms", sa.Double),
        sa.Column("hung_up", sa.Boolean, nullable=False),
        *_texts("prompt_version policy_version corpus_version"),
        sa.Column("tags", sa.JSON, nullable=False),
    )
    op.create_index("usage_events_at", "usage_events", ["at"])
    op.create_index("usage_events_tenant_at", "usage_events", ["tenant", "at"])
    op.create_table(
        "keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("routes", sa.JSON),
        sa.Column("models", sa.JSON),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("revoked_at", _INSTANT),
    )


def _texts(names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names.split()]


def _counts(names: str) -> list[sa.Column[int]]:
    return [sa.Column(f"{name}_tokens", sa.BigInteger, nullable=False) for name in names.split()]
