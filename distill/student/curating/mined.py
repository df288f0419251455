"""What curation reads: the requests that mining left, and which of their intents it picked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from distill.student.mining.mine import INTENTS, REQUESTS
from distill.student.mining.traffic import Request


@dataclass(frozen=True, slots=True)
class MinedTraffic:
    """`requests` are in the order of their days; `told` is the rest of what mining says of itself."""

    requests: Sequence[Request]
    intents: frozenset[str]
    picked: frozenset[str]
    told: Mapping[str, Any]
    files: Mapping[str, str]
    """SHA-256 of what was read, by name."""


def read_mined(folder: Path) -> MinedTraffic:
    """Raises OSError, or ValueError that names the file and line."""
    try:
        told = msgspec.json.decode((folder / INTENTS).read_bytes())
        intents = {str(one["intent"]): bool(one["picked"]) for one in told.pop("intents")}
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{INTENTS}: no intents that mining wrote ({error!r}): mine again") from error
    return MinedTraffic(
        requests=sorted(_requests(folder / REQUESTS), key=lambda request: (request.day, request.id)),
        intents=frozenset(intents),
        picked=frozenset(intent for intent, picked in intents.items() if picked),
        told=told,
        files={name: sha256((folder / name).read_bytes()).hexdigest() for name in (INTENTS, REQUESTS)},
    )


def text_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """All that the user said, the last turn first: an encoder reads the beginning of a long text alone."""
    said = [str(turn.get("content") or "") for turn in messages if turn.get("role") == "user"]
    return "\n".join(reversed(said))


def talk_of(request: Request) -> str:
    """Names a conversation, whose own name is its tenant's alone."""
    return f"{request.tenant}\x00{request.conversation}"


def _requests(path: Path) -> list[Request]:
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            found.append(msgspec.json.decode(line, type=Request))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ValueError(f"{path.name}:{number}: no request that mining wrote ({error}): mine again") from error
    return found
