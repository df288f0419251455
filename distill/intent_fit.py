"""Fits the two members of a head for intents: a softmax regression on vector and n-grams, a ridge on a kernel.

The non-obvious decision: n-grams are chosen by how many examples have them, not by how they tell intents apart, and
the penalty does the rest. Chosen by their use, the rare ones that happen to fit would be the first to be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from heads.grams import Hashes, Vocabulary
from heads.intents import Floats, Weights, unit

_STEPS = 127
_LEAST_NOISE = 1e-3
"""Added to the kernel's diagonal, so that kept examples which are all but equal can be told apart."""


class Settings(Struct, frozen=True, kw_only=True):
    """What steers learning: one recipe for all routes, found by cross-validation on CLINC150, BANKING77 and HWU64.

    What is said of other values was measured on a fifth of HWU64 and one of BANKING77: in points of accuracy, of
    which a difference of 0.4 is within chance.
    """

    scale: tuple[float, float, float] = (3.0, 2.0, 2.0)
    """What vectors, word n-grams and character runs, each of length one, are multiplied by: a larger one is
    penalised less. Half of all three: -0.4 and +0.2. Half of the n-grams' alone: -0.7 and -0.1. No n-grams: -1.4
    and -0.5."""
    penalty: float = 0.2
    """Half of it times the squared weights is added to the summed loss. 0.1 and 0.5: at most -0.3."""
    steps: int = 60
    """Of L-BFGS at most."""
    words: int = 8_000
    characters: int = 16_000
    """N-grams that are kept at most, of each kind."""
    cells: int = 4_000_000
    """N-grams times classes at most: the bytes that they take in the artefact."""
    least: int = 2
    """Examples that an n-gram must be in."""
    kept: int = 2_048
    """Examples that the kernel compares with. 1,024: -0.1 and -0.1."""
    sharpness: float = 3.0
    """The kernel is exp(sharpness * (cosine - 1)); 2: 0 and -0.1; 5: -0.4 and 0."""
    ridge: float = 0.3
    """1.0: -0.3 and -0.1."""
    share: float = 4.0
    """Of the kernel's scores beside the regression's, where cross-fitting does not choose it. 0: -0.3 and -0.3."""
    shares: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    """Among which cross-fitting chooses, by likelihood."""
    rejected: float = 0.05
    """Share of the known queries that the threshold turns away."""
    folds: int = 5
    few: int = 3_000
    """Examples below which there are `folds_of_few`: a head that lacks two of an intent's ten is less sure than the
    one that serves."""
    folds_of_few: int = 10
    advised: int = 10
    """Examples of an intent below which more are asked for."""

    def folds_for(self, examples: int) -> int:
        """How many heads are made to judge what they did not see."""
        return self.folds_of_few if examples < self.few else self.folds


class Texts(Struct, frozen=True):
    """The n-grams of some texts, as `heads.grams` makes them."""

    words: Sequence[Hashes]
    characters: Sequence[Hashes]

    def at(self, places: NDArray[np.intp]) -> Texts:
        """Those of some of the texts."""
        return Texts([self.words[place] for place in places], [self.characters[place] for place in places])


def fit(texts: Texts, vectors: Floats, classes: NDArray[np.intp], count: int, settings: Settings) -> Weights:
    """Learn from unit `vectors` (examples, dimensions) and their `classes`, of `count`."""
    room = settings.cells // count
    portion = room / max(room, settings.words + settings.characters)
    words = vocabulary(texts.words, int(settings.words * portion), settings.least)
    characters = vocabulary(texts.characters, int(settings.characters * portion), settings.least)
    scale = settings.scale
    blocks: list[Any] = [
        vectors * np.float32(scale[0]),
        matrix(texts.words, words) * np.float32(scale[1]),
        matrix(texts.characters, characters) * np.float32(scale[2]),
    ]
    wanted = np.eye(count, dtype=np.float32)[classes]
    learned = softmax_regression(blocks, wanted, settings.penalty, settings.steps)
    dimensions = vectors.shape[1]
    steps, step = _rounded(learned[dimensions:-1])
    places = chosen(classes, settings.kept)
    kept, _ = _rounded(vectors[places])
    pull = kernel_ridge(unit(kept.astype(np.float32)), vectors, wanted, settings)
    return Weights(
        direct=learned[:dimensions].astype(np.float16),
        constant=learned[-1],
        words=words,
        characters=characters,
        gram_steps=steps,
        gram_scale=step,
        kept=kept,
        pull=pull.astype(np.float16),
    )


def vocabulary(texts: Sequence[Hashes], most: int, least: int) -> Vocabulary:
    """The n-grams that most texts have, `most` of them at most, each in `least` texts or more."""
    each = [np.unique(grams) for grams in texts]
    hashes, counts = np.unique(np.concatenate(each), return_counts=True)
    hashes, counts = hashes[counts >= least], counts[counts >= least]
    keep = np.sort(np.argsort(-counts, kind="stable")[:most])
    rarity = np.log((len(texts) + 1) / (counts[keep] + 1)) + 1
    return Vocabulary(hashes[keep], rarity.astype(np.float32))


def matrix(texts: Sequence[Hashes], known: Vocabulary) -> csr_matrix[np.float32]:
    """Sparse (texts, n-grams), rows of length one."""
    rows = [known.of(grams) for grams in texts]
    starts = np.concatenate([[0], np.cumsum([len(places) for places, _ in rows])])
    places = np.concatenate([places for places, _ in rows])
    values = np.concatenate([values for _, values in rows])
    return csr_matrix((values, places, starts), shape=(len(texts), len(known.hashes)))


def softmax_regression(blocks: Sequence[Any], wanted: Floats, penalty: float, steps: int) -> Floats:
    """Weights (features of all blocks and a constant, classes) by L-BFGS; `wanted` (rows, classes) sums to 1 a row.

    The loss is the mean cross entropy plus penalty / 2 / rows times the squared weights, the constant's aside.
    """
    rows, classes = wanted.shape
    widths = np.cumsum([0, *(block.shape[1] for block in blocks)])
    turned = [block.T if isinstance(block, np.ndarray) else block.T.tocsr() for block in blocks]
    features = int(widths[-1])
    shrink = np.float32(penalty / rows)

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat.astype(np.float32).reshape(features + 1, classes)
        scores = np.tile(weights[-1], (rows, 1))
        for block, start, end in zip(blocks, widths, widths[1:], strict=False):
            scores += block @ weights[start:end]
        scores -= scores.max(axis=1, keepdims=True)
        raised = np.exp(scores)
        total = raised.sum(axis=1, keepdims=True)
        off = (raised / total - wanted) / np.float32(rows)
        gradient = np.concatenate([*(block @ off for block in turned), off.sum(axis=0, keepdims=True)])
        gradient[:-1] += shrink * weights[:-1]
        surprise = float((np.log(total[:, 0]) - (wanted * scores).sum(axis=1)).mean(dtype=np.float64))
        size = float(np.square(weights[:-1]).sum(dtype=np.float64))
        return surprise + float(shrink) / 2 * size, gradient.ravel().astype(np.float64)

    start = np.zeros((features + 1) * classes)
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", options={"maxiter": steps, "maxcor": 6, "ftol": 1e-7}
    )
    weights: Floats = found.x.astype(np.float32).reshape(features + 1, classes)
    return weights


def kernel_ridge(kept: Floats, vectors: Floats, wanted: Floats, settings: Settings) -> NDArray[np.float64]:
    """Weights (kept, classes) by ridge regression on a kernel (Nystroem: Williams and Seeger 2001)."""
    between = np.exp(settings.sharpness * (vectors @ kept.T - 1))
    among = np.exp(settings.sharpness * (kept @ kept.T - 1)).astype(np.float64)
    curve = (between.T @ between).astype(np.float64) + settings.ridge * among + _LEAST_NOISE * np.eye(len(kept))
    weights: NDArray[np.float64] = np.linalg.solve(curve, (between.T @ wanted).astype(np.float64))
    return weights


def chosen(classes: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """Places of examples to keep: of each class in turn its next one in the order given, up to `most`."""
    turn = np.zeros(len(classes), np.intp)
    seen: dict[int, int] = {}
    for place, one in enumerate(classes.tolist()):
        turn[place] = seen.get(one, 0)
        seen[one] = turn[place] + 1
    return np.sort(np.lexsort((np.arange(len(classes)), turn))[:most])


def _rounded(rows: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Rows as whole steps, and the size of a step of each."""
    step = np.maximum(np.abs(rows).max(axis=1, initial=0), np.float32(1e-12)) / _STEPS
    return np.rint(rows / step[:, None]).astype(np.int8), step.astype(np.float32)
