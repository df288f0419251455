"""What Alembic runs to migrate: on the connection that `ledger.database` holds, inside its transaction and lock."""

from __future__ import annotations

from alembic import context

from ledger.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
