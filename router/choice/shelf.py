"""What was learned for a route, by whose traffic it was learned from: read beforehand, found at once.

The non-obvious decision: nothing is read while a request waits. What is on the shelf was there when `refresh` last
ran; a file that cannot be read leaves its place empty and says so, and the route's default model answers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from msgspec import Struct

from heads.checks import CheckHead
from heads.intents import IntentHead
from heads.quality import QualityHead
from router.choice.parts import Place

log = logging.getLogger("weir.router")

QUALITY, INTENTS, CHECK = "quality.npz", "intents.npz", "check.npz"
"""The files of a router artefact."""
USUAL = "usual"
"""In the card of the quality head: forecasts of some of the queries it learned from, a row each, by model."""


class Learned(Struct, frozen=True, kw_only=True):
    """The heads of one artefact. Each may be missing, but not all."""

    version: str
    quality: QualityHead | None = None
    intents: IntentHead | None = None
    check: CheckHead | None = None


class HeadShelf:
    """Heads by owner, a tenant or "" for everyone's. `refresh` asks `places` where they lie now; `encoder` is the
    version of the one that makes the vectors.
    """

    def __init__(self, places: Callable[[], Mapping[str, Place]], encoder: str) -> None:
        self._places = places
        self._encoder = encoder
        self._known: dict[str, tuple[Place, Learned]] = {}
        self.faults: dict[str, str] = {}
        """Why there is nothing, by owner."""

    def of(self, owner: str) -> Learned | None:
        """What was learned from `owner`'s traffic, else what is everyone's; None where there is neither."""
        known = self._known.get(owner) or self._known.get("")
        return known[1] if known is not None else None

    def __len__(self) -> int:
        """Sets of heads that are there."""
        return len(self._known)

    def refresh(self) -> None:
        """Read what has changed. Raises nothing."""
        known: dict[str, tuple[Place, Learned]] = {}
        self.faults = {}
        for owner, place in self._places().items():
            before = self._known.get(owner)
            if before is not None and before[0] == place:
                known[owner] = before
                continue
            try:
                known[owner] = (place, read_heads(place, self._encoder))
            except (OSError, ValueError) as error:
                self.faults[owner] = str(error)
                log.warning("what was learned for %s cannot be used: %s", owner or "everyone", error)
        self._known = known


def read_heads(place: Place, encoder: str) -> Learned:
    """The heads in a folder. Raises OSError or ValueError where a file is damaged, there is none, or they learned
    from other vectors than `encoder` makes.
    """
    folder = place.folder
    if place.encoder and place.encoder != encoder:
        raise ValueError("they were learned with another encoder: train them again")
    found = Learned(
        version=place.version,
        quality=QualityHead.read(folder / QUALITY) if (folder / QUALITY).exists() else None,
        intents=IntentHead.read(folder / INTENTS) if (folder / INTENTS).exists() else None,
        check=CheckHead.read(folder / CHECK) if (folder / CHECK).exists() else None,
    )
    if found.quality is None and found.intents is None and found.check is None:
        raise ValueError(f"{folder} holds none of {QUALITY}, {INTENTS} and {CHECK}")
    return found
