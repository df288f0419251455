"""Markdown, with what its front matter says of it.

The front matter stays in the text, so that offsets are the file's; `body` tells where what is searched begins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import yaml

from rag.reading.text import EMPTY_NOTE, ReadFile, decoded, printable

_FRONT = re.compile(r"---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^# +(\S.*)", re.MULTILINE)
_CLOSING = " \t\r#"
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)", re.MULTILINE)
_DATES = ("updated", "updated_at", "last_updated", "lastmod", "modified", "date")
_ALIAS = re.compile(r"(^|[\s:\[{,-])[&*]\w", re.MULTILINE)  # a small text becomes a large value by them
_MOST_FRONT = 16_384  # characters; YAML is slow
_LONGEST_TITLE = 200
# What PyYAML raises on its own, and what it lets through from a tag whose value is none.
_FAULTS = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, ArithmeticError, RecursionError)
_FRONT_NOTE = "Its front matter is not valid YAML and was left out."


def read_markdown(content: bytes) -> ReadFile:
    text, notes = decoded(content)
    told: Mapping[str, Any] = {}
    body = 0
    if (found := _FRONT.match(text)) is not None:
        body = found.end()
        told = _told(found[1]) or {}
        if not told and found[1].strip():
            notes = (*notes, _FRONT_NOTE)
    if not text[body:].strip():
        notes = (*notes, EMPTY_NOTE)
    title = _title(told.get("title"))
    return ReadFile(
        text=text,
        kind="markdown",
        title=(title or _first_heading(text, body))[:_LONGEST_TITLE],
        body=body,
        updated_at=next(filter(None, (_moment(told.get(key)) for key in _DATES)), None),
        notes=notes,
    )


def _told(front: str) -> Mapping[str, Any] | None:
    """None where it is not a mapping in YAML."""
    if len(front) > _MOST_FRONT or _ALIAS.search(front):
        return None
    try:
        told = yaml.safe_load(front)
    except _FAULTS:
        return None
    return {str(key).lower(): value for key, value in told.items()} if isinstance(told, dict) else None


def _title(value: Any) -> str:
    try:
        return " ".join(printable(str(value or "")).split())
    except ValueError:  # a number of thousands of digits
        return ""


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if isinstance(value, datetime):
        try:
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        except OverflowError:  # it is before the first year, or after the last
            return None
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return None


def _first_heading(text: str, body: int) -> str:
    """The first heading of the first level, unless it stands in a block of code."""
    found = _HEADING.search(text, body)
    if found is None:
        return ""
    fences = len(_FENCE.findall(text[body : found.start()]))
    return "" if fences % 2 else " ".join(found[1].rstrip(_CLOSING).split())
