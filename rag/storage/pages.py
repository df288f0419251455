"""Part of a list that is ordered by creation, then id: the same order for pages in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Table, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import InvalidRequest
from contracts.retrieval import Page
from rag.storage.checks import check_page


async def page_of(
    connection: AsyncConnection,
    table: Table,
    key: str,
    among: Sequence[ColumnElement[bool]],
    page: Page,
    only: Sequence[ColumnElement[bool]] = (),
) -> Sequence[Row[Any]]:
    """Rows of `table` that are `among` these and `only` those; `key` is the column of ids that `page` names.

    Raises InvalidRequest where an id that the page begins or ends at is not among them.
    """
    check_page(page)
    place = tuple_(table.c.created, table.c[key])
    query: Select[Any] = select(table).where(*among, *only)
    for param, limit, later in (
        ("after", page.after, not page.newest_first),
        ("before", page.before, page.newest_first),
    ):
        if not limit:
            continue
        at = (
            await connection.execute(select(table.c.created, table.c[key]).where(*among, table.c[key] == limit))
        ).first()
        if at is None:
            raise InvalidRequest(f"There is nothing with the id '{limit}' to go on from.", param=param)
        edge = tuple_(at[0], at[1])
        query = query.where(place > edge if later else place < edge)
    backwards = bool(page.before and not page.after)  # the ones next to where it ends
    descending = page.newest_first != backwards
    order = (
        place_column.desc() if descending else place_column for place_column in (table.c.created, table.c[key])
    )
    rows: Sequence[Row[Any]] = (await connection.execute(query.order_by(*order).limit(page.limit))).all()
    return rows[::-1] if backwards else rows
