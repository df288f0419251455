"""One server under an OpenAI base URL, over HTTP, and what goes wrong on the way as TargetFailure.

The non-obvious decision: proxies of the environment are used, except for loopback addresses. A Weir or model on
this machine is never to be asked through somebody else, and a hosted one may be out of reach otherwise. Redirects
are not followed: the key belongs to the address that was given.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from evals.targets.port import TargetFailure
from router.server import is_loopback

if TYPE_CHECKING:
    import aiohttp

_CONNECT_S = 10.0
_TRANSFER_S = 3600.0
"""For a file of some hundred megabytes, on a slow line."""
_LIKELY = "Start `weir serve`, or say where the server is with --base-url or WEIR_BASE_URL."


class Reply(NamedTuple):
    """`ms` are milliseconds from when the request had been sent, without the time that connecting took."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    ms: float


def tidy(base_url: str) -> str:
    """The address without a slash at its end. Raises ValueError where it is none, or holds a secret."""
    url = urlsplit(base_url.strip())
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError("a base URL is like http://127.0.0.1:8080/v1")
    if url.username is not None or url.query or url.fragment:
        raise ValueError("a base URL has no user, password or query: give the key in WEIR_API_KEY")
    path = url.path.rstrip("/").removesuffix("/chat/completions")
    return urlunsplit((url.scheme, url.netloc.lower(), path, "", ""))


class Wire:
    """Keeps connections alive, as many as there are requests at a time; whoever asks bounds those.

    `timeout_s` bounds each request as a whole, connecting included. Raises ValueError for a wrong `base_url` or
    `key`.
    """

    def __init__(self, base_url: str, key: str, *, timeout_s: float) -> None:
        self.base_url = tidy(base_url)
        if not key.isascii() or not key.isprintable():
            raise ValueError("the key holds characters that no key has: was something else pasted with it?")
        self.secrets = (key,) if key else ()
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """In the event loop that it is used in."""
        import aiohttp

        async def sent(_: Any, place: SimpleNamespace, __: Any) -> None:
            place.trace_request_ctx["sent"] = time.perf_counter()

        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(sent)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            headers={"authorization": f"Bearer {self.secrets[0]}"} if self.secrets else None,
            trust_env=not is_loopback(urlsplit(self.base_url).hostname or ""),
            trace_configs=[trace],
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(
        self,
        method: str,
        path: str,
        *,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        file: bool = False,
    ) -> Reply:
        """Whatever the server says, whole. `file`: the request is one, and may take its time.

        Raises TargetFailure where the server says nothing, or not in time.
        """
        times = {"sent": time.perf_counter()}
        async with self.answering(method, path, data=data, headers=headers, file=file, times=times) as response:
            body = await response.read()
        return Reply(response.status, response.headers, body, (time.perf_counter() - times["sent"]) * 1000)

    def answering(
        self,
        method: str,
        path: str,
        *,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        file: bool = False,
        times: dict[str, float] | None = None,
    ) -> _Answering:
        """The response while it is read, as an async context. Raises TargetFailure, also from within it."""
        assert self._session is not None, "open it first"  # noqa: S101
        import aiohttp

        total_s = _TRANSFER_S if file else self._timeout_s
        request = self._session.request(
            method,
            f"{self.base_url}{path}",
            data=data,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=total_s, sock_connect=_CONNECT_S),
            trace_request_ctx={} if times is None else times,
        )
        return _Answering(request, self.base_url, total_s)


class _Answering:
    """aiohttp's request, with its exceptions in our words."""

    def __init__(self, request: Any, base_url: str, timeout_s: float) -> None:
        self._request = request
        self._base_url = base_url
        self._timeout_s = timeout_s

    async def __aenter__(self) -> aiohttp.ClientResponse:
        import aiohttp

        try:
            response: aiohttp.ClientResponse = await self._request.__aenter__()
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
            raise self._failure(error) from error
        return response

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        import aiohttp

        await self._request.__aexit__(kind, error, trace)
        if isinstance(error, aiohttp.ClientError | OSError):
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> TargetFailure:
        import aiohttp

        if isinstance(error, asyncio.TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError):
            return TargetFailure("timeout", f"No answer within {self._timeout_s:g} seconds.", retryable=True)
        if isinstance(error, aiohttp.ClientSSLError):
            return TargetFailure("insecure", f"No secure connection to {self._base_url}: {error}", fatal=True)
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return TargetFailure("unreachable", f"No server answers at {self._base_url}. {_LIKELY}", retryable=True)
        if isinstance(error, aiohttp.InvalidURL):
            return TargetFailure("unreachable", f"{self._base_url} is no address. {_LIKELY}", fatal=True)
        if isinstance(error, aiohttp.ClientResponseError):
            return TargetFailure("malformed", "The target did not speak HTTP.", retryable=True)
        return TargetFailure("reset", "The connection broke off before the answer was whole.", retryable=True)
