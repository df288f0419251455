"""Bodies that came compressed although nobody asked for it: some servers do, whatever Accept-Encoding says.

They are unpacked in bounded pieces, so that the reader's own limit stops a small body that would become gigabytes.
"""

from __future__ import annotations

import zlib
from typing import Protocol

from router.upstreams.http1 import NotHTTP

_PIECE = 256 * 1024
_GZIP = 16 + zlib.MAX_WBITS
_METHOD_DEFLATE = 8


class Body(Protocol):
    async def read(self) -> bytes:
        """Some bytes, or b"" at the end."""


def plain(source: Body, encoding: str) -> Body:
    """`source` without its Content-Encoding. Raises NotHTTP where it is one that Weir does not know."""
    match encoding.strip().lower():
        case "" | "identity":
            return source
        case "gzip" | "x-gzip" | "deflate" as known:
            return _Inflated(source, gzip=known != "deflate")
    raise NotHTTP(f"an answer encoded as {encoding[:80]!r}")


class _Inflated:
    """`read` raises NotHTTP where the bytes are damaged or end too soon. Cancelling it loses nothing."""

    def __init__(self, source: Body, *, gzip: bool) -> None:
        self._source = source
        self._gzip = gzip
        self._inflater: zlib._Decompress | None = None
        self._packed = b""
        self._full = False
        """Whether the last piece was, so that more may come out before more goes in."""

    async def read(self) -> bytes:
        while True:
            if not self._packed and not self._full:
                self._packed = await self._source.read()
                if not self._packed:
                    break
            if piece := self._unpack():
                return piece
        if self._inflater is not None and not self._inflater.eof:
            raise NotHTTP("a compressed body that ends too soon")
        return b""

    def _unpack(self) -> bytes:
        if self._inflater is None or self._inflater.eof:  # gzip may hold several streams, one after the other
            self._inflater = zlib.decompressobj(self._window())
        inflater = self._inflater
        try:
            piece = inflater.decompress(self._packed, _PIECE)
        except zlib.error as error:
            raise NotHTTP(f"a damaged compressed body: {error}") from error
        self._packed = inflater.unconsumed_tail or inflater.unused_data
        self._full = len(piece) == _PIECE and not inflater.eof
        return piece

    def _window(self) -> int:
        """zlib's `wbits`. Deflate should come with a zlib header (RFC 9110, 8.4.1.2) and often comes without."""
        if self._gzip:
            return _GZIP
        headed = self._packed[0] & 0x0F == _METHOD_DEFLATE
        return zlib.MAX_WBITS if headed else -zlib.MAX_WBITS
