"""Says of a stored question how probable it is that its answer also answers a new one.

The non-obvious decision: all that it has learned is one file of arrays, named by its content. What a scope's labels
said of one verifier's scores says nothing of another's, so the cache keeps them apart by `version`; and no file is
ever run: no pickle, no code, only numbers whose shapes are checked.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from io import BytesIO
from math import exp
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from cache.matching.features import NAMES, Profile, features, profile
from cache.matching.words import BUCKETS, Lexicon
from heads.trees import Trees

LARGEST_FILE = 32 << 20

_LOWEST_ODDS = -500.0
_TREES = ("feature", "threshold", "mask", "value")
_STEPS_OF_MEANING = 127


class Meanings:
    """What words mean, as rows of `size` small integers: from an encoder's own table of word pieces.

    `names` are sorted from common to rare.
    """

    def __init__(self, names: list[str], rows: NDArray[np.int8]) -> None:
        if rows.ndim != 2 or len(names) != len(rows):
            raise ValueError("a row of meaning is missing for some word")
        self.names = names
        self.rows = rows

    def unit(self) -> NDArray[np.float32]:
        """The rows as vectors of length one."""
        rows = self.rows.astype(np.float32)
        lengths: NDArray[np.float32] = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1)
        return rows / lengths

    @classmethod
    def reduced(cls, names: Sequence[str], table: NDArray[np.float32], size: int) -> Meanings:
        """From an encoder's table: its principal components, as small integers."""
        centred = table - table.mean(axis=0)
        _, axes = np.linalg.eigh(centred.T @ centred)
        rows = centred @ axes[:, ::-1][:, :size]
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        return cls(list(names), np.round(rows * _STEPS_OF_MEANING).astype(np.int8))


class Verifier:
    """Trees over the features of two questions, and what they need to know of words. Belongs to one thread."""

    def __init__(
        self,
        *,
        trees: Trees,
        meanings: Meanings,
        weights: NDArray[np.float32],
        harms: NDArray[np.float32],
        calibration: tuple[float, float],
        provenance: Mapping[str, Any],
    ) -> None:
        if trees.features > len(NAMES):
            raise ValueError("the trees ask for features that this version does not have")
        if len(weights) != BUCKETS or len(harms) != BUCKETS or calibration[0] <= 0:
            raise ValueError("the tables of the verifier do not fit this version")
        self.trees = trees
        self.meanings = meanings
        self.weights = weights.astype(np.float16)
        self.harms = harms.astype(np.float16)
        self.calibration = calibration
        self.provenance = dict(provenance)
        self._lexicon = Lexicon(
            self.weights.astype(np.float32), self.harms.astype(np.float32), meanings.names, meanings.unit()
        )
        self._bytes = b""

    @property
    def version(self) -> str:
        """A short hash of the file that it is, or would be."""
        return blake2b(self.dumps(), digest_size=8).hexdigest()

    def profile(self, text: str) -> Profile:
        """What `judge` compares; made once per text, in bounded time."""
        return profile(text, self._lexicon)

    def judge(self, query: Profile, stored: Sequence[Profile], similarities: Sequence[float]) -> list[float]:
        """For each candidate, nearest first, the probability that its answer answers `query`."""
        if not stored:
            return []
        rows = [
            features(query, other, near, self._lexicon) for other, near in zip(stored, similarities, strict=True)
        ]
        slope, shift = self.calibration
        return [
            1 / (1 + exp(-max(_LOWEST_ODDS, odds * slope + shift)))
            for odds in self.trees.score(np.array(rows, np.float32)).tolist()
        ]

    def dumps(self) -> bytes:
        """The verifier as a file; the same bytes for the same verifier."""
        if not self._bytes:
            file = BytesIO()
            about = json.dumps(self.provenance, sort_keys=True, ensure_ascii=False).encode()
            np.savez_compressed(
                file,
                allow_pickle=False,
                features=_text("\n".join(NAMES).encode()),
                names=_text("\n".join(self.meanings.names).encode()),
                meanings=self.meanings.rows,
                weights=self.weights,
                harms=self.harms,
                calibration=np.array(self.calibration),
                provenance=_text(about),
                **self.trees.arrays(),
            )
            self._bytes = file.getvalue()
        return self._bytes

    @classmethod
    def loads(cls, data: bytes) -> Verifier:
        """From what `dumps` gave; ValueError for anything else."""
        if len(data) > LARGEST_FILE:
            raise ValueError("the file is too large for a verifier")
        try:
            with np.load(BytesIO(data), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            if bytes(arrays["features"]).decode().split("\n") != list(NAMES):
                raise ValueError("the verifier was trained on other features than this version has")
            slope, shift = arrays["calibration"].tolist()
            verifier = cls(
                trees=Trees(**{name: arrays[name] for name in _TREES}),
                meanings=Meanings(bytes(arrays["names"]).decode().split("\n"), arrays["meanings"]),
                weights=arrays["weights"],
                harms=arrays["harms"],
                calibration=(slope, shift),
                provenance=json.loads(bytes(arrays["provenance"])),
            )
        except (BadZipFile, EOFError, KeyError, MemoryError, OSError, RuntimeError, TypeError, zlib.error) as error:
            raise ValueError("the file holds no verifier") from error
        verifier._bytes = data
        return verifier

    def save(self, path: Path) -> None:
        """Write the file."""
        path.write_bytes(self.dumps())

    @classmethod
    def load(cls, path: Path) -> Verifier:
        """Read the file; ValueError where it is none."""
        return cls.loads(path.read_bytes())


def _text(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)
