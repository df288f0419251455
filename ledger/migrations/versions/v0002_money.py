"""Roll-ups, partitions, tenants, budgets and the audit log. Written out in full, as 0001 is.

What is in the database already is taken over; its roll-ups are left to the ledger's writer, which finds a mark that
they are missing, so that a big database does not hold up a start.
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_MONEY = sa.Numeric(24, 12).with_variant(sa.BigInteger(), "sqlite")
_INSTANT = sa.DateTime(timezone=True)
_PARTS = "tenant key_id route model purpose tags"
_COUNTED = (
    "requests hits failed estimated unpriced calls failed_calls prompt_tokens completion_tokens cached_tokens"
)


def upgrade() -> None:
    connection = op.get_bind()
    op.add_column("usage_events", sa.Column("avoided", _MONEY, nullable=False, server_default="0"))
    for name in ("usage_tier", "conversation", "arm"):
        op.add_column("usage_events", sa.Column(name, sa.Text, nullable=False, server_default=""))
    op.add_column("keys", sa.Column("role", sa.Text, nullable=False, server_default=""))
    for name in ("usage_hours", "usage_days"):
        op.create_table(
            name,
            sa.Column("start", _INSTANT, primary_key=True),
            *(sa.Column(part, sa.Text, primary_key=True) for part in _PARTS.split()),
            *(sa.Column(count, sa.BigInteger, nullable=False) for count in _COUNTED.split()),
            *(sa.Column(sum_, _MONEY, nullable=False) for sum_ in ("cost", "saved", "avoided")),
        )
    op.create_table(
        "usage_latencies",
        sa.Column("start", _INSTANT, primary_key=True),
        *(sa.Column(part, sa.Text, primary_key=True) for part in ("tenant", "route", "model", "purpose")),
        sa.Column("bucket", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
    )
    _create_access()
    marks = op.create_table("marks", sa.Column("name", sa.Text, primary_key=True), *_texts("value"))
    if connection.execute(sa.text("SELECT 1 FROM usage_events LIMIT 1")).first() is not None:
        op.bulk_insert(marks, [{"name": "roll-ups", "value": "missing"}])
    if connection.dialect.name == "postgresql":
        _partition(connection)


def _create_access() -> None:
    op.create_table(
        "tenants",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("routes", sa.JSON),
        sa.Column("models", sa.JSON),
        sa.Column("refused_models", sa.JSON, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("closed_at", _INSTANT),
    )
    op.create_table(
        "budgets",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("changed_at", _INSTANT, nullable=False),
    )
    op.create_table(
        "audit_log",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", _INSTANT, nullable=False),
        *_texts("by what subject"),
        sa.Column("before", sa.JSON),
        sa.Column("after", sa.JSON),
        *_texts("reason previous hash"),
    )


def _partition(connection: sa.Connection) -> None:
    """PostgreSQL cannot partition a table that exists: its rows move into one that is made like it.

    Times outside this century no event can have; should there be some, they stay in a table of their own.
    """
    for statement in (
        "ALTER TABLE usage_events RENAME TO usage_events_unparted",
        "ALTER INDEX usage_events_at RENAME TO usage_events_unparted_at",
        "ALTER INDEX usage_events_tenant_at RENAME TO usage_events_unparted_tenant_at",
        "CREATE TABLE usage_events (LIKE usage_events_unparted INCLUDING DEFAULTS) PARTITION BY RANGE (at)",
        "ALTER TABLE usage_events ADD PRIMARY KEY (request_id, at)",
        "CREATE INDEX usage_events_at ON usage_events USING brin (at)",
        "CREATE INDEX usage_events_tenant_at ON usage_events (tenant, at)",
    ):
        connection.execute(sa.text(statement))
    sane = "FROM usage_events_unparted WHERE at >= '2000-01-01Z' AND at < '2100-01-01Z'"
    months = "SELECT DISTINCT date_trunc('month', at AT TIME ZONE 'UTC') " + sane
    for month in connection.execute(sa.text(months)).scalars().all():
        _create_partition(connection, month)
    connection.execute(sa.text("INSERT INTO usage_events SELECT * " + sane))
    connection.execute(sa.text("DELETE " + sane))
    if connection.execute(sa.text("SELECT 1 FROM usage_events_unparted LIMIT 1")).first() is None:
        connection.execute(sa.text("DROP TABLE usage_events_unparted"))


def _create_partition(connection: sa.Connection, month: datetime) -> None:
    begin = month.replace(tzinfo=UTC)
    year, number = divmod(begin.month, 12)
    end = begin.replace(year=begin.year + year, month=number + 1)
    connection.execute(
        sa.text(
            f"CREATE TABLE usage_events_{begin.year:04d}_{begin.month:02d} PARTITION OF usage_events "
            f"FOR VALUES FROM ('{begin.isoformat()}') TO ('{end.isoformat()}')"
        )
    )


def _texts(names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names.split()]
