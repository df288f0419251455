from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache.index.growth import Growth
from cache.index.scopes import Found, VectorIndex, VectorIndexes
from cache.index.vectors import Vectors

D = 32
SMALL = Growth(flat_until=50)
NEVER = Growth(flat_until=10**9)


def units(count: int, seed: int = 0, dimensions: int = D) -> np.ndarray:
    """Unit vectors in clusters, so that some are near each other."""
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((max(1, count // 8), dimensions))
    vectors = centres[draw.integers(0, len(centres), count)] + 0.4 * draw.standard_normal((count, dimensions))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def near(vector: np.ndarray, cosine: float, seed: int = 1) -> np.ndarray:
    aside = np.random.default_rng(seed).standard_normal(len(vector))
    aside -= (aside @ vector) * vector
    return (cosine * vector + (1 - cosine**2) ** 0.5 * aside / np.linalg.norm(aside)).astype(np.float32)


def truth(model: dict[int, np.ndarray], query: np.ndarray, k: int, floor: float) -> Found:
    every = sorted(((entry, float(vector @ query)) for entry, vector in model.items()), key=lambda one: -one[1])
    return [one for one in every if one[1] >= floor][:k]


@contextmanager
def index(growth: Growth = SMALL, dimensions: int = D) -> Iterator[VectorIndex]:
    made = VectorIndex(dimensions, growth=growth)
    try:
        yield made
    finally:
        made.close()


def filled(made: VectorIndex, count: int) -> dict[int, np.ndarray]:
    model = dict(enumerate(units(count, dimensions=made._space.vectors.dimensions)))
    for entry, vector in model.items():
        made.add(entry, vector)
    made.settled()
    return model


def agrees(made: VectorIndex, model: dict[int, np.ndarray]) -> None:
    """Every entry is found by a query near it, with the similarity that it has, and nothing else is in there."""
    assert len(made) == len(model)
    assert sorted(made) == sorted(model)
    for entry, vector in model.items():
        query = near(vector, 0.95)
        found = made.search(query, 3, 0.7)
        assert truth(model, query, 1, 0.7)[0][0] in dict(found)
        assert set(dict(found)) <= set(model)
        for each, similarity in found:
            assert abs(similarity - float(model[each] @ query)) < 0.01
        assert found == sorted(found, key=lambda one: -one[1])
        assert np.abs(made.vector(entry) - vector).max() <= np.abs(vector).max() / 127


@pytest.mark.parametrize("growth", [NEVER, SMALL])
def test_finds_what_is_near_while_flat_and_when_large(growth: Growth) -> None:
    with index(growth) as made:
        model = filled(made, 400)
        assert made.is_large == (growth is SMALL)
        agrees(made, model)


@pytest.mark.parametrize("dimensions", [30, 35, 384])
def test_takes_vectors_of_any_length(dimensions: int) -> None:
    with index(dimensions=dimensions) as made:
        agrees(made, filled(made, 120))
        assert made.is_large


def test_thousands_of_entries_have_two_levels_of_lists() -> None:
    with index() as made:
        model = dict(enumerate(units(17_000)))
        for entry, vector in model.items():
            made.add(entry, vector)
        made.settled()
        agrees_for_some = list(model)[::170]
        for entry in agrees_for_some:
            assert entry in dict(made.search(near(model[entry], 0.97), 10, 0.7))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_more_are_asked_for_than_there_are(count: int) -> None:
    with index() as made:
        model = filled(made, count)
        found = made.search(units(1, seed=9)[0], 5, -1)
        assert {entry for entry, _ in found} == set(model)


@pytest.mark.parametrize("growth", [NEVER, SMALL])
def test_nothing_below_the_floor(growth: Growth) -> None:
    with index(growth) as made:
        model = filled(made, 200)
        query = near(model[17], 0.9)
        best = made.search(query, 1, 0.7)[0][1]
        assert made.search(query, 1, best) != []
        assert made.search(query, 1, best + 0.001) == []
        assert all(similarity >= 0.8 for _, similarity in made.search(query, 50, 0.8))


def test_equally_similar_ones_come_by_number() -> None:
    with index(NEVER) as made:
        vector = units(1)[0]
        for entry in (7, 3, 5):
            made.add(entry, vector)
        assert [entry for entry, _ in made.search(vector, 2)] == [3, 5]


@pytest.mark.parametrize("growth", [NEVER, SMALL])
def test_what_was_removed_never_comes_back(growth: Growth) -> None:
    with index(growth) as made:
        model = filled(made, 300)
        gone = {entry: model.pop(entry) for entry in list(model)[::2]}
        for entry in gone:
            made.remove(entry)
        for entry, vector in gone.items():
            assert entry not in dict(made.search(vector, 20))
            with pytest.raises(KeyError):
                made.remove(entry)
            with pytest.raises(KeyError):
                made.vector(entry)
        agrees(made, model)


def test_a_number_that_is_used_again_has_the_new_vector_only() -> None:
    with index() as made:
        model = filled(made, 300)
        for entry, vector in zip(range(0, 300, 3), units(100, seed=5), strict=True):
            made.remove(entry)
            made.add(entry, vector)
            model[entry] = vector
        agrees(made, model)


def test_a_large_scope_gets_flat_again() -> None:
    with index() as made:
        model = filled(made, 200)
        for entry in range(190):
            made.remove(entry)
            del model[entry]
        assert not made.is_large
        agrees(made, model)
        for entry, vector in enumerate(units(190, seed=7)):
            made.add(entry, vector)
            model[entry] = vector
        made.settled()
        assert made.is_large
        agrees(made, model)


def test_many_at_once_are_built_once() -> None:
    scopes = VectorIndexes(D, SMALL)
    model = dict(enumerate(units(300)))
    scopes.add(b"scope", 299, model[299])
    for entries in (range(2), range(2, 200), range(200, 299)):
        scopes.add_many(b"scope", entries, np.stack([model[entry] for entry in entries]))
        scopes.settled()
    with pytest.raises(ValueError, match="taken"):
        scopes.add_many(b"other", range(400, 197, -1), units(203))
    assert (scopes.size(b"other"), len(scopes)) == (101, 401)
    agrees(scopes._many[b"scope"], model)
    assert scopes._many[b"scope"].is_large
    scopes.close()


def test_what_changes_during_a_build_is_in_both_forms() -> None:
    """There is no wait in between, so builds are under way all the time."""
    draw = np.random.default_rng(3)
    fresh = iter(units(6000, seed=4))
    with index(Growth(flat_until=50, anew_after=0.2, catch_up=4)) as made:
        model: dict[int, np.ndarray] = {}
        during = 0
        for _ in range(2000):
            entry = int(draw.integers(0, 900))
            if entry in model:
                made.remove(entry)
                del model[entry]
            if draw.random() < 0.8:
                model[entry] = next(fresh)
                made.add(entry, model[entry])
                during += made._large is not None and made._large.building
                query = near(model[entry], 0.98)
                assert entry in dict(made.search(query, 5, 0.7))
        assert during > 50
        agrees(made, model)
        made.settled()
        agrees(made, model)


operations = st.lists(
    st.tuples(st.sampled_from(["add", "add", "add", "remove", "settle"]), st.integers(0, 150)), max_size=300
)


@pytest.mark.parametrize("growth", [NEVER, Growth(flat_until=32, anew_after=0.5, catch_up=2)])
@settings(max_examples=25, deadline=None)
@given(operations=operations)
def test_as_brute_force_would(growth: Growth, operations: list[tuple[str, int]]) -> None:
    vectors = units(151, seed=2)
    model: dict[int, np.ndarray] = {}
    with index(growth) as made:
        for operation, entry in operations:
            if operation == "settle":
                made.settled()
            elif operation == "remove" and entry in model:
                made.remove(entry)
                del model[entry]
            elif operation == "add" and entry not in model:
                made.add(entry, vectors[entry])
                model[entry] = vectors[entry]
            best = made.search(vectors[entry], 1, 0.7)
            assert [one for one, _ in best] == [one for one, _ in truth(model, vectors[entry], 1, 0.7)]
        agrees(made, model)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda made, vector: made.add(0, vector),
        lambda made, vector: made.add(-1, vector),
        lambda made, vector: made.add(1, vector[:-1]),
        lambda made, vector: made.add(1, vector * np.float32(np.nan)),
        lambda made, vector: made.add(1, vector * np.float32(inf)),
    ],
)
def test_what_cannot_be_added_changes_nothing(spoil: Callable[[VectorIndex, np.ndarray], None]) -> None:
    with index() as made:
        model = filled(made, 1)
        with pytest.raises(ValueError, match=r"entry|vector"):
            spoil(made, model[0])
        agrees(made, model)


def test_cleared_it_is_as_new() -> None:
    with index() as made:
        filled(made, 200)
        made.clear()
        assert len(made) == 0
        assert made.search(units(1)[0], 3) == []
        agrees(made, filled(made, 100))


def test_closed_it_still_finds_and_grows_no_more() -> None:
    made = VectorIndex(D, growth=SMALL)
    made.close()
    agrees(made, filled(made, 200))
    assert not made.is_large


def test_without_faiss_it_stays_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with index() as made:
        agrees(made, filled(made, 200))
        assert not made.is_large


def test_faiss_is_loaded_by_the_first_large_scope() -> None:
    program = f"""
import sys
import numpy as np
from cache.index.scopes import VectorIndex
from cache.index.growth import Growth
index = VectorIndex({D}, growth=Growth(flat_until=50))
for entry in range(50):
    index.add(entry, np.ones({D}, np.float32))
assert "faiss" not in sys.modules
index.add(50, np.ones({D}, np.float32))
index.settled()
assert index.is_large and "faiss" in sys.modules
index.close()
"""
    subprocess.run([sys.executable, "-c", program], check=True)


# --- memory --------------------------------------------------------------------------------------------


def test_bytes_are_what_is_allocated() -> None:
    vectors = units(3000, dimensions=384)
    filled(VectorIndex(384, growth=NEVER), 1)  # what the first use takes once
    tracemalloc.start()
    try:
        made = VectorIndex(384, growth=NEVER)
        for entry, vector in enumerate(vectors):
            made.add(entry, vector)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert made.bytes == pytest.approx(taken, rel=0.02)
    assert made.bytes / 3000 < 550


def test_a_large_scope_counts_its_lists() -> None:
    with index(dimensions=384) as made:
        model = filled(made, 2000)
        lists = made._large.lists
        assert lists.bytes >= 2000 * (48 + 8)
        assert made.bytes == made.own_bytes + made._space.vectors.bytes
        before = lists.bytes
        for entry in list(model)[:1500]:
            made.remove(entry)
        assert lists.bytes < before


def test_rows_are_used_again_and_empty_blocks_given_back() -> None:
    vectors = Vectors(D)
    one = units(1)[0]
    for entry in (0, 20_000, 40_000):
        vectors.put(entry, one)
    full = vectors.bytes
    vectors.drop(20_000)
    assert full - vectors.bytes == (1 << 14) * (D + 4)
    vectors.put(20_001, one)
    assert vectors.bytes == full
    for entry in (0, 20_001, 40_000):
        vectors.drop(entry)
    assert vectors.bytes == vectors.owners.nbytes + vectors.places.nbytes
    assert len(vectors) == 0


# --- many scopes ---------------------------------------------------------------------------------------


def test_scopes_see_their_own_entries_only() -> None:
    scopes = VectorIndexes(D, SMALL)
    every = units(600)
    for entry, vector in enumerate(every):
        scopes.add(b"large" if entry % 2 else b"%d" % (entry % 200), entry, vector)
    scopes.settled()
    assert scopes.scopes == 101
    assert (scopes.size(b"large"), scopes.size(b"2"), scopes.size(b"none")) == (300, 3, 0)
    for entry, vector in enumerate(every):
        scope = b"large" if entry % 2 else b"%d" % (entry % 200)
        assert scopes.search(scope, vector, 1)[0][0] == entry
        other = b"%d" % ((entry + 2) % 200 // 2 * 2)
        assert entry not in dict(scopes.search(other, vector, 5))
    assert scopes.search(b"none", every[0]) == []
    scopes.drop(b"large")
    scopes.drop(b"2")
    assert (len(scopes), scopes.scopes) == (297, 99)
    with pytest.raises(KeyError):
        scopes.remove(b"4", 2)
    scopes.close()


def test_an_entry_is_in_one_scope() -> None:
    scopes = VectorIndexes(D)
    scopes.add(b"one", 1, units(1)[0])
    with pytest.raises(ValueError, match="taken"):
        scopes.add(b"two", 1, units(1)[0])
    with pytest.raises(KeyError):
        scopes.remove(b"two", 1)
    scopes.remove(b"one", 1)
    scopes.add(b"two", 1, units(1)[0])
    assert (scopes.size(b"one"), scopes.size(b"two")) == (0, 1)


def test_a_scope_outgrows_its_packed_form_and_empties() -> None:
    scopes = VectorIndexes(D, SMALL)
    for entry, vector in enumerate(units(70)):
        scopes.add(b"scope", entry, vector)
    scopes.settled()
    for entry in range(70):
        scopes.remove(b"scope", entry)
    assert (len(scopes), scopes.scopes) == (0, 0)
    scopes.close()


def test_a_scope_with_one_entry_is_cheap() -> None:
    count = 20_000
    vector = units(1, dimensions=384)[0]
    keys = [entry.to_bytes(16, "big") for entry in range(count)]
    VectorIndexes(384).add(b"", 0, vector)
    tracemalloc.start()
    try:
        scopes = VectorIndexes(384)
        for entry in range(count):
            scopes.add(bytes(bytearray(keys[entry])), entry, vector)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert scopes.bytes == pytest.approx(taken, rel=0.05)
    beside = scopes.bytes - scopes._space.vectors.bytes
    assert beside / count < 200
