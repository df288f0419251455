"""The database of events and keys: SQLite in the state folder, or PostgreSQL by URL. Same tables, same answers.

`prepare` brings the schema up to date and may be called by anyone who is about to use the database: it does its
work once, also when several processes start together, and is simply called again while the server is down.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import URL, Connection, inspect, text

from ledger.tables import SCHEMA_VERSION, metadata
from system.database import DatabaseUnusable as DatabaseUnusable
from system.database import Transactions, once_unlocked, sqlite_file
from system.database import driver_url as _driver_url

_MIGRATION_LOCK = 0x57656972  # "Weir": PostgreSQL's advisory locks are numbers


class Database(Transactions):
    """`url` as users write it: postgres://, postgresql:// or sqlite+aiosqlite:///FILE. Nothing is opened yet.

    Raises DatabaseUnusable where the URL or its driver is wrong.
    """

    def __init__(self, url: str) -> None:
        super().__init__(driver_url(url))
        self.url = url
        self._preparing = asyncio.Lock()
        self._prepared = False

    async def prepare(self) -> None:
        """Bring the schema up to date. Cheap once done.

        Raises DatabaseUnusable where the schema is newer than this Weir or a part of it is missing, and whatever
        the driver raises while the server cannot be reached.
        """
        async with self._preparing:
            if self._prepared:
                return
            if self.file:
                Path(self.file).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            await once_unlocked(self._bring_up_to_date)
            self._prepared = True

    def doubt(self) -> None:
        """Have `prepare` look again. After a fault it may be another database: an empty one, or a newer Weir's."""
        self._prepared = False

    async def _bring_up_to_date(self) -> None:
        """One process migrates, the others wait at the door. Where nothing is to be done, no patience is needed."""
        async with self.reading() as connection:
            if await connection.run_sync(_is_current):
                return
        async with self.altering() as connection:
            await connection.run_sync(_migrate)


def sqlite_url(state: Path) -> str:
    """The embedded database in the folder `state`."""
    return sqlite_file(str(state / "weir.db")).render_as_string()


def driver_url(url: str) -> URL:
    """See `system.database.driver_url`."""
    return _driver_url(url, "the ledger")


def _migrate(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
    if _is_current(connection):
        return
    version = _version(connection)
    if version is not None and version > SCHEMA_VERSION:
        raise DatabaseUnusable(
            f"The database {connection.engine.url.render_as_string(hide_password=True)} is at schema {version}, "
            f"but this Weir knows {SCHEMA_VERSION} at most: it was used by a newer Weir. "
            "Install that version again, or restore a backup from before the upgrade."
        )
    # Late: it takes a fifth of a second and is needed once in the life of a database.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    _check_whole(connection)


def _is_current(connection: Connection) -> bool:
    """Raises DatabaseUnusable where it says so, and a part is missing."""
    if _version(connection) != SCHEMA_VERSION:
        return False
    _check_whole(connection)
    return True


def _check_whole(connection: Connection) -> None:
    """That nothing is missing which the version promises: better found now than by the first event."""
    found = inspect(connection).get_multi_columns(filter_names=list(metadata.tables))
    columns = {name: {column["name"] for column in found_columns} for (_, name), found_columns in found.items()}
    for table in metadata.sorted_tables:
        if table.name not in columns:
            missing = f"the table '{table.name}'"
        elif lacking := [column.name for column in table.columns if column.name not in columns[table.name]]:
            missing = f"the column '{lacking[0]}' of the table '{table.name}'"
        else:
            continue
        raise DatabaseUnusable(
            f"The database {connection.engine.url.render_as_string(hide_password=True)} says it is at schema "
            f"{SCHEMA_VERSION}, but {missing} is missing: it was restored in part, or changed by hand. "
            "Restore a whole backup, or name another database in `ledger.url`."
        )


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
