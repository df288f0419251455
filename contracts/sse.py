"""Server-sent events, as bytes: framing only, no JSON. https://html.spec.whatwg.org/multipage/server-sent-events.html"""

from __future__ import annotations

import re

DONE = b"[DONE]"
_BREAK = re.compile(rb"(?:\r\n|\n)(?:\r\n|\n|\r(?=[^\n]))|\r\r\n?")
"""Two line ends of any kind. After a LF, a CR waits for what follows: a chunk may end in the middle of a CRLF."""


class EventBuffer:
    """Turns chunks cut anywhere into whole events.

    `feed` returns the bytes of all events completed so far (possibly empty), as they came, and keeps the
    rest. Raises OverflowError when one event grows beyond `limit` bytes.
    """

    __slots__ = ("_limit", "_rest")

    def __init__(self, limit: int = 8 * 1024 * 1024) -> None:
        self._rest = b""
        self._limit = limit

    def feed(self, chunk: bytes) -> bytes:
        if not self._rest and chunk.endswith(b"\n\n"):
            return chunk
        data = self._rest + chunk
        end = 0
        for match in _BREAK.finditer(data, max(0, len(self._rest) - 3)):  # a break may have begun before the cut
            end = match.end()
        self._rest = data[end:]
        if len(self._rest) > self._limit:
            raise OverflowError(f"one event is larger than {self._limit} bytes")
        return data[:end]

    @property
    def rest(self) -> bytes:
        """What came after the last whole event."""
        return self._rest


def payloads(events: bytes) -> list[bytes]:
    """The data of each event in `events`, which holds whole events only. Comments and other fields are skipped."""
    found = []
    plain = b"\r" not in events
    for event in events.split(b"\n\n") if plain else _BREAK.split(events):
        if plain and event.startswith(b"data: ") and event.find(b"\n") < 0:
            found.append(event[6:])  # so models send nearly all of theirs
        elif event:
            lines = [line[5:].removeprefix(b" ") for line in event.splitlines() if line.startswith(b"data:")]
            if lines:
                found.append(b"\n".join(lines))
    return found


def event(payload: bytes) -> bytes:
    """One event that carries `payload` (no line breaks in it)."""
    return b"data: " + payload + b"\n\n"
