"""What becomes of a database that does not answer: one of Weir's own errors, which clients may try again after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from contracts.errors import Unavailable


@contextmanager
def outage_as(error: type[Unavailable]) -> Iterator[None]:
    """Drivers raise SQLAlchemy's errors, or the system's where they do not even connect."""
    try:
        yield
    except (SQLAlchemyError, OSError) as cause:
        raise error("The ledger's database does not answer right now.", retry_after_s=5) from cause
