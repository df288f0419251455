"""Before a model is called: how probably is its answer to this query good enough, and how sure is that.

The non-obvious decision: what is learned is one model's quality, the reference's, and what each other model loses
against it. Which of two models does better is far easier to learn than how well each does, since what makes a query
hard for all drops out; the qualities that are reported are the reference's less the losses, so the two always
agree. Where there were several sources, a line for each of them (heads/experts.py) has a say of its own.

Where a query is unlike all that it learned from, it says so (`known`), and little by little falls back on what is
usual for each model and on a prior that knows only how hard queries of that look are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from heads import artefact
from heads.experts import Experts
from heads.neighbours import Known, Neighbour
from heads.prior import Prior
from heads.queries import features, terms
from heads.regression import Regression, Row

KIND = "router quality"
NEIGHBOURS = 8
SPREAD = 0.19
"""How far the mean score of a model is from source to source: the deviation over the ten pairs' weak models."""


class Expected(Struct, frozen=True):
    """One model: the probability that its answer is good enough, and its standard error."""

    model: str
    quality: float
    deviation: float


class Forecast(Struct, frozen=True):
    """All models in the head's order. `trust`: 0 where all of it is prior, 1 where nothing is; known from 0.5."""

    expected: tuple[Expected, ...]
    nearest: tuple[Neighbour, ...]
    trust: float

    @property
    def known(self) -> bool:
        return self.trust >= 0.5

    def quality(self, model: str) -> float:
        """Raises KeyError for a model that the head has not learned."""
        for each in self.expected:
            if each.model == model:
                return each.quality
        raise KeyError(model)

    def gain(self, strong: str, weak: str) -> float:
        """What the query gains in quality from the one model instead of the other. Raises KeyError."""
        return self.quality(strong) - self.quality(weak)


class Blend(Struct, frozen=True):
    """How the regression's outputs become the reference's quality and the others' losses, an output each.

    `mix` (outputs, outputs) and `lift` (outputs,) calibrate; `usual` (outputs,) stands for queries not known;
    `leaning` (2, outputs) is the prior's weight for known ones and unknown ones; `guided` (outputs,) is that of the
    sources' experts; `noise` (outputs,) is an outcome's standard deviation around its forecast, for each model.
    """

    mix: Row
    lift: Row
    usual: Row
    leaning: Row
    guided: Row
    noise: Row


class QualityHead:
    """Made by `distill.quality.learn`. `models`: the reference first. May be used by several threads."""

    def __init__(
        self,
        models: Sequence[str],
        regression: Regression,
        blend: Blend,
        known: Known,
        nearness: tuple[float, float],
        prior: Prior | None,
        *,
        experts: Experts | None = None,
        card: Mapping[str, Any] | None = None,
        version: str = "",
    ) -> None:
        outputs = len(models)
        if regression.outputs != outputs or blend.mix.shape != (outputs, outputs):
            raise ValueError("the head's parts are for other models")
        if any(row.shape != (outputs,) for row in (blend.lift, blend.usual, blend.guided, blend.noise)):
            raise ValueError("the head's parts are for other models")
        if blend.leaning.shape != (2, outputs) or not nearness[0] < nearness[1]:
            raise ValueError("the head's parts are for other models")
        if experts is not None and (experts.outputs, experts.dimensions) != (outputs, regression.dimensions):
            raise ValueError("the head's parts are for other models")
        self.models = tuple(models)
        self.card = dict(card or {})
        self.version = version
        self.regression = regression
        self.blend = blend
        self.known = known
        self.nearness = nearness
        """Mean cosine with the nearest known queries at which trust is 0, and 1."""
        self.prior = prior
        self.experts = experts

    def forecast(self, text: str, vector: NDArray[np.float32]) -> Forecast:
        """`vector`: of length one, by the encoder that the head was learned with.

        A vector that is no vector of this size, or holds what is no number, counts as of an unknown query.
        """
        counts = features(text)
        sound = vector.shape == (self.regression.dimensions,) and bool(np.isfinite(vector).all())
        if not sound:
            vector = np.zeros(self.regression.dimensions, np.float32)
        vector = vector.astype(np.float32, copy=False)
        places, cosines = self.known.nearest(vector, NEIGHBOURS)
        low, high = self.nearness
        near = sum(cosines) / len(cosines) if cosines and sound else -1.0
        trust = min(1.0, max(0.0, (near - low) / (high - low)))
        ahead = self.prior.gain(vector, counts) if self.prior is not None and sound else 0.0
        words = terms(text)
        outputs, variance = self.regression.of(vector, counts, words)
        blend = self.blend
        seen = blend.mix @ outputs + blend.lift + blend.leaning[0] * ahead
        if self.experts is not None:
            seen += blend.guided * self.experts.of(vector, self.regression.kernel.standard(counts), words)
        unseen = blend.usual + blend.leaning[1] * ahead
        qualities = within(trust * seen + (1 - trust) * unseen)
        deviations = np.sqrt(blend.noise**2 * variance + (SPREAD * (1 - trust)) ** 2)
        expected = zip(self.models, qualities.tolist(), np.minimum(0.5, deviations).tolist(), strict=True)
        nearest = [Neighbour(self.known.ids[place], cosine) for place, cosine in zip(places, cosines, strict=True)]
        return Forecast(tuple(Expected(*each) for each in expected), tuple(nearest), trust)

    def write(self, path: Path) -> str:
        """Write the artefact, and return its version, which the head then has."""
        arrays = {
            **self.regression.arrays(),
            **self.known.arrays(),
            **(self.prior.arrays() if self.prior is not None else {}),
            **(self.experts.arrays() if self.experts is not None else {}),
            "blend": np.vstack(
                [
                    *self.blend.mix,
                    self.blend.lift,
                    self.blend.usual,
                    *self.blend.leaning,
                    self.blend.guided,
                    self.blend.noise,
                ]
            ),
            "nearness": np.array(self.nearness),
        }
        self.version = artefact.write(path, KIND, arrays, {**self.card, "models": list(self.models)})
        return self.version

    @classmethod
    def read(cls, path: Path) -> QualityHead:
        """Raises ValueError where the file holds no such head, OSError where there is none."""
        found = artefact.read(path, KIND)
        arrays = found.arrays
        try:
            models = [str(model) for model in found.card["models"]]
            rows = arrays["blend"].astype(np.float64)
            size = len(models)
            if rows.shape != (size + 6, size):
                raise ValueError(f"{path}: the head's parts are for other models")
            low, high = arrays["nearness"].tolist()
            return cls(
                models,
                Regression.of_arrays(arrays),
                Blend(rows[:size], rows[size], rows[size + 1], rows[size + 2 : size + 4], *rows[size + 4 :]),
                Known.of_arrays(arrays),
                (low, high),
                Prior.of_arrays(arrays) if "prior_shape" in arrays else None,
                experts=Experts.of_arrays(arrays) if "experts_gate" in arrays else None,
                card={name: value for name, value in found.card.items() if name not in ("kind", "models")},
                version=found.version,
            )
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise ValueError(f"{path} holds no quality head of this version") from error


def within(outputs: Row) -> Row:
    """Qualities 0..1 of all models, from the reference's and the others' losses (in `outputs`, the reference
    first).

    Where they do not all fit into 0..1, the reference gives way before a loss does: the order of models, and of
    queries by what they gain, is worth more than the level.
    """
    losses = np.clip(np.concatenate([[0.0], outputs[1:]]), -1, 1)
    lowest, highest = float(losses.max()), 1 + float(losses.min())
    level = float(outputs[0])
    level = min(max(level, lowest), highest) if lowest <= highest else (lowest + highest) / 2
    qualities: Row = np.clip(level - losses, 0, 1)
    return qualities
