"""Citations into an answer on its way to the client, whole or streamed.

The non-obvious decision: a streamed choice's annotations go out just before its finish, when all its text is known,
in a chunk of their own; where the finish brings the last text with it, they are in that chunk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson
from msgspec.structs import replace

from contracts.ports import WholeAnswer
from contracts.retrieval import Findings, Passage
from router.assembly import index_of
from router.grounding.citing import Annotation, citations_in
from router.replay import objects_in


class Grounds:
    """The passages that one answer was to be built on, and what it cites of them.

    `cited` are numbers of passages, from 1; `stray` counts citations that lead to none. Of a stream, `hear` and
    `closing` are told of each chunk.
    """

    __slots__ = ("_is_json", "_passages", "_texts", "_whole", "cited", "stray")

    def __init__(self, passages: Sequence[Passage], *, whole_quotes: bool, is_json: bool = False) -> None:
        self._passages = passages
        self._whole = whole_quotes
        self._is_json = is_json
        self._texts: dict[int, list[str]] = {}
        self.cited: set[int] = set()
        self.stray = 0

    def annotated(self, answer: WholeAnswer) -> WholeAnswer:
        """The answer with the annotations of its choices; the very same where it cites nothing."""
        notes: dict[int, list[Annotation]] = {}
        choices = answer.data.get("choices")
        choices = choices if isinstance(choices, list) else []
        for place, choice in enumerate(choices):
            message = choice.get("message") if isinstance(choice, dict) else None
            content = message.get("content") if isinstance(message, dict) else None
            if isinstance(content, str) and (found := self._cite(content)):
                notes[place] = found
        if not notes:
            return answer
        data = {
            **answer.data,
            "choices": [
                {**choice, "message": _with_notes(choice["message"], notes[place])} if place in notes else choice
                for place, choice in enumerate(choices)
            ],
        }
        try:
            return WholeAnswer(body=orjson.dumps(data), data=data)
        except orjson.JSONEncodeError:  # nested too deep to be written again
            return answer

    def hear(self, index: int, text: str) -> None:
        """More of a streamed choice's content."""
        self._texts.setdefault(index, []).append(text)

    def closing(self, chunk: dict[str, Any], payload: bytes) -> tuple[dict[str, Any] | None, bytes]:
        """The chunk to be sent before `chunk`, or None; and `chunk` as bytes: its `payload`, or with annotations
        where it brings text with its finish. Hears what it says.
        """
        before = []
        changed = False
        for choice in objects_in(chunk.get("choices")):
            delta = choice.get("delta")
            content = delta.get("content") if isinstance(delta, dict) else None
            if isinstance(content, str):
                self.hear(index_of(choice), content)
            if choice.get("finish_reason") is None:
                continue
            found = self._cite("".join(self._texts.pop(index_of(choice), ())))
            if found and content and isinstance(delta, dict):
                choice["delta"] = _with_notes(delta, found)
                changed = True
            elif found:
                note = {"index": index_of(choice), "delta": {"annotations": found}, "finish_reason": None}
                before.append(note)
        if changed:
            with suppress(orjson.JSONEncodeError):  # nested too deep to be written again
                payload = orjson.dumps(chunk)
        if not before:
            return None, payload
        frame = {name: value for name, value in chunk.items() if not isinstance(value, dict | list)}
        usage = {"usage": None} if "usage" in chunk else {}
        return {**frame, **usage, "choices": before}, payload

    def _cite(self, text: str) -> list[Annotation]:
        citations = citations_in(text, self._passages, whole=self._whole, is_json=self._is_json)
        self.cited |= citations.cited
        self.stray += citations.stray
        return list(citations.annotations)


def found_in(findings: Findings, floor: float) -> Findings:
    """What of `findings` a model is given: all of it, or no passage where they hardly hold the answer."""
    return findings if findings.answerable >= floor else replace(findings, passages=())


def _with_notes(said: Mapping[str, Any], notes: Sequence[Annotation]) -> dict[str, Any]:
    """Added to those that a provider made itself."""
    own = said.get("annotations")
    return {**said, "annotations": [*own, *notes] if isinstance(own, list) else list(notes)}
