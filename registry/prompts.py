"""Prompts as artefacts: how they are stored and promoted, and what the server's prompt book asks of the registry.

The non-obvious decision: whoever promotes also says what the configuration's file holds at that moment, under the
alias `file`. The moves are in such an order that whatever a crash leaves undone, what serves is either what served
before or what was to serve; and that `previous` names what was in force, so that a rollback has somewhere to go.
"""

from __future__ import annotations

import os
import time
from collections.abc import Hashable, Mapping
from typing import Any

from contracts.artefacts import CANARY, FILE, PREVIOUS, PRODUCTION, PROMPT_CONTENT
from registry.faults import RegistryFault
from registry.store import Registry

PROMPT = "prompt"
"""The kind of a stored prompt. Its name is the prompt's in the configuration."""
_YOUNG_NS = 1_000_000_000
"""A file replaced this lately is read: file systems count time in steps of some milliseconds, and
give the number of a file that is gone to the next one, so that two moves within a step can look like none."""


class StoredPrompts:
    """Implements `contracts.ports.PromptStore`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._revision = str(registry.folder / "revision")

    def stamp(self) -> Hashable:
        try:
            status = os.stat(self._revision)  # noqa: PTH116 - half of what Path.stat() takes, at every request
            if time.time_ns() - status.st_mtime_ns < _YOUNG_NS:
                return status.st_ino, status.st_mtime_ns, self._registry.revision()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns

    def aliases(self, name: str) -> Mapping[str, str]:
        try:
            return self._registry.aliases(PROMPT, name)
        except RegistryFault as fault:
            raise ValueError(str(fault)) from fault

    def content(self, name: str, version: str) -> bytes:
        try:
            return content_of(self._registry, name, version)
        except RegistryFault as fault:
            raise ValueError(str(fault)) from fault


def put(registry: Registry, name: str, content: bytes, by: str) -> str:
    """Store what `BookedPrompt.content` gave, and return its version, which is the prompt's own."""
    return registry.put(PROMPT, name, {PROMPT_CONTENT: content}, {}, by=by)


def content_of(registry: Registry, name: str, version_or_alias: str) -> bytes:
    """What was put. Raises NotThere, Damaged or OSError."""
    return (registry.get(PROMPT, name, version_or_alias).folder / PROMPT_CONTENT).read_bytes()


def promote(
    registry: Registry,
    name: str,
    content_of_file: bytes,
    version: str,
    *,
    alias: str = PRODUCTION,
    by: str,
    reason: str,
    evidence: Mapping[str, Any] | None = None,
) -> bool:
    """Put `version`, which is stored already, in force over the file whose content this is.

    Returns whether anything changed. Raises NotThere or Damaged before anything did.
    """
    registry.get(PROMPT, name, version)
    file_version = put(registry, name, content_of_file, by)
    aliases = registry.aliases(PROMPT, name)
    changed = False
    if aliases.get(FILE) != file_version:
        was = "the file that serves, as another version is promoted over it"
        if CANARY in aliases:  # made for another file: it would hold again with the next move but one
            registry.drop(PROMPT, name, CANARY, by=by, reason="its file has changed")
        if registry.point(PROMPT, name, PRODUCTION, file_version, by=by, reason=was):
            # What held over another file: a rollback must not bring it back over this one.
            registry.drop(PROMPT, name, PREVIOUS, by=by, reason="it was promoted over another file")
        changed = registry.point(PROMPT, name, FILE, file_version, by=by, reason=was)
    elif PRODUCTION not in aliases:
        changed = registry.point(PROMPT, name, PRODUCTION, file_version, by=by, reason="the file, which serves")
    return registry.point(PROMPT, name, alias, version, by=by, reason=reason, evidence=evidence) or changed
