"""The upstreams that are running. Those that a new configuration leaves as they are keep their connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any

from contracts.ports import Upstream
from router.config import schema
from router.config.load import Loaded

Make = Callable[[str, schema.Upstream, Loaded], Upstream]


class Fleet:
    """`make` turns a configured upstream into one that can be started."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._origins: Mapping[str, object] = {}
        self.running: Mapping[str, Upstream] = {}

    async def sail(self, loaded: Loaded) -> list[Upstream]:
        """Run what `loaded` uses; returns those that are no longer needed, still open for the requests on board.

        Raises UpstreamFailure where one cannot start. Nothing has changed then.
        """
        used = {loaded.upstream_of(model) for model in loaded.config.models}
        origins = {name: _origin(loaded.config.upstreams[name], loaded) for name in used}
        kept = {
            name: upstream for name, upstream in self.running.items() if origins.get(name) == self._origins[name]
        }
        new = {name: self._make(name, loaded.config.upstreams[name], loaded) for name in used - kept.keys()}
        try:
            await _start(new.values())
        except BaseException:
            await asyncio.gather(*(upstream.close() for upstream in new.values()))
            raise
        gone = [upstream for name, upstream in self.running.items() if name not in kept]
        self.running, self._origins = {**kept, **new}, origins
        return gone

    def version_of(self, name: str) -> str:
        """Hash of what the running upstream was made from: what it answered before is another one's answer."""
        return blake2b(repr(self._origins[name]).encode(), digest_size=8).hexdigest()

    async def close(self) -> None:
        await asyncio.gather(*(upstream.close() for upstream in self.running.values()))


async def _start(upstreams: Iterable[Upstream]) -> None:
    """Start all of them. A failure is raised last: one that is still starting could not be closed for good."""
    starts = await asyncio.gather(*(upstream.start() for upstream in upstreams), return_exceptions=True)
    for failure in filter(None, starts):
        raise failure


def _origin(upstream: schema.Upstream, loaded: Loaded) -> object:
    """All that an upstream is made from: its settings, the values of its secrets, and the state of its files."""
    settings = upstream.model_dump()
    values = [loaded.secret(text) for text in _texts(settings) if text.startswith("${") and loaded.has_secret(text)]
    files = [loaded.folder / settings[name] for name in ("path", "knowledge") if settings.get(name)]
    return upstream, values, [(file.stat().st_mtime_ns, file.stat().st_size) for file in files]


def _texts(settings: Mapping[str, Any]) -> Iterator[str]:
    for value in settings.values():
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            yield from _texts(value)
