"""A head finds what was planted, from a hundred labels on, and is honest about it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("lightgbm")
pytest.importorskip("sklearn")

from distill.outcomes import Outcome, OutcomeFault
from distill.prior import Source, learn_prior
from distill.quality import FEWEST, Learned, QualitySettings, learn
from evals.curves import apgr, calibration_error
from heads.queries import features


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


planted = _module("planted")
TEXTS, TOPICS, VECTORS = planted.queries(600, 1)


@pytest.fixture(scope="module")
def learned() -> Learned:
    return learn(planted.outcomes(TEXTS, TOPICS, 2), VECTORS)


def test_the_better_model_is_the_reference(learned: Learned) -> None:
    assert learned.head.models == ("strong", "weak")


def test_qualities_are_what_was_planted(learned: Learned) -> None:
    texts, topics, vectors = planted.queries(200, 5)
    off, far = [], []
    for text, topic in zip(texts, topics, strict=True):
        forecast = learned.head.forecast(text, vectors[text])
        assert forecast.known
        off.append(forecast.quality("weak") - planted.WEAK_QUALITY[topic])
        far.append(forecast.quality("strong") - planted.STRONG_QUALITY)
    assert np.sqrt(np.mean(np.square(off))) < 0.09
    assert np.sqrt(np.mean(np.square(far))) < 0.07


def test_cross_fitted_forecasts_are_calibrated_and_not_of_their_own_labels(learned: Learned) -> None:
    assert learned.evidence["models"]["weak"]["calibration_error"] < 0.1  # fifteen bins of forty coins
    weak = np.array([outcome.score for outcome in planted.outcomes(TEXTS, TOPICS, 2) if outcome.model == "weak"])
    own = learned.qualities[:, 1]
    assert calibration_error(own, weak, bins=4) < 0.05
    level = np.array([planted.WEAK_QUALITY[topic] for topic in TOPICS])
    chance = weak - level
    assert abs(np.corrcoef(own - level, chance)[0, 1]) < 0.1  # knows the topic, not the coin


def test_a_hundred_labels_are_enough_to_begin() -> None:
    texts, topics = TEXTS[:100], TOPICS[:100]
    head = learn(planted.outcomes(texts, topics, 3), VECTORS).head
    new, kinds, vectors = planted.queries(200, 6)
    gains = np.array([head.forecast(text, vectors[text]).gain("strong", "weak") for text in new])
    weak = np.array([planted.WEAK_QUALITY[kind] for kind in kinds])
    assert apgr(gains, weak, np.full(200, planted.STRONG_QUALITY)) > 0.65


def test_labels_that_say_nothing_are_not_believed() -> None:
    draw = np.random.default_rng(4)
    outcomes = [
        Outcome(query=text, model=model, score=float(draw.random() < quality))
        for text in TEXTS[:400]
        for model, quality in (("strong", 0.8), ("weak", 0.5))
    ]
    head = learn(outcomes, VECTORS).head
    gains = [head.forecast(text, VECTORS[text]).gain("strong", "weak") for text in TEXTS[400:500]]
    assert np.std(gains) < 0.06
    assert np.mean(gains) == pytest.approx(0.3, abs=0.08)


def test_it_is_the_same_each_time(learned: Learned, tmp_path: Path) -> None:
    outcomes = planted.outcomes(TEXTS, TOPICS, 2)
    assert learn(outcomes, VECTORS).head.write(tmp_path / "b") == learned.head.write(tmp_path / "a")


def test_a_new_model_borrows_from_the_others() -> None:
    outcomes = planted.outcomes(TEXTS, TOPICS, 7)
    draw = np.random.default_rng(8)
    few = set(TEXTS[:40])
    for text, topic in zip(TEXTS, TOPICS, strict=True):
        level = planted.WEAK_QUALITY[topic]
        outcomes.append(Outcome(query=text, model="other", score=float(draw.random() < level)))
        if text in few:
            outcomes.append(Outcome(query=text, model="new", score=float(draw.random() < level)))
    new, kinds, vectors = planted.queries(150, 11)
    weak = np.array([planted.WEAK_QUALITY[kind] for kind in kinds])

    def of(settings: QualitySettings) -> float:
        head = learn(outcomes, VECTORS, settings).head
        gains = np.array([head.forecast(text, vectors[text]).gain("strong", "new") for text in new])
        return apgr(gains, weak, np.full(len(weak), planted.STRONG_QUALITY))

    assert of(QualitySettings(reference="strong")) > 0.7


def test_outcomes_of_models_that_are_no_candidates_help() -> None:
    draw = np.random.default_rng(12)
    texts, topics = TEXTS[:300], TOPICS[:300]
    ease = draw.normal(0, 1.5, len(texts))
    outcomes, better = [], []
    for text, topic, own in zip(texts, topics, ease, strict=True):
        at = np.log(planted.WEAK_QUALITY[topic] / (1 - planted.WEAK_QUALITY[topic])) + own
        chance = 1 / (1 + np.exp(-at))
        outcomes.append(Outcome(query=text, model="strong", score=1.0))
        outcomes.append(Outcome(query=text, model="weak", score=float(draw.random() < chance)))
        better += [
            Outcome(query=text, model=f"helper {number}", score=float(draw.random() < chance))
            for number in range(12)
        ]
    candidates = ("strong", "weak")
    new, kinds, vectors = planted.queries(300, 13)
    level = np.array([planted.WEAK_QUALITY[kind] for kind in kinds])

    def error(some: list[Outcome]) -> float:
        head = learn(some, VECTORS, QualitySettings(models=candidates)).head
        said = np.array([head.forecast(text, vectors[text]).quality("weak") for text in new])
        return float(np.corrcoef(said, level)[0, 1])

    assert error(outcomes + better) > error(outcomes)


def test_a_model_without_the_reference_beside_it_is_learned_too() -> None:
    outcomes = planted.outcomes(TEXTS, TOPICS, 2)
    apart = [o for place, o in enumerate(outcomes) if (place // 2) % 2 == (o.model == "weak")]
    head = learn(apart, VECTORS).head
    new, kinds, vectors = planted.queries(100, 15)
    said = np.array([head.forecast(text, vectors[text]).quality("weak") for text in new])
    assert np.sqrt(np.mean((said - [planted.WEAK_QUALITY[kind] for kind in kinds]) ** 2)) < 0.12


def test_far_from_known_queries_the_prior_speaks() -> None:
    outcomes = planted.outcomes(TEXTS, TOPICS, 2)
    texts, topics, vectors = planted.queries(600, 20)
    gains = np.array([planted.STRONG_QUALITY - planted.WEAK_QUALITY[topic] for topic in topics])
    prior = learn_prior([Source("other", texts, np.array([vectors[text] for text in texts]), gains)])
    head = learn(outcomes, VECTORS, prior=prior).head
    forecast = head.forecast("Something else entirely", planted.strange())
    assert not forecast.known
    assert forecast.trust == 0
    usual = float(head.blend.usual[1])
    assert usual == pytest.approx(planted.STRONG_QUALITY - np.mean(list(planted.WEAK_QUALITY.values())), abs=0.06)
    ahead = prior.gain(planted.strange(), features("Something else entirely"))
    assert abs(ahead) > 0.01
    assert forecast.gain("strong", "weak") == pytest.approx(usual + ahead, abs=1e-6)
    near = head.forecast(TEXTS[0], VECTORS[TEXTS[0]])
    assert forecast.expected[1].deviation > 1.5 * near.expected[1].deviation


def test_what_cannot_be_learned_from_is_named() -> None:
    outcomes = planted.outcomes(TEXTS, TOPICS, 2)
    with pytest.raises(OutcomeFault, match=f"{FEWEST} are needed"):
        learn(outcomes[:20], VECTORS)
    with pytest.raises(OutcomeFault, match="'larger'"):
        learn(outcomes, VECTORS, QualitySettings(models=("strong", "larger")))
    with pytest.raises(OutcomeFault, match="no vector"):
        learn(outcomes, {})
    with pytest.raises(OutcomeFault, match=r"not in 0\.\.1"):
        learn([*outcomes, Outcome(query="q", model="weak", score=float("nan"))], VECTORS)
