"""What each source taught by itself, weighed by how probably a query is of that source.

The non-obvious decision: nobody says of which source a query is; its words do. One learner of many sources smooths
over what sets them apart, and how much a query gains depends as much on the source as on the query.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heads.queries import BUCKETS, NAMES

Row = NDArray[np.float64]

COUNTS = 0.05
"""What a standard deviation of a count is in a vector's units; between .03 and .1 the mix moves by .0005 APGR."""
SHARPNESS = 8.0
"""By which a source's score is multiplied before the exponent; 5 and 12 are .0005 and .001 APGR worse."""


class Experts:
    """`gate` (BUCKETS, sources) and `start` (sources,) score the sources of a query's words.

    `weights` (sources, outputs, dimensions + NAMES) and `constants` (sources, outputs) are a line for each source
    and output. Raises ValueError where they do not fit each other.
    """

    def __init__(
        self, gate: NDArray[Any], start: NDArray[Any], weights: NDArray[Any], constants: NDArray[Any]
    ) -> None:
        sources = len(start)
        if gate.shape != (BUCKETS, sources) or weights.ndim != 3 or weights.shape[:2] != constants.shape:
            raise ValueError("the parts of the experts do not fit each other")
        if len(weights) != sources or weights.shape[2] <= len(NAMES):
            raise ValueError("the experts were learned with other features than this version has")
        self._gate = np.asarray(gate, np.float32)
        self._start = np.asarray(start, np.float32)
        self._weights = np.ascontiguousarray(weights, np.float32)
        self._constants = np.asarray(constants, np.float64)

    @property
    def outputs(self) -> int:
        return int(self._constants.shape[1])

    @property
    def dimensions(self) -> int:
        return int(self._weights.shape[2]) - len(NAMES)

    def odds(self, terms: tuple[NDArray[np.intp], NDArray[np.float32]]) -> Row:
        """How probably the query is of each source, (sources,); `terms` as `heads.queries.terms` gives them."""
        buckets, counts = terms
        length = float(np.sqrt(counts @ counts))
        scores = self._start + (counts @ self._gate[buckets] / length if length else 0.0)
        odds = np.exp(SHARPNESS * (scores - scores.max()))
        found: Row = (odds / odds.sum()).astype(np.float64)
        return found

    def of(
        self,
        vector: NDArray[np.float32],
        counts: NDArray[np.float32],
        terms: tuple[NDArray[np.intp], NDArray[np.float32]],
    ) -> Row:
        """The outputs (outputs,); `counts` are standardised, as by `Kernel.standard`."""
        said: Row = self.odds(terms) @ (self._weights @ joined(vector, counts) + self._constants)
        return said

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `of_arrays` makes them again from."""
        return {
            "experts_gate": self._gate.astype(np.float16),
            "experts_start": self._start,
            "experts_weights": self._weights,
            "experts_constants": self._constants,
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Experts:
        """Raises ValueError or KeyError for what `arrays` did not give."""
        return cls(*(arrays[f"experts_{name}"] for name in ("gate", "start", "weights", "constants")))


def joined(vectors: NDArray[np.float32], counts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows (..., dimensions + NAMES) that the lines are of."""
    rows: NDArray[np.float32] = np.concatenate([vectors, np.float32(COUNTS) * counts], axis=-1)
    return rows
