"""Serving the sources' experts: words choose the source, its line speaks, files are checked."""

from __future__ import annotations

import numpy as np
import pytest

from heads.experts import COUNTS, Experts
from heads.queries import BUCKETS, NAMES, features, terms

SIZE = 6
NONE = np.zeros(len(NAMES), np.float32)


def _experts() -> Experts:
    """Two sources, known by the words "weir" and "tide"; the first gains by a vector's first number."""
    gate = np.zeros((BUCKETS, 2))
    for source, word in enumerate(("weir", "tide")):
        gate[terms(word)[0], source] = 2.0
    weights = np.zeros((2, 1, SIZE + len(NAMES)))
    weights[0, 0, 0] = 0.5
    weights[1, 0, SIZE] = 1.0
    return Experts(gate, np.zeros(2), weights, np.array([[0.1], [0.7]]))


def test_words_say_of_which_source_a_query_is() -> None:
    experts = _experts()
    assert experts.odds(terms("weir"))[0] > 0.99
    assert experts.odds(terms("tide"))[1] > 0.99
    assert experts.odds(terms("weir tide")).tolist() == pytest.approx([0.5, 0.5])
    assert experts.odds(terms("")).tolist() == [0.5, 0.5]
    assert experts.odds(terms("weir " * 50))[0] > 0.99  # repeating a word makes it no louder than it is


def test_the_line_of_that_source_speaks() -> None:
    experts = _experts()
    vector = np.eye(SIZE, dtype=np.float32)[0]
    longer = NONE.copy()
    longer[0] = 2.0
    assert experts.of(vector, longer, terms("weir"))[0] == pytest.approx(0.6, abs=1e-3)
    assert experts.of(vector, longer, terms("tide"))[0] == pytest.approx(0.7 + 2 * COUNTS, abs=1e-3)
    even = experts.of(vector, NONE, terms("neither"))[0]
    assert even == pytest.approx((0.6 + 0.7) / 2, abs=1e-6)


def test_arrays_make_the_same_experts() -> None:
    draw = np.random.default_rng(1)
    experts = Experts(
        draw.normal(size=(BUCKETS, 3)).astype(np.float16),
        draw.normal(size=3).astype(np.float32),
        draw.normal(size=(3, 2, SIZE + len(NAMES))).astype(np.float32),
        draw.normal(size=(3, 2)),
    )
    text = "What is seven times eight?"
    asked = (np.eye(SIZE, dtype=np.float32)[1], features(text), terms(text))
    assert Experts.of_arrays(experts.arrays()).of(*asked) == pytest.approx(experts.of(*asked), abs=1e-12)
    assert (experts.outputs, experts.dimensions) == (2, SIZE)


@pytest.mark.parametrize(
    ("part", "shape"),
    [
        ("experts_gate", (BUCKETS, 3)),
        ("experts_start", (3,)),
        ("experts_weights", (2, 1, 7)),
        ("experts_constants", (2, 2)),
    ],
)
def test_parts_that_do_not_fit_are_refused(part: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="experts"):
        Experts.of_arrays({**_experts().arrays(), part: np.zeros(shape)})
