"""One question to a target, and what a good answer to it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Document:
    """A passage that is handed over with a question. `id` is what an answer may cite."""

    id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One question to a target. `messages` end with a user's turn, or with what a tool answered.

    `expected` holds what scorers compare an answer with, each under a name of its own (see `evals/scorers/`).
    `segment` is what results are broken down by. Cases of one `cluster` resemble each other, and statistics must
    not count them as independent.
    """

    id: str
    messages: tuple[Mapping[str, Any], ...]
    expected: Mapping[str, Any]
    segment: str
    cluster: str
    metadata: Mapping[str, Any]
    tools: tuple[Mapping[str, Any], ...] = ()
    documents: tuple[Document, ...] = ()

    @property
    def question(self) -> str:
        """The text of the user's last turn."""
        said = [turn.get("content") for turn in self.messages if turn["role"] == "user"]
        return _text(said[-1]) if said else ""

    @property
    def asked(self) -> str:
        """A hash of what a target is sent: equal exactly where the same is asked."""
        sent = [self.messages, self.tools, [(document.id, document.text) for document in self.documents]]
        return hashlib.blake2b(canonical(sent), digest_size=16).hexdigest()


def canonical(value: Any) -> bytes:
    """`value` as JSON, in the one way that hashes are made of."""
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # a whole number of more than 64 bits
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str).encode()


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(str(part["text"]) for part in content or () if part.get("text"))
