"""What verbs that change the ledger's database have in common: whose the change is, and what may be named."""

from __future__ import annotations

import getpass
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import click

from contracts.access import Author
from contracts.errors import InvalidRequest, WeirError
from ledger.database import Database
from ledger.stored_tenants import list_tenants
from router.changes import LONGEST_TEXT, Names, check_text
from router.config.load import Loaded
from weir.state import ask_ledger

_Made = TypeVar("_Made")

reason_option = click.option("--reason", default="", help="Why, for the audit log.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def change(loaded: Loaded, reason: str, make: Callable[[Database, Names, Author], Awaitable[_Made]]) -> _Made:
    """What `make` returns, given what may be named and who is changing it: the user of this machine.

    Raises click.ClickException with what is wrong.
    """

    async def ask(database: Database) -> _Made:
        check_text("reason", reason, LONGEST_TEXT)
        config = loaded.config
        stored = {tenant.name for tenant in await list_tenants(database) if tenant.closed_at is None}
        names = Names(tenants=config.tenants.keys() | stored, routes=config.routes, models=config.models)
        return await make(database, names, Author(f"cli:{_user()}", reason))

    with _told():
        return ask_ledger(loaded, ask)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # one without a name, as in many containers
        return str(os.getuid())


@contextmanager
def _told() -> Iterator[None]:
    """Weir's own errors, as those of a command."""
    try:
        yield
    except InvalidRequest as error:
        raise click.UsageError(error.message) from error
    except WeirError as error:
        raise click.ClickException(error.message) from error
