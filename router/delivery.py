"""A streamed answer on its way from an upstream to a client, through one tee.

The tee reads what passes: text (for estimates), usage (for the bill), the finish (for the cache). Its one
non-obvious decision: the closing events are held back until the request is settled, so a client that has
seen an answer end can rely on its usage event being on disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from contracts.errors import MalformedAnswer, ServerFault, StreamCut
from contracts.ports import AnswerStream
from contracts.sse import DONE, event, payloads
from router.assembly import Assembly, index_of, text_alone
from router.pattern import Pattern
from router.replay import texts_in

if TYPE_CHECKING:
    from router.grounding.annotating import Grounds

_MOST_CLOSING_EVENTS = 64
"""After its finish an answer has a usage event or two left; a model that goes on for longer is not listened to."""


class Tee:
    """Reads one upstream stream to its end, event by event.

    `begin` and `next` return bytes for the client; `ending` holds the closing events once the stream is over.
    `assembly` is the whole answer so far, or None where none is wanted, as for one of more than `keep_bytes`.
    `grounds` puts the citations of an answer that is built on passages into its stream.
    """

    __slots__ = (
        "_choices",
        "_finished",
        "_keep_bytes",
        "_over",
        "_pattern",
        "_stream",
        "_usage_wanted",
        "assembly",
        "ending",
        "grounds",
        "pieces",
        "raw_usage",
        "tier",
    )

    def __init__(
        self,
        stream: AnswerStream,
        *,
        choices: int,
        usage_wanted: bool,
        assembly: Assembly | None = None,
        keep_bytes: int = 0,
        grounds: Grounds | None = None,
    ) -> None:
        self._stream = stream
        self._choices = choices
        self._usage_wanted = usage_wanted
        self._keep_bytes = keep_bytes
        self._finished: set[int] = set()
        self._over = False
        self._pattern = Pattern()
        self.assembly = assembly
        self.grounds = grounds
        self.pieces: list[str] = []
        self.ending: list[bytes] = []
        self.raw_usage: Mapping[str, Any] | None = None
        self.tier: object = None
        """The answer's `service_tier`, once an event has named it."""

    @property
    def text(self) -> str:
        """All that the model wrote: content, reasoning and tool arguments, of all choices."""
        return "".join(self.pieces)

    async def begin(self) -> bytes:
        """Everything up to and with the first event that carries part of an answer.

        Raises UpstreamFailure where the stream fails before that: nothing was sent, so another attempt may be made.
        """
        head = b""
        while not self._over:
            head += self._passed_on(await self._stream.read())
            if self.pieces or self._finished:
                return head
        raise MalformedAnswer("The model's stream held no answer.")

    async def next(self) -> bytes:
        """More of the answer, or b"" at its end. Raises UpstreamFailure where it breaks off."""
        while not self._over:
            passing = self._passed_on(await self._stream.read())
            if passing:
                return passing
        return b""

    async def close(self) -> None:
        await self._stream.close()

    def _passed_on(self, events: bytes) -> bytes:
        """Read `events`, and say what of them the client gets now. None are the end of the stream."""
        if not events:
            if len(self._finished) < self._choices:
                raise StreamCut("The model's answer was cut off.")
            self._over = True
            return b""
        text = self._pattern.text_of(events)
        if text is not None:
            self._note_text(text, len(events))
            return events
        passing: list[bytes] = []
        as_it_came = not self._finished and self.grounds is None
        for payload in payloads(events):
            if payload == DONE:
                self._over = True
                return b"".join(map(event, passing))
            text = self._pattern.text_in(payload)
            if text is not None:
                self._note_text(text, len(payload))
                passing.append(payload)
                continue
            if self._note(payload, passing) is not passing:
                as_it_came = False
        return events if as_it_came else b"".join(map(event, passing))

    def _note(self, payload: bytes, passing: list[bytes]) -> list[bytes] | None:
        """Read one event and put it where it goes: to the client now, at the end, or (None) nowhere."""
        chunk = _parse(payload)
        choices = chunk.get("choices") or ()
        usage = chunk.get("usage")
        self.tier = chunk.get("service_tier") or self.tier
        if isinstance(usage, dict):
            self.raw_usage = usage
            if not choices:
                if not self._usage_wanted:
                    return None
                self.ending.append(payload)
                return self.ending
        notes = None
        if self.grounds is not None:
            notes, payload = self.grounds.closing(chunk, payload)
        if notes is not None:
            self._keep(notes, len(payload))
        self._keep(chunk, len(payload))
        for choice in choices:
            self._note_choice(choice)
        self._pattern.forget()
        if not self._finished and not isinstance(usage, dict):
            self._learn(payload, choices)
        destination = passing if len(self._finished) < self._choices else self.ending
        if notes is not None:
            destination.append(orjson.dumps(notes))
        destination.append(payload)
        self._over = len(self.ending) > _MOST_CLOSING_EVENTS
        return destination

    def _learn(self, payload: bytes, choices: Sequence[Mapping[str, Any]]) -> None:
        if len(choices) == 1 and (text := text_alone(choices[0])) is not None:
            self._pattern.learn(payload, index_of(choices[0]), text)

    def _note_choice(self, choice: Mapping[str, Any]) -> None:
        self.pieces += texts_in(choice.get("delta") or choice)
        if choice.get("finish_reason") is not None:
            self._finished.add(index_of(choice))

    def _note_text(self, text: str, size: int) -> None:
        """As `_note`, for a chunk that is like the last one in all but its text."""
        if text:
            self.pieces.append(text)
            if self.grounds is not None:
                self.grounds.hear(self._pattern.index, text)
        assembly = self._within_bound(size)
        if assembly is not None:
            assembly.add_text(self._pattern.index, text)

    def _keep(self, chunk: Mapping[str, Any], size: int) -> None:
        assembly = self._within_bound(size)
        if assembly is not None:
            try:
                assembly.add(chunk)
            except RecursionError:  # nested too deep to be put together
                self.assembly = None

    def _within_bound(self, size: int) -> Assembly | None:
        """The answer so far, which is given up once it has become too large."""
        self._keep_bytes -= size
        if self._keep_bytes < 0:
            self.assembly = None
        return self.assembly


def _parse(payload: bytes) -> dict[str, Any]:
    try:
        chunk = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise MalformedAnswer("The model's stream was not valid JSON.", detail=repr(payload[:200])) from error
    if not isinstance(chunk, dict):
        raise MalformedAnswer("The model's stream held something other than objects.", detail=repr(payload[:200]))
    if chunk.get("error"):
        raise ServerFault("The model reported an error inside its stream.", detail=repr(payload[:500]))
    choices = chunk.get("choices")
    if type(choices) is list and len(choices) == 1 and type(choices[0]) is dict:
        return chunk
    if choices is not None and not (isinstance(choices, list) and all(isinstance(c, dict) for c in choices)):
        raise MalformedAnswer("The model's stream had choices of the wrong shape.", detail=repr(payload[:200]))
    return chunk
