"""Where a Weir keeps its state, and how verbs reach its ledger: the server and every verb ask here."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click
from sqlalchemy.exc import SQLAlchemyError

from ledger.database import Database, DatabaseUnusable, sqlite_url
from router.config.load import USUAL_FILE, ConfigError, Loaded, load

_Answer = TypeVar("_Answer")

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=USUAL_FILE,
    show_default=True,
    help="The configuration; it names the tenants and the ledger's database.",
)


def state_dir() -> Path:
    """$WEIR_STATE_DIR, by default `.weir` in the working folder. It need not exist yet."""
    return Path(os.environ.get("WEIR_STATE_DIR") or ".weir")


def spool_dir(state: Path) -> Path:
    """Where usage events wait for the database."""
    return state / "spool"


def database_url(loaded: Loaded, state: Path) -> str:
    """The ledger's database: `ledger.url`, or SQLite in the state folder."""
    reference = loaded.config.ledger.url
    return sqlite_url(state) if reference is None else loaded.secret(reference)


def read_config(path: Path) -> Loaded:
    """Raises click.ClickException with every problem."""
    try:
        return load(path)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error


def ask_ledger(loaded: Loaded, ask: Callable[[Database], Awaitable[_Answer]]) -> _Answer:
    """What `ask` returns of the ledger's database. Raises click.ClickException where that cannot be used."""

    async def answer() -> _Answer:
        database = Database(database_url(loaded, state_dir()))
        try:
            return await ask(database)
        except (OSError, TimeoutError, SQLAlchemyError) as error:
            raise click.ClickException(
                f"The ledger's database {database.name} cannot be used: {error}\n"
                "Is it running, and is the address behind `ledger.url` right? Without `ledger.url` it is a file in "
                f"{state_dir()} (WEIR_STATE_DIR)."
            ) from error
        finally:
            await database.close()

    try:
        return asyncio.run(answer())
    except (ConfigError, DatabaseUnusable) as error:
        raise click.ClickException(str(error)) from error
