"""From an address to a connected socket, with TLS where it is asked for.

Addresses of one name are tried in turn, each within its share of the time, beginning with the one that worked last:
a dead one costs a wait once, and not with every connection.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import SplitResult

from router.upstreams.http1 import Connection, NotConnected, NotSecure

_RESOLVED_S = 10.0
"""How long a name's addresses are remembered."""
_HOST = re.compile(r"[a-z0-9._~-]+|[0-9a-f:.]+(?:%[a-z0-9._~-]+)?")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Whom to talk to. `host` is a name in ASCII, or an address without brackets."""

    host: str
    port: int
    secure: bool

    @classmethod
    def of(cls, url: SplitResult) -> Origin:
        """Raises ValueError where `url` is not http(s), has a user in it, or no host that could be asked for."""
        if url.scheme not in _PORTS or url.username is not None:
            raise ValueError("must be http:// or https://, without user or password")
        host = (url.hostname or "").encode("idna").decode()
        if not _HOST.fullmatch(host):
            raise ValueError("names no host")
        return cls(host, url.port or _PORTS[url.scheme], url.scheme == "https")

    @property
    def authority(self) -> str:
        """What goes into the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS["https" if self.secure else "http"] else f"{host}:{self.port}"


class Dialler:
    """Makes connections to `origin`, each within `connect_s` seconds."""

    def __init__(self, origin: Origin, connect_s: float) -> None:
        self._origin = origin
        self._connect_s = connect_s
        self._tls = trusting() if origin.secure else None
        self._addresses: list[tuple[Any, ...]] = []
        """As getaddrinfo gives them."""
        self._stale_at = 0.0
        self._worked: tuple[Any, ...] | None = None

    async def dial(self, connection: Connection, due: float) -> None:
        """Connect `connection`. Raises NotConnected, or TimeoutError when it took too long or `due` has passed."""
        loop = asyncio.get_running_loop()
        until = min(due, loop.time() + self._connect_s)
        try:
            async with asyncio.timeout_at(until):
                reached = await self._reach(until)
                await loop.create_connection(
                    lambda: connection,
                    sock=reached,
                    ssl=self._tls,
                    server_hostname=self._origin.host.rstrip(".") if self._tls else None,
                )
        except TimeoutError as error:
            raise TimeoutError(f"Connection timeout to {self._origin.authority}") from error
        except ssl.SSLError as error:
            raise NotSecure(f"{self._origin.authority}: {error}") from error
        except (OSError, UnicodeError) as error:
            raise NotConnected(f"{self._origin.authority}: {error}") from error

    async def _reach(self, until: float) -> socket.socket:
        loop = asyncio.get_running_loop()
        fault = OSError("the name has no address")
        addresses = await self._resolve()
        for index, address in enumerate(addresses):
            share = (until - loop.time()) / (len(addresses) - index)
            try:
                async with asyncio.timeout(share):
                    reached = await _connected(address)
            except OSError as error:
                fault = error
            else:
                self._worked = address
                return reached
        raise fault

    async def _resolve(self) -> list[tuple[Any, ...]]:
        loop = asyncio.get_running_loop()
        if loop.time() >= self._stale_at:
            found = await loop.getaddrinfo(self._origin.host, self._origin.port, type=socket.SOCK_STREAM)
            self._addresses = list(found)
            self._stale_at = loop.time() + _RESOLVED_S
        return sorted(self._addresses, key=lambda address: address != self._worked)


async def _connected(address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, _, where = address
    reaching = socket.socket(family, kind, protocol)
    try:
        reaching.setblocking(False)
        reaching.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a peer that vanished is noticed one day
        await asyncio.get_running_loop().sock_connect(reaching, where)
    except BaseException:
        reaching.close()
        raise
    return reaching


@cache
def trusting() -> ssl.SSLContext:
    """One for all: reading the certificates takes tens of milliseconds."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
