"""How much a word says: the one formula by which an index ranks and a question is weighed.

The non-obvious decision: numbers go in and not an index, so that it holds for one segment as for all stores of a
search together.
"""

from __future__ import annotations

from math import log

K1, B = 1.2, 0.75
"""BM25's: how soon a word that comes again counts no more, and how much a chunk's length takes from it."""


def idf(chunks: int, having: int) -> float:
    """Inverse document frequency of a word that `having` of `chunks` chunks have, above zero: Lucene's,
    ln(1 + (N - n + 0.5) / (n + 0.5)). Of two counts that were not made at once, `having` may be the larger."""
    return log(1 + (max(0, chunks - having) + 0.5) / (having + 0.5))
