"""What was looked up in documents for a request. Written out in full, as 0001 is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("usage_events", sa.Column("retrieval", sa.JSON))
