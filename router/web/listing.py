"""Lists a page at a time, with OpenAI's cursors.

The non-obvious decision: one entry more is fetched than is shown, which says whether there are more without a
count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Depends, Query
from msgspec.structs import replace

from contracts.retrieval import Page
from router.web.store_views import list_view

Entry = TypeVar("Entry")

_Order = Annotated[Literal["asc", "desc"], Query(description="By creation.")]
_Cursor = Annotated[
    str, Query(pattern="^([a-z]+[-_][0-9a-f]{24})?$", description="An id, after or before which the page begins.")
]


def _page(
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: _Order = "desc",
    after: _Cursor = "",
    before: _Cursor = "",
) -> Page:
    return Page(limit=limit, after=after, before=before, newest_first=order == "desc")


def _long_page(
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: _Order = "desc",
    after: _Cursor = "",
    before: _Cursor = "",
) -> Page:
    return _page(limit, order, after, before)


ShortPage = Annotated[Page, Depends(_page)]
LongPage = Annotated[Page, Depends(_long_page)]
"""OpenAI's list of files is ten thousand long where nothing is said."""


def with_one_more(page: Page) -> Page:
    return replace(page, limit=page.limit + 1)


def listed(entries: Sequence[Entry], page: Page, view: Callable[[Entry], dict[str, Any]]) -> dict[str, Any]:
    """`entries` are what `with_one_more` found. Before a cursor, it is the first that is too many."""
    backwards = page.before and not page.after
    shown = entries[-page.limit :] if backwards else entries[: page.limit]
    return list_view([view(entry) for entry in shown], has_more=len(entries) > page.limit)
