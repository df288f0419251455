"""Changes as bytes: there and back, and what becomes of bytes that are none."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.sharing.changes import (
    Change,
    DecodeError,
    Dropped,
    Invalidated,
    Kept,
    Learned,
    Quarantined,
    Seen,
    decode,
    encode,
    may_be_lost,
)

texts = st.text(st.characters(codec="utf-8"), max_size=20)
some_bytes = st.binary(max_size=40)
counts = st.integers(0, 2**40)
changes: st.SearchStrategy[Change] = st.one_of(
    st.builds(
        Kept,
        key=some_bytes,
        body=some_bytes,
        facts=some_bytes,
        stored_at=st.floats(0, 2e9),
        expires_at=st.floats(0, 2e9),
        revision=counts,
        owner=texts,
        writer=texts,
        tags=st.lists(texts, max_size=3).map(tuple),
        quarantined=st.booleans(),
        hard_key=some_bytes,
        text=texts,
        vector=some_bytes,
        encoder=texts,
        right=counts,
        wrong=counts,
        demoted=counts,
    ),
    st.builds(Invalidated, owner=texts, tag=texts, revision=counts),
    st.builds(Dropped, key=some_bytes),
    st.builds(Quarantined, key=some_bytes),
    st.builds(Learned, owner=texts, route=texts, version=texts, state=some_bytes),
    st.builds(Seen, position=texts, revision=counts),
)


@given(changes)
def test_every_change_comes_back_as_it_was(change: Change) -> None:
    assert decode(encode(change)) == change


@given(changes, st.data())
def test_a_part_of_a_change_is_none(change: Change, data: st.DataObject) -> None:
    whole = encode(change)
    with pytest.raises(DecodeError):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", msgspec.msgpack.encode(["renamed", b"k"]), msgspec.msgpack.encode(["dropped", 3])]
)
def test_what_is_no_change_says_so(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(data)


def test_what_an_earlier_weir_wrote_without_a_question_is_read() -> None:
    earlier = ["kept", b"k", b"body", b"facts", 1.0, 2.0, 3, "acme", "key_1", ["a"]]
    change = decode(msgspec.msgpack.encode(earlier))
    assert isinstance(change, Kept)
    assert (change.tags, change.quarantined, change.hard_key, change.text, change.right) == (
        ("a",),
        False,
        b"",
        "",
        0,
    )


def test_only_what_makes_a_cache_colder_may_be_lost() -> None:
    needed = [Invalidated(owner="", tag="*", revision=1), Dropped(key=b"k"), Quarantined(key=b"k")]
    assert not any(may_be_lost(change) for change in needed)
    assert may_be_lost(Seen(position="1-1", revision=1))


def test_a_vector_of_half_precision_has_the_same_cosines() -> None:
    vectors = np.random.default_rng(1).normal(size=(50, 256)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    halved = np.frombuffer(vectors.astype("<f2").tobytes(), "<f2").astype(np.float32).reshape(50, 256)
    assert np.abs(halved @ vectors.T - vectors @ vectors.T).max() < 0.0005
