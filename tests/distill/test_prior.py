"""The prior learns what carries over, and not which source a query is of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("lightgbm")

from distill.prior import Source, learn_prior
from heads import artefact
from heads.prior import Prior
from heads.queries import features

SIZE = 16


def _source(name: str, level: float, seed: int, many: int = 500) -> Source:
    """Long queries gain .3 more than short ones, whatever the source's level; meaning tells the source alone."""
    draw = np.random.default_rng(seed)
    axis = np.random.default_rng(sum(name.encode())).normal(size=SIZE)
    vectors = axis + draw.normal(0, 0.3, (many, SIZE))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    long = draw.random(many) < 0.5
    texts = ["Why is it so, and what follows from it then? " * (9 if each else 1) for each in long]
    return Source(name, texts, vectors.astype(np.float32), level + 0.3 * long + draw.normal(0, 0.2, many))


@pytest.fixture(scope="module")
def prior() -> Prior:
    return learn_prior([_source("law", 0.6, 1), _source("chess", -0.2, 2)])


def test_it_is_about_difficulty_and_not_about_the_source(prior: Prior) -> None:
    new = _source("law", 0.0, 3)
    said = np.array([prior.gain(row, features(text)) for row, text in zip(new.vectors, new.texts, strict=True)])
    long = np.array([len(text) > 100 for text in new.texts])
    assert said[long].mean() > said[~long].mean()
    other = _source("chess", 0.0, 4)
    apart = np.array(
        [prior.gain(row, features(text)) for row, text in zip(other.vectors, other.texts, strict=True)]
    )
    assert abs(said.mean() - apart.mean()) < 0.05  # the levels are .8 apart


def test_a_source_that_is_like_the_query_has_more_of_a_vote() -> None:
    up, down = _source("law", 0.0, 5), _source("chess", 0.0, 6)
    falling = Source("chess", down.texts, down.vectors, -down.gains)
    prior = learn_prior([up, falling])
    short, long = (features("Why is it so, and what follows from it then? " * many) for many in (1, 9))

    def rise(vectors: NDArray[np.float32]) -> float:
        return float(np.mean([prior.gain(row, long) - prior.gain(row, short) for row in vectors[:50]]))

    assert rise(up.vectors) > 0.005
    assert rise(falling.vectors) < -0.005


def test_a_file_makes_the_same_prior(prior: Prior, tmp_path: Path) -> None:
    version = prior.write(tmp_path / "prior.npz", {"made by": "a test"})
    again = Prior.read(tmp_path / "prior.npz")
    row, counts = np.eye(SIZE, dtype=np.float32)[0], features("Why?")
    assert again.gain(row, counts) == pytest.approx(prior.gain(row, counts), abs=1e-9)
    assert again.version == version
    artefact.write(tmp_path / "other.npz", "something else", {}, {})
    with pytest.raises(ValueError, match="something else"):
        Prior.read(tmp_path / "other.npz")
    artefact.write(tmp_path / "bare.npz", "router prior", {}, {})
    with pytest.raises(ValueError, match="no prior"):
        Prior.read(tmp_path / "bare.npz")


def test_what_makes_no_prior_is_refused() -> None:
    with pytest.raises(ValueError, match="needs queries"):
        learn_prior([])
    with pytest.raises(ValueError, match="each of its queries"):
        learn_prior([Source("a", ["x"], np.zeros((1, SIZE), np.float32), np.zeros(2))])
