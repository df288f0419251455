"""A verifier is one file of numbers, and says the same after it was written and read."""

from __future__ import annotations

from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.matching.features import NAMES
from cache.matching.verifier import Meanings, Verifier
from cache.matching.words import BUCKETS
from heads.trees import Trees


def tree(feature: str, threshold: float, small: float, large: float) -> Trees:
    """One question: is the feature larger?"""
    return Trees(
        np.array([[NAMES.index(feature)]], np.int32),
        np.array([[threshold]], np.float32),
        np.array([[1]], np.uint16),
        np.array([[small], [large]]),
    )


def verifier(**changes: Any) -> Verifier:
    parts: dict[str, Any] = {
        "trees": tree("numbers_query", 0.5, 2.0, -2.0),
        "meanings": Meanings(["buy", "purchase"], np.array([[100, 0], [90, 30]], np.int8)),
        "weights": np.ones(BUCKETS, np.float32),
        "harms": np.zeros(BUCKETS, np.float32),
        "calibration": (0.5, 0.0),
        "provenance": {"sources": ["written here"], "note": "naïve"},
    }
    return Verifier(**parts | changes)


def judge(by: Verifier, query: str, *stored: str) -> list[float]:
    return by.judge(by.profile(query), [by.profile(text) for text in stored], [0.9] * len(stored))


def test_probabilities_are_calibrated_and_in_the_order_of_the_candidates() -> None:
    same, other = judge(verifier(), "send 10 dollars", "send 10 dollars", "send 20 dollars")
    assert same == pytest.approx(1 / (1 + np.exp(-1)))
    assert other == pytest.approx(1 - same)
    assert judge(verifier(), "nothing near") == []


def test_each_candidate_has_its_own_similarity() -> None:
    near = verifier(trees=tree("cosine", 0.8, -1.0, 1.0))
    one = near.profile("a question")
    assert [score > 0.5 for score in near.judge(one, [one, one], [0.9, 0.7])] == [True, False]
    with pytest.raises(ValueError, match="shorter"):
        near.judge(one, [one, one], [0.9])


def test_it_is_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    written = verifier()
    path = tmp_path / "verifier.npz"
    written.save(path)
    read = Verifier.load(path)
    assert judge(read, "buy 10", "purchase 20") == judge(written, "buy 10", "purchase 20")
    assert read.provenance == {"sources": ["written here"], "note": "naïve"}
    assert read.version == written.version == blake2b(path.read_bytes(), digest_size=8).hexdigest()
    assert read.version != verifier(calibration=(0.6, 0.0)).version
    assert verifier().dumps() == written.dumps()


def changed(**changes: Any) -> bytes:
    with np.load(BytesIO(verifier().dumps())) as file:
        arrays = {name: file[name] for name in file.files} | changes
    data = BytesIO()
    np.savez(data, **{name: array for name, array in arrays.items() if array is not None})
    return data.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive",
        verifier().dumps()[:-30],
        verifier().dumps()[:200],
        changed(harms=None),
        changed(harms=np.zeros(3, np.float16)),
        changed(names=np.frombuffer(b"buy", np.uint8)),
        changed(calibration=np.array([1.0])),
        changed(calibration=np.array([-1.0, 0.0])),
        changed(feature=np.array([[10_000]], np.int32)),
        changed(value=np.array([[1.0]])),
        changed(provenance=np.frombuffer(b"{", np.uint8)),
        changed(provenance=np.array([{"an": "object"}], dtype=object)),
        changed(features=np.frombuffer(b"other", np.uint8)),
    ],
)
def test_what_is_no_verifier_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Verifier.loads(data)


def test_a_damaged_file_is_refused_or_harmless() -> None:
    good = verifier().dumps()
    refused = 0
    for place in range(40, len(good), len(good) // 40):
        damaged = bytearray(good)
        damaged[place] ^= 0xFF
        try:
            Verifier.loads(bytes(damaged))
        except ValueError:  # anything else fails the test
            refused += 1
    assert refused > 20


def test_meanings_are_the_main_directions_of_a_larger_table() -> None:
    random = np.random.default_rng(1)
    main = random.normal(size=(200, 3)) @ random.normal(size=(3, 40))
    meanings = Meanings.reduced([f"w{row}" for row in range(200)], main.astype(np.float32), 3)
    unit, full = meanings.unit(), main - main.mean(axis=0)
    full /= np.linalg.norm(full, axis=1, keepdims=True)
    np.testing.assert_allclose(unit @ unit.T, full @ full.T, atol=0.05)
    assert meanings.rows.dtype == np.int8


@pytest.mark.parametrize("text", ["", "😀", "x" * 100_000, "中" * 5_000, "\ud800", "1 " * 5_000])
def test_odd_texts_are_judged_too(text: str) -> None:
    assert all(0 <= score <= 1 for score in judge(verifier(), text, text, "plain", ""))
