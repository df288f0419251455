"""Compressed bodies that nobody asked for: read as what they were, in bounded pieces, or named as damaged."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.upstreams.http1 import NotHTTP
from router.upstreams.inflated import plain

PLAIN = b'data: {"choices": []}\n\n' * 1000


def raw_deflate(data: bytes) -> bytes:
    deflating = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflating.compress(data) + deflating.flush()


PACKED = {
    "gzip": gzip.compress(PLAIN),
    "x-gzip": gzip.compress(PLAIN[:99]) + gzip.compress(PLAIN[99:]),
    "deflate": zlib.compress(PLAIN),
    "Deflate ": raw_deflate(PLAIN),
    "identity": PLAIN,
    "": PLAIN,
}


class Pieces:
    """A body that comes in these pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.left = [piece for piece in pieces if piece]

    async def read(self) -> bytes:
        return self.left.pop(0) if self.left else b""


async def read_all(source: Pieces, encoding: str) -> bytes:
    body = plain(source, encoding)
    data = b""
    while more := await body.read():
        data += more
    assert await body.read() == b""
    return data


@pytest.mark.parametrize("encoding", PACKED)
@given(places=st.lists(st.integers(min_value=0, max_value=len(PLAIN)), max_size=8))
def test_a_body_is_what_it_was_wherever_it_was_cut(encoding: str, places: list[int]) -> None:
    packed = PACKED[encoding]
    edges = [0, *sorted(place % len(packed) for place in places), len(packed)]
    pieces = [packed[start:end] for start, end in pairwise(edges)]
    assert asyncio.run(read_all(Pieces(*pieces), encoding)) == PLAIN


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_nothing_at_all_is_nothing(encoding: str) -> None:
    assert await read_all(Pieces(), encoding) == b""


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", b"not gzip at all"),
        ("gzip", gzip.compress(PLAIN)[:-9]),
        ("gzip", gzip.compress(PLAIN) + b"more"),
        ("deflate", zlib.compress(PLAIN)[:-1]),
        ("deflate", b"\xff" * 9),
        ("br", PLAIN),
        ("gzip, br", PLAIN),
    ],
)
async def test_what_is_damaged_or_unknown_is_no_answer(encoding: str, packed: bytes) -> None:
    with pytest.raises(NotHTTP):
        await read_all(Pieces(packed), encoding)


async def test_a_small_body_that_would_become_gigabytes_comes_in_pieces() -> None:
    deflating = zlib.compressobj(9, wbits=31)
    packed = b"".join(deflating.compress(bytes(1024 * 1024)) for _ in range(64)) + deflating.flush()
    source = Pieces(packed)
    body = plain(source, "gzip")
    size = 0
    while piece := await body.read():
        assert len(piece) <= 256 * 1024
        size += len(piece)
    assert size == 64 * 1024 * 1024
