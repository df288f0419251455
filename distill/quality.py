"""Learns a quality head from outcomes: of a hundred labels or of a hundred thousand.

The non-obvious decision: a label is a coin that was tossed once, and the models that are not candidates help to see
the coin. Where a source has outcomes of such models for the same queries, a candidate's outcome is replaced, in
part, by what those of the others make likely; what is learned from is then less noisy and hardly less true.

All that is chosen by labels is cross-fitted: a query's calibration and its forecast in `Learned` come from learners
that saw no outcome of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from distill.cleaning import cleaned
from distill.experts import Guides
from distill.outcomes import Outcome, OutcomeFault, fault_of
from distill.regression import FOLDS, Learner, looked_at
from evals.curves import calibration_error
from heads.neighbours import Known, query_id
from heads.prior import Prior
from heads.quality import NEIGHBOURS, Blend, QualityHead, within
from heads.queries import features
from heads.regression import Row

FEWEST = 20
"""Labelled queries without which nothing is learned: folds of four say nothing."""
_SPREAD_OF_WEIGHTS = 1.0
"""How far the weight of an output's own learners may be from none, in the normal prior of `_calibrated`."""


class QualitySettings(Struct, frozen=True, kw_only=True):
    """`models`: the candidates, all that have outcomes where empty; `reference`: the best of them where empty."""

    models: tuple[str, ...] = ()
    reference: str = ""
    denoise: float = 0.4
    """How much of an outcome is replaced: .4 and .7 are within .001 mean APGR on ten pairs, 0 is .002 worse."""
    known_most: int = 10_000
    """Queries that are kept to say what is known."""
    nearness: float = 0.02
    """Quantile, of the known queries' cosine with their nearest, from which on trust is 1 ..."""
    span: float = 0.2
    """... and by how much less it is 0. Beginning to doubt at the quantile .2 cost .004 APGR on known traffic."""


class Learned(Struct, frozen=True):
    """A head; for each of `queries` (source, text) the cross-fitted `qualities` (n, models) as it was learned."""

    head: QualityHead
    queries: Sequence[tuple[str, str]]
    qualities: NDArray[np.float64]
    evidence: Mapping[str, Any]

    def gains(self, strong: str, weak: str) -> Row:
        """Cross-fitted, for each query. Raises ValueError for a model that is not the head's."""
        models = self.head.models
        gained: Row = self.qualities[:, models.index(strong)] - self.qualities[:, models.index(weak)]
        return gained


def learn(
    outcomes: Sequence[Outcome],
    vectors: Mapping[str, NDArray[np.float32]],
    settings: QualitySettings | None = None,
    progress: Callable[[str], object] = lambda _: None,
    *,
    prior: Prior | None = None,
) -> Learned:
    """`vectors`: one for each query text. The same for the same outcomes in the same order.

    Raises OutcomeFault where an outcome cannot be used, a model has none, or there are too few queries.
    """
    settings = settings or QualitySettings()
    table = _Table(outcomes, settings)
    texts = [text for _, text in table.queries]
    if missing := next((text for text in texts if text not in vectors), None):
        raise OutcomeFault(f"there is no vector for the query {missing[:60]!r}")
    progress(f"reading {len(texts):,} queries")
    rows = np.array([vectors[text] for text in texts], np.float32)
    learner = Learner(looked_at(texts, rows), np.array([fold_of(text) for text in texts]))
    progress("learning")
    targets, own = _targets(table, learner, settings)
    ahead = np.array(
        [prior.gain(row, features(text)) if prior else 0.0 for row, text in zip(rows, texts, strict=True)]
    )
    guides = Guides(learner, [source for source, _ in table.queries])
    guided = guides.crossed(targets, table.weights)
    blend = _blended(table, targets, own, ahead, guided, prior is not None)
    crossed = own @ blend.mix.T + blend.lift + np.outer(ahead, blend.leaning[0]) + guided * blend.guided
    qualities = np.array([within(row) for row in crossed])
    blend = structs.replace(blend, noise=_noise(table, qualities))
    regression = learner.learned([targets[:, place] for place in range(len(table.models))], list(table.weights.T))
    kept = np.sort(np.random.default_rng(0).permutation(len(texts))[: settings.known_most])
    known = Known.of_vectors(
        [query_id(text, source) for source, text in (table.queries[place] for place in kept)], rows[kept]
    )
    evidence = _evidence(table, qualities)
    head = QualityHead(
        table.models,
        regression,
        blend,
        known,
        _nearness(known, rows[kept], settings),
        prior,
        experts=guides.learned(targets, table.weights),
        card={"evidence": evidence},
    )
    return Learned(head, table.queries, qualities, evidence)


def fold_of(text: str) -> int:
    """The fold of a query; the same on every machine."""
    return int.from_bytes(blake2b(text.encode(errors="replace"), digest_size=4).digest(), "big") % FOLDS


class _Table:
    """Outcomes by (query, model); NaN where there is none. The reference is the first of `models`."""

    def __init__(self, outcomes: Sequence[Outcome], settings: QualitySettings) -> None:
        places: dict[tuple[str, str], int] = {}
        labels: dict[str, dict[int, list[float]]] = {}
        for outcome in outcomes:
            if fault := fault_of(outcome):
                raise OutcomeFault(f"an outcome of {outcome.model!r}: {fault}")
            place = places.setdefault((outcome.source, outcome.query), len(places))
            label = labels.setdefault(outcome.model, {}).setdefault(place, [0.0, 0.0, 0.0])
            label[0] += outcome.score * outcome.weight  # asked twice: the mean
            label[1] += outcome.weight
            label[2] += 1
        chosen = settings.models or tuple(sorted(labels))
        if none := [model for model in (*chosen, *filter(None, [settings.reference])) if model not in labels]:
            raise OutcomeFault(f"there is no outcome of {', '.join(map(repr, none))}")
        self.queries = list(places)
        self.models = _in_order(chosen, labels, settings.reference)
        self.scores, self.weights = self._spread({model: labels[model] for model in self.models})
        labelled = int(np.isfinite(self.scores).any(axis=1).sum())
        if labelled < FEWEST:
            raise OutcomeFault(f"there are {labelled} queries with outcomes of the models; {FEWEST} are needed")
        self.weights /= self.weights[np.isfinite(self.scores)].mean()
        helpers = {model: some for model, some in labels.items() if model not in self.models}
        self.helpers = self._spread(helpers)[0] if helpers else np.zeros((len(places), 0))

    def _spread(self, labels: Mapping[str, Mapping[int, Sequence[float]]]) -> tuple[Row, Row]:
        scores = np.full((len(self.queries), len(labels)), np.nan)
        weights = np.ones_like(scores)
        for column, some in enumerate(labels.values()):
            for place, (score, weight, times) in some.items():
                scores[place, column], weights[place, column] = score / weight, weight / times
        return scores, weights


def _in_order(
    models: Sequence[str], labels: Mapping[str, Mapping[int, Sequence[float]]], reference: str
) -> tuple[str, ...]:
    """The reference first: the one that was named, or else the best by its mean score."""

    def mean(model: str) -> float:
        return sum(score / weight for score, weight, _ in labels[model].values()) / len(labels[model])

    first = reference or max(models, key=lambda model: (mean(model), model))
    return (first, *(model for model in models if model != first))


def _targets(table: _Table, learner: Learner, settings: QualitySettings) -> tuple[Row, Row]:
    """What is learned (n, outputs), and what the learners say of it cross-fitted."""
    targets, own = np.empty_like(table.scores), np.empty_like(table.scores)
    helpers, sources = table.helpers, np.array([source for source, _ in table.queries])
    for place in range(len(table.models)):
        weight, score = table.weights[:, place], table.scores[:, place]
        if place == 0:
            target = score
        else:
            level = table.scores[:, 0]
            target = np.where(np.isfinite(level), level, own[:, 0]) - score
        targets[:, place] = cleaned(learner, target, weight, helpers, sources, settings.denoise)
        own[:, place] = learner.crossed(targets[:, place], weight)
    return targets, own


def _blended(table: _Table, targets: Row, own: Row, ahead: Row, guided: Row, has_prior: bool) -> Blend:
    """Calibrates each output: by its own learners, by the prior, by what is common to the other models' losses, and
    by the sources' experts."""
    outputs = len(table.models)
    mix, lift, usual = np.zeros((outputs, outputs)), np.zeros(outputs), np.zeros(outputs)
    leaning, trusted = np.zeros((2, outputs)), np.zeros(outputs)
    for place in range(outputs):
        usable = np.isfinite(targets[:, place])
        others = [other for other in range(1, outputs) if other != place] if place else []
        common = own[:, others].mean(axis=1) if others else np.zeros(len(own))
        columns = np.stack([own[:, place], ahead, common, guided[:, place]], axis=1)
        expected = np.array([0.0, 1.0 if place and has_prior else 0.0, 0.0, 0.0])
        weight = table.weights[usable, place]
        found, usual[place] = _calibrated(columns[usable], targets[usable, place], weight, expected)
        centre = weight @ columns[usable] / weight.sum()
        mix[place, place] = max(0.0, found[0])
        trusted[place] = max(0.0, found[3])
        if others:
            mix[place, others] += found[2] / len(others)
        leaning[:, place] = found[1], float(usual[place] > 0) if place and has_prior else 0.0
        lift[place] = usual[place] - float(
            np.array([mix[place, place], found[1], found[2], trusted[place]]) @ centre
        )
    return Blend(mix, lift, usual, leaning, trusted, np.zeros(outputs))


def _calibrated(columns: Row, target: Row, weight: Row, expected: Row) -> tuple[Row, float]:
    """Weights of `columns` and the mean: Bayesian linear regression with a normal prior around `expected`.

    With few labels the weights stay where they were expected, so that what was learned from few counts little.
    """
    total = weight.sum()
    level = float(weight @ target / total)
    off = columns - weight @ columns / total
    variance = max(float(weight @ (target - level) ** 2 / total), 1e-6)
    normal = (off * weight[:, None]).T @ off / variance + np.eye(len(expected)) / _SPREAD_OF_WEIGHTS**2
    moment = (off * weight[:, None]).T @ (target - level - off @ expected) / variance
    found: Row = expected + np.linalg.solve(normal, moment)
    return found, level


def _noise(table: _Table, qualities: Row) -> Row:
    """Each model's standard deviation of an outcome around its cross-fitted forecast."""
    off = np.where(np.isfinite(table.scores), table.scores - qualities, np.nan)
    noise: Row = np.sqrt(np.nanmean(off**2, axis=0))
    return noise


def _nearness(known: Known, rows: NDArray[np.float32], settings: QualitySettings) -> tuple[float, float]:
    """Between which mean cosines with the nearest trust grows, by how near known queries are to the other ones."""
    some = rows[:: max(1, len(rows) // 500)]
    near = [float(np.mean(known.nearest(row, NEIGHBOURS + 1)[1][1:] or [0.0])) for row in some]
    high = float(np.quantile(near, settings.nearness))
    return high - settings.span, high


def _evidence(table: _Table, qualities: Row) -> dict[str, Any]:
    """What the card says: labels, mean scores and how calibrated the cross-fitted forecasts are."""
    models = {}
    for place, model in enumerate(table.models):
        usable = np.isfinite(table.scores[:, place])
        forecast, score = qualities[usable, place], table.scores[usable, place]
        models[model] = {
            "outcomes": int(usable.sum()),
            "mean": round(float(score.mean()), 4),
            "calibration_error": round(calibration_error(forecast, score), 4),
        }
    return {"models": models, "sources": dict(sorted(Counter(source for source, _ in table.queries).items()))}
