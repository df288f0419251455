"""Learned quantities of a query, by three learners that err differently: likeness, words, and counts.

The non-obvious decision: none of the three is chosen. A smooth function of meaning and kind (Gaussian process
regression by landmarks: Nystroem, Williams & Seeger 2001), a linear one of words and pairs of words, and small
trees over counts are about equally good on every set that was measured, and their mean is better than any of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from heads.queries import BUCKETS, NAMES
from heads.trees import Trees

Row = NDArray[np.float64]

SHARES = (0.5, 0.25, 0.25)
"""Of likeness, words and counts in the mean. By cross-validation on ten pairs, where thirds are as good."""
CLIP = 4.0
"""Standard deviations beyond which a count is no stranger."""
_TREES = ("feature", "threshold", "mask", "value")


class Kernel(Struct, frozen=True):
    """How like two queries are: exp of minus their distance in meaning and in counts."""

    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    meaning: float
    """By which distance in cosine likeness falls to 1/e."""
    counts: float
    """By which mean squared distance of standardised counts it does."""

    def standard(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Counts as standard deviations, within `CLIP`."""
        rows: NDArray[np.float32] = np.clip((features - self.centre) / self.scale, -CLIP, CLIP)
        return rows

    def joined(self, vectors: NDArray[np.float32], features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows (queries, dimensions + counts) whose squared distance is what `of` takes the exponent of."""
        counts = self.standard(features) / np.sqrt(self.counts * features.shape[-1])
        rows: NDArray[np.float32] = np.concatenate([vectors / np.sqrt(2 * self.meaning), counts], axis=-1)
        return rows

    @staticmethod
    def of(rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
        """Likeness 0..1 (rows, others) of rows that `joined` made; one row may come as a vector."""
        near = rows @ others.T
        near *= 2
        near -= (rows**2).sum(axis=-1)[..., None]
        near -= (others**2).sum(axis=1)
        likeness: NDArray[np.float32] = np.exp(np.minimum(near, 0, out=near), out=near)
        return likeness


class Regression:
    """Several outputs of one query. `landmarks` (m, dimensions + counts) are rows of `kernel.joined`.

    `smooth` (m, outputs) and `words` (BUCKETS, outputs) are weights, `rarity` (BUCKETS,) the idf of each bucket,
    `constants` (outputs, 2) what likeness and words start from; `sure` (m, any) says where much was learned.
    """

    def __init__(
        self,
        *,
        kernel: Kernel,
        landmarks: NDArray[Any],
        sure: NDArray[Any],
        doubt: float,
        smooth: NDArray[Any],
        rarity: NDArray[Any],
        words: NDArray[Any],
        constants: NDArray[np.float64],
        trees: Sequence[Trees],
    ) -> None:
        outputs = len(constants)
        if smooth.shape != (len(landmarks), outputs) or words.shape != (BUCKETS, outputs) or len(trees) != outputs:
            raise ValueError("the parts of the regression do not fit each other")
        if landmarks.shape[1] <= len(NAMES) or len(sure) != len(landmarks) or len(rarity) != BUCKETS:
            raise ValueError("the regression was learned with other features than this version has")
        if any(tree.features > len(NAMES) for tree in trees):
            raise ValueError("the trees ask for features that this version does not have")
        self.kernel = kernel
        self.trees = tuple(trees)
        self._landmarks = np.ascontiguousarray(landmarks, np.float32)
        self._lengths = (self._landmarks**2).sum(axis=1)
        self._sure = np.asarray(sure, np.float32)
        self._doubt = doubt
        self._smooth = np.asarray(smooth, np.float32)
        self._rarity = np.asarray(rarity, np.float32)
        self._words = np.asarray(words, np.float32)
        self._constants = constants  # (outputs, 2): of likeness, of words

    @property
    def outputs(self) -> int:
        return len(self._constants)

    @property
    def dimensions(self) -> int:
        return int(self._landmarks.shape[1]) - len(NAMES)

    def of(
        self,
        vector: NDArray[np.float32],
        features: NDArray[np.float32],
        terms: tuple[NDArray[np.intp], NDArray[np.float32]],
    ) -> tuple[Row, float]:
        """The outputs (outputs,), and how far off they may be: their variance in units of an outcome's noise.

        The variance is that of a Gaussian process of which only the landmarks are known (Quinonero-Candela &
        Rasmussen 2005, "DTC"): `doubt` where nothing was learned, near 0 where much was.
        """
        row = self.kernel.joined(vector, features)
        near = np.exp(np.minimum(2 * (self._landmarks @ row) - self._lengths - row @ row, 0))
        smooth = near @ self._smooth + self._constants[:, 0]
        buckets, counts = terms
        weights = counts * self._rarity[buckets]
        length = float(np.sqrt(weights @ weights))
        words = self._constants[:, 1] + (weights @ self._words[buckets] / length if length else 0.0)
        grown = np.array([float(tree.score(features[None])[0]) for tree in self.trees])
        return SHARES[0] * smooth + SHARES[1] * words + SHARES[2] * grown, max(
            1e-4, self._doubt - float(((near @ self._sure) ** 2).sum())
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `of_arrays` makes it again from."""
        kernel = self.kernel
        return {
            "centre": kernel.centre,
            "scale": kernel.scale,
            "widths": np.array([kernel.meaning, kernel.counts, self._doubt]),
            "landmarks": self._landmarks.astype(np.float16),
            "sure": self._sure.astype(np.float16),
            "smooth": self._smooth,
            "rarity": self._rarity.astype(np.float16),
            "words": self._words.astype(np.float16),
            "constants": self._constants,
            **{
                f"trees_{place}_{name}": array
                for place, tree in enumerate(self.trees)
                for name, array in tree.arrays().items()
            },
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Regression:
        """Raises ValueError or KeyError for what `arrays` did not give."""
        meaning, counts, doubt = arrays["widths"].tolist()
        outputs = len(arrays["constants"])
        return cls(
            kernel=Kernel(arrays["centre"], arrays["scale"], meaning, counts),
            **{name: arrays[name] for name in ("landmarks", "sure", "smooth", "rarity", "words", "constants")},
            doubt=doubt,
            trees=[Trees(**{name: arrays[f"trees_{place}_{name}"] for name in _TREES}) for place in range(outputs)],
        )
