"""The time that is in a request id of Weir's, so that an event is looked for in one month and not in all."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_ID = re.compile(r"req_([0-9a-f]{12})[0-9a-f]{20}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END_MS = 4_102_444_800_000  # the year 2100
NEAR = timedelta(days=1)
"""An event's own time is not farther from the one in its id: both are taken when the request arrives."""

_NEAR_MS = NEAR.total_seconds() * 1000


def moment_of(request_id: str) -> datetime | None:
    """When the request arrived, to the millisecond; None where the id is not of Weir's making."""
    match = _ID.fullmatch(request_id)
    if match is None or (ms := int(match[1], 16)) >= _END_MS:
        return None
    return _EPOCH + timedelta(milliseconds=ms)


def is_near(request_id: str, at: datetime) -> bool:
    """Whether the id says of an event from `at` when it was."""
    match = _ID.fullmatch(request_id)
    return match is not None and abs(at.timestamp() * 1000 - int(match[1], 16)) <= _NEAR_MS
