"""What learned policies share and what outlives a reload, in terms that a Weir without numpy can import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from contracts.ports import Encoder
from router.choice.memory import RouteMemory
from router.choice.opinions import Opinions
from router.choice.sessions import Sessions
from router.tenancy import Tenancy

if TYPE_CHECKING:
    from router.choice.shelf import HeadShelf

EVERYONE = ""
"""The owner of heads that serve all tenants."""


class Place(Struct, frozen=True):
    """Where an artefact lies, its version, and that of the encoder it learned with, where that was written down."""

    folder: Path
    version: str
    encoder: str = ""


def nowhere(*_: Any) -> Mapping[str, Place]:
    """Nothing has been learned."""
    return {}


@dataclass(kw_only=True)
class ChoiceParts:
    """Of one Weir, or one of its workers. `places` tells where a route's heads lie now, by owner."""

    encoder: Encoder | None
    sessions: Sessions | None
    places: Callable[[str, Any], Mapping[str, Place]] = nowhere
    opinions: Opinions | None = None
    tenancy: Tenancy = field(default_factory=Tenancy)
    memories: dict[str, RouteMemory] = field(default_factory=dict)
    shelves: dict[str, HeadShelf] = field(default_factory=dict)

    def memory(self, route: str) -> RouteMemory:
        return self.memories.setdefault(route, RouteMemory())

    def refresh(self) -> None:
        """Read what was promoted since. Takes as long as the files are large."""
        for shelf in tuple(self.shelves.values()):
            shelf.refresh()
