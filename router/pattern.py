"""What the chunks of one stream have in common: most of a model's differ in nothing but their text.

So one of them is parsed and shows where the text stands; the next ones only have to begin and end alike, and what
is between must be a string. They are then known to be the same JSON but for that string, at a tenth of the price.
"""

from __future__ import annotations

import orjson

_MOST_LESSONS = 16
"""Where chunks differ in more, as with padding of random length, nothing is learnt from more of them."""
_NAME = b'"content":'


class Pattern:
    """Learns from a chunk and its text; `text_in` another one is None where it is not alike in all else.

    `index` is that of the choice which the chunk's text belongs to.
    """

    __slots__ = ("_after", "_before", "_event_after", "_event_before", "_lessons", "index")

    def __init__(self) -> None:
        self.forget()
        self._lessons = 0
        self.index = 0

    def text_in(self, payload: bytes) -> str | None:
        return _between(self._before, payload, self._after)

    def text_of(self, events: bytes) -> str | None:
        """The same for the bytes of one whole event."""
        return _between(self._event_before, events, self._event_after)

    def learn(self, payload: bytes, index: int, text: str) -> None:
        """`payload` holds `text` for the choice `index`, and nothing else that a reader would have to know."""
        if self._lessons >= _MOST_LESSONS or not text:
            return
        self._lessons += 1
        self.index = index
        written = orjson.dumps(text)
        at = payload.find(written)
        if payload.count(written) == 1 and payload[:at].rstrip(b" ").endswith(_NAME):
            self._before, self._after = payload[: at + 1], payload[at + len(written) - 1 :]
            self._event_before, self._event_after = b"data: " + self._before, self._after + b"\n\n"

    def forget(self) -> None:
        self._before = self._after = self._event_before = self._event_after = b""


def _between(before: bytes, data: bytes, after: bytes) -> str | None:
    """The JSON string whose quotes end `before` and begin `after`; None where that is not what is in `data`."""
    if not before or not data.startswith(before) or not data.endswith(after):
        return None
    try:
        text = orjson.loads(data[len(before) - 1 : len(data) - len(after) + 1])
    except orjson.JSONDecodeError:
        return None
    return text if type(text) is str else None
