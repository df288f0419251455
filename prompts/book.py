"""Which versions of a configuration's prompts are in force: those of its files, or those that were promoted.

The non-obvious decision: what was promoted holds only while the file is the one that it was promoted over, which
the alias `file` says. So an author's edit is in force at once, a changed locked section above all, and no promotion
outlives the text that it was measured against. A look at one file's status for each request shows whether anything
was promoted or taken back, so the first request after a rollback gets the old version, in every process.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from contracts.artefacts import CANARY, FILE, PRODUCTION
from contracts.ports import Prompt, PromptStore
from prompts.prompt import BookedPrompt

log = logging.getLogger("weir.prompts")

_AGAIN_S = 1.0
"""How long what could not be read is left alone: to hash a damaged artefact at each request would be dear."""

Source = Literal["file", "registry", "canary"]


@dataclass(frozen=True, slots=True)
class Standing:
    """Versions of a prompt: the one in force, a share's canary or "", and those promoted that do not hold now."""

    production: str
    canary: str = ""
    set_aside: tuple[str, ...] = ()


def standing(file_version: str, aliases: Mapping[str, str]) -> Standing:
    """What holds while the configuration's file is of `file_version`."""
    promoted = [aliases.get(alias, "") for alias in (PRODUCTION, CANARY)]
    if aliases.get(FILE) == file_version:
        return Standing(promoted[0] or file_version, promoted[1])
    files = ("", file_version, aliases.get(FILE))  # production names the file's after a rollback to it
    aside = dict.fromkeys(version for version in promoted if version not in files)
    return Standing(file_version, set_aside=tuple(aside))


@dataclass(frozen=True, slots=True)
class InForce:
    """A prompt while nothing is promoted or taken back. `source` is production's."""

    production: BookedPrompt
    source: Source
    canary: BookedPrompt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """A prompt of the configuration: what its file says, values for its slots, and its canary's share."""

    file: BookedPrompt
    slots: Mapping[str, str] = field(default_factory=dict)
    canary_share: float = 0.0


class PromptBook:
    """The prompts of one configuration, by name. Belongs to one thread at a time, and raises nothing.

    `tenants` are their own values for slots, by tenant. `pinned` versions are in force whatever was promoted.
    """

    def __init__(
        self,
        booked: Mapping[str, Booked],
        store: PromptStore,
        *,
        tenants: Mapping[str, Mapping[str, str]] | None = None,
        pinned: Mapping[str, BookedPrompt] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._booked = booked
        self._store = store
        self._slots = {tenant: slots for tenant, slots in (tenants or {}).items() if slots}
        self._pinned = pinned or {}
        self._in_force = {name: InForce(prompt.file, "file") for name, prompt in booked.items()}
        self._in_force |= {name: InForce(prompt, "file") for name, prompt in self._pinned.items()}
        self._filled: dict[tuple[str, str, str], Prompt] = {}
        self._told: dict[str, str] = {}
        self._stamp: Hashable = None
        self._again_at = float("inf")
        self._read(store.stamp())

    def in_force(self) -> Iterator[tuple[str, str, Source]]:
        """Each prompt's name with the versions that requests get now, and where each comes from."""
        self._look()
        for name, now in self._in_force.items():
            yield name, now.production.version, now.source
            if now.canary is not None and self._booked[name].canary_share:
                yield name, now.canary.version, "canary"

    def now(self, name: str) -> InForce:
        """Raises KeyError where the configuration has no such prompt."""
        self._look()
        return self._in_force[name]

    def prompt(self, name: str, tenant: str, lot: float) -> Prompt:
        """What is in force for `tenant`, filled. Raises KeyError where the configuration has no such prompt."""
        self._look()
        now = self._in_force[name]
        canary = now.canary
        chosen = canary if canary is not None and lot < self._booked[name].canary_share else now.production
        key = (chosen.version, name, tenant if tenant in self._slots else "")
        filled = self._filled.get(key)
        if filled is None:
            values = {**self._booked[name].slots, **self._slots.get(tenant, {})}
            filled = self._filled[key] = chosen.filled(values)
        return filled

    def _look(self) -> None:
        stamp = self._store.stamp()
        if stamp != self._stamp or self._clock() >= self._again_at:
            self._read(stamp)

    def _read(self, stamp: Hashable) -> None:
        """`stamp` was taken before anything is read: what moves meanwhile is seen at the next look."""
        self._stamp, self._again_at = stamp, float("inf")
        for name in self._booked.keys() - self._pinned.keys():
            before = self._in_force[name]
            try:
                after = self._found(name, before)
            except (OSError, ValueError) as error:
                self._again_at = self._clock() + _AGAIN_S
                self._tell(name, f"cannot be read, so {before.production.version} stays in force: {error}", error)
                continue
            self._in_force[name] = after
            self._tell_change(name, before, after)
        self._filled = {}  # holds no more versions than are in force

    def _found(self, name: str, before: InForce) -> InForce:
        """Raises OSError or ValueError."""
        file, aliases = self._booked[name].file, self._store.aliases(name)
        found = standing(file.version, aliases)
        if found.set_aside:
            aside = ", ".join(found.set_aside)
            self._tell(name, f"its file was changed after {aside} was promoted: {file.version}, the file's, holds")
        known = {file.version: file, before.production.version: before.production}
        if before.canary is not None:
            known[before.canary.version] = before.canary

        def version(wanted: str) -> BookedPrompt:
            return known.get(wanted) or BookedPrompt.stored(self._store.content(name, wanted))

        production, canary = version(found.production), None
        try:
            canary = version(found.canary) if found.canary else None
        except (OSError, ValueError) as error:  # no reason to keep what production named before
            self._again_at = self._clock() + _AGAIN_S
            self._tell(name, f"its canary {found.canary} cannot be read, so nobody gets it: {error}", error)
        else:
            if not found.set_aside:
                self._told.pop(name, None)
        return InForce(production, "file" if found.production == file.version else "registry", canary)

    def _tell_change(self, name: str, before: InForce, after: InForce) -> None:
        if after.production.version != before.production.version:
            log.info("prompt %s: %s, from the %s, is in force", name, after.production.version, after.source)
        if after.canary is not None and after.canary != before.canary:
            share = self._booked[name].canary_share
            log.info("prompt %s: %s is its canary, for %g of the requests", name, after.canary.version, share)

    def _tell(self, name: str, what: str, error: Exception | None = None) -> None:
        """Say it once."""
        if self._told.get(name) != what:
            self._told[name] = what
            (log.error if error else log.warning)("prompt %s: %s", name, what)


@dataclass(frozen=True, slots=True)
class RoutePrompts:
    """Implements `contracts.ports.Prompts`: a route's `usual` prompt or "", and those of `tenants` in its place."""

    book: PromptBook
    usual: str
    tenants: Mapping[str, str]

    def of(self, tenant: str, lot: float) -> Prompt | None:
        name = self.tenants.get(tenant, self.usual)
        return self.book.prompt(name, tenant, lot) if name else None
