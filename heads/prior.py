"""What is expected of a query that is like none that outcomes are known of: by how much it gains more than usual.

The non-obvious decision: it knows no models. It is the mean of what many sources and pairs of models say, each of
which learned by itself how far a query's gain is from what is usual there: a line through the query's meaning and
small trees over its counts. What only one source has taught is outvoted; what most agree on carries over; and a
source that holds queries somewhat like this one has more of a vote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heads import artefact
from heads.queries import NAMES
from heads.trees import Trees

KIND = "router prior"
_TREES = ("feature", "threshold", "mask", "value")


TELLING = 4.0
"""Of a difference in likeness, in the exponent of a source's vote. 0 is .006 mean APGR worse on ten pairs left out,
with nine sources (with five it is no worse); 3 and 6 are within .001; from 10 on it is as bad as 0."""


class Prior:
    """`weights` (sources, dimensions) are lines through vectors from `centres` (sources,), `trees` one a source.

    `marks` (sources, any, dimensions), of length one, say what a source's queries are like; `centre` is what the
    votes of the lines come to on average, `shares` the weights of lines and of trees.
    """

    def __init__(
        self,
        weights: NDArray[Any],
        centres: NDArray[Any],
        marks: NDArray[Any],
        trees: Sequence[Trees],
        *,
        centre: float,
        shares: tuple[float, float],
        version: str = "",
    ) -> None:
        sources = len(trees)
        if weights.ndim != 2 or marks.ndim != 3 or not len(weights) == len(centres) == len(marks) == sources > 0:
            raise ValueError("the parts of the prior do not fit each other")
        if marks.shape[2] != weights.shape[1] or any(tree.features > len(NAMES) for tree in trees):
            raise ValueError("the parts of the prior do not fit this version")
        self._weights = np.asarray(weights, np.float32)
        self._centres = np.asarray(centres, np.float64)
        self._marks = np.asarray(marks, np.float32)
        self._trees = tuple(trees)
        self._centre = centre
        self._shares = shares
        self.version = version

    @property
    def dimensions(self) -> int:
        return int(self._weights.shape[1])

    def gain(self, vector: NDArray[np.float32], features: NDArray[np.float32]) -> float:
        """By how much more than usual the better model gains on this query, in quality: about -.2..+.2."""
        line, grown = self._shares
        voted = votes(self._marks, vector[None])[0]
        meant = float(voted @ (self._weights @ vector - self._centres)) - self._centre
        said = np.array([float(tree.score(features[None])[0]) for tree in self._trees])
        return line * meant + grown * float(voted @ said)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `of_arrays` makes it again from."""
        return {
            "prior_weights": self._weights,
            "prior_centres": self._centres,
            "prior_marks": self._marks.astype(np.float16),
            "prior_shape": np.array([self._centre, *self._shares]),
            **{
                f"prior_trees_{place}_{name}": array
                for place, tree in enumerate(self._trees)
                for name, array in tree.arrays().items()
            },
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], version: str = "") -> Prior:
        """Raises ValueError or KeyError for what `arrays` did not give."""
        centre, line, grown = arrays["prior_shape"].tolist()
        trees = [
            Trees(**{name: arrays[f"prior_trees_{place}_{name}"] for name in _TREES})
            for place in range(len(arrays["prior_centres"]))
        ]
        weights, centres, marks = (arrays[f"prior_{name}"] for name in ("weights", "centres", "marks"))
        return cls(weights, centres, marks, trees, centre=centre, shares=(line, grown), version=version)

    def write(self, path: Path, card: Mapping[str, Any]) -> str:
        """Write the artefact; its version."""
        return artefact.write(path, KIND, self.arrays(), card)

    @classmethod
    def read(cls, path: Path) -> Prior:
        """Raises ValueError where the file holds no prior, OSError where there is none."""
        found = artefact.read(path, KIND)
        try:
            return cls.of_arrays(found.arrays, found.version)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} holds no prior of this version") from error


def votes(marks: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """How much each source has to say on each query, (queries, sources), each row's sum being 1."""
    like = (marks @ vectors.T).max(axis=1).T.astype(np.float64)
    voted = np.exp(TELLING * (like - like.max(axis=1, keepdims=True)))
    shares: NDArray[np.float64] = voted / voted.sum(axis=1, keepdims=True)
    return shares
