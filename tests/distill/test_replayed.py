"""A policy tried on a log is worth about what it would have earned; where the log cannot tell, nothing is said."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from distill import quality
from distill.off_policy import Estimate, Unsupported
from distill.outcomes import Outcome
from distill.replayed import Trial, tried
from distill.traffic import Asked
from heads.quality import QualityHead
from router.config.policies import Goal
from tests.distill.planted import STRONG_QUALITY, TOPICS, WEAK_QUALITY, queries

MODELS = ("large", "small")
COSTS = {"large": 0.01, "small": 0.001}
SHARE = Goal(share=0.5)
MEAN_SMALL = sum(WEAK_QUALITY.values()) / len(TOPICS)


@pytest.fixture(scope="module")
def head() -> QualityHead:
    texts, topics, vectors = queries(240, 31)
    draw = np.random.default_rng(2)
    outcomes = []
    for text, topic in zip(texts, topics, strict=True):
        outcomes.append(Outcome(query=text, model="large", score=float(draw.random() < STRONG_QUALITY)))
        outcomes.append(Outcome(query=text, model="small", score=float(draw.random() < WEAK_QUALITY[topic])))
    return quality.learn(outcomes, vectors, quality.QualitySettings(models=MODELS, reference="large")).head


class Log:
    """`many` requests that were decided by lot (`explored`: with which probability the reference got them), a share
    of which all models answered.
    """

    def __init__(self, many: int, *, explored: float = 0.5, shadowed: float = 0.0, seed: int = 5) -> None:
        texts, self.topics, vectors = queries(many, 32)
        draw = np.random.default_rng(seed)
        self.vectors: NDArray[np.float32] = np.array([vectors[text] for text in texts])
        self.asked: list[Asked] = []
        self.scores: dict[str, dict[str, float]] = {}
        for number, (text, topic) in enumerate(zip(texts, self.topics, strict=True)):
            chosen = "large" if draw.random() < explored else "small"
            name = f"req_{number}"
            told = {
                "large": float(draw.random() < STRONG_QUALITY),
                "small": float(draw.random() < WEAK_QUALITY[topic]),
            }
            self.scores[name] = told if draw.random() < shadowed else {chosen: told[chosen]}
            self.asked.append(
                Asked(
                    request_id=name,
                    at="",
                    query=text,
                    model=chosen,
                    chosen=chosen,
                    propensities={"large": explored, "small": 1 - explored},
                    cost=COSTS[chosen],
                    intent="",
                )
            )

    def trial(self, head: QualityHead, goal: Goal = SHARE, models: tuple[str, ...] = MODELS) -> Trial:
        return tried(head, goal, models, self.asked, self.scores, self.vectors)


def reward(estimate: Estimate, method: str = "self_normalised") -> float:
    return estimate.rewards[method].value  # type: ignore[index]


def cost(estimate: Estimate, method: str = "self_normalised") -> float:
    return estimate.costs[method].value  # type: ignore[index]


BEST_HALF = (2 * STRONG_QUALITY + WEAK_QUALITY["cooking"] + WEAK_QUALITY["tides"]) / 4
"""What is right where the two topics that the small model is bad at go to the large one."""


def test_estimates_are_near_the_truth(head: QualityHead) -> None:
    trial = Log(3000).trial(head)
    assert (trial.requests, trial.shadowed) == (3000, 0)
    assert trial.reference_share == pytest.approx(0.5, abs=0.01)
    learned = trial.policies["learned"]
    assert learned.rewards["self_normalised"].low < BEST_HALF < learned.rewards["self_normalised"].high
    assert reward(learned) == pytest.approx(BEST_HALF, abs=0.03)
    assert cost(learned) == pytest.approx(0.0055, rel=0.06)
    assert reward(trial.policies["all large"]) == pytest.approx(STRONG_QUALITY, abs=0.03)
    assert reward(trial.policies["all small"]) == pytest.approx(MEAN_SMALL, abs=0.04)
    assert cost(trial.policies["all large"]) == pytest.approx(0.01)
    random = trial.policies["random at the same share (0.50)"]
    assert reward(random) == pytest.approx((STRONG_QUALITY + MEAN_SMALL) / 2, abs=0.03)
    assert reward(learned) > reward(random) + 0.08


def test_what_all_models_answered_is_counted_directly(head: QualityHead) -> None:
    trial = Log(1500, explored=0.3, shadowed=0.6).trial(head)
    assert trial.shadowed == pytest.approx(900, abs=80)
    learned = trial.policies["learned"]
    assert reward(learned, "direct") == pytest.approx(BEST_HALF, abs=0.04)
    assert cost(learned, "direct") == pytest.approx(0.0055, rel=0.06)
    assert learned.rewards["direct"].requests == trial.shadowed


def test_shadow_calls_tell_where_nothing_was_explored(head: QualityHead) -> None:
    trial = Log(1500, explored=1.0, shadowed=0.5).trial(head)
    learned = trial.policies["learned"]
    assert learned.rewards.keys() == {"direct"}
    assert learned.unsupported
    assert reward(learned, "direct") == pytest.approx(BEST_HALF, abs=0.05)


def test_where_the_log_says_nothing_there_is_no_estimate(head: QualityHead) -> None:
    with pytest.raises(Unsupported):
        Log(200, explored=1.0).trial(head)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.75, 1.0])
def test_a_share_goes_to_the_reference_where_it_gains_most(head: QualityHead, share: float) -> None:
    trial = Log(800).trial(head, Goal(share=share))
    assert trial.reference_share == pytest.approx(share, abs=0.02)


def test_a_spend_is_the_share_that_it_pays_for(head: QualityHead) -> None:
    log = Log(800)
    trial = log.trial(head, Goal(spend=Decimal("0.0055")))
    assert trial.reference_share == pytest.approx(0.5, abs=0.02)
    assert log.trial(head, Goal(spend=Decimal("0.0001"))).reference_share == pytest.approx(0, abs=0.02)
    assert log.trial(head, Goal(spend=Decimal(1))).reference_share == pytest.approx(1, abs=0.02)


def test_a_knob_is_a_price_of_quality(head: QualityHead) -> None:
    log = Log(800)
    shares = [log.trial(head, Goal(knob=knob)).reference_share for knob in (0.0, 0.6, 1.0)]
    assert shares[0] == 0  # nothing is better by 1
    assert shares[1] == pytest.approx(0.5, abs=0.06)  # brakes and opera are, by .4 and more
    assert shares[2] > 0.7


def test_a_floor_takes_the_cheapest_that_reaches_it(head: QualityHead) -> None:
    log = Log(800)
    shares = [log.trial(head, Goal(quality_floor=floor)).reference_share for floor in (0.05, 0.55, 0.99)]
    assert shares[0] < 0.05
    assert shares[1] == pytest.approx(0.5, abs=0.06)
    assert shares[2] > 0.98


def test_only_answers_that_were_scored_count(head: QualityHead) -> None:
    log = Log(1000)
    for number in range(0, 1000, 2):
        del log.scores[f"req_{number}"]
    assert log.trial(head).requests == 500
    log.scores = {}
    with pytest.raises(ValueError, match="no request"):
        log.trial(head)
    log.asked, log.vectors = [], np.zeros((0, 48), np.float32)
    with pytest.raises(ValueError, match="no request"):
        log.trial(head)


def test_requests_of_models_that_are_candidates_no_more_are_left_out(head: QualityHead) -> None:
    log = Log(600)
    for number in range(100):
        one = log.asked[number]
        log.asked[number] = replace(one, chosen="gone", propensities={"gone": 0.4, "large": 0.3, "small": 0.3})
        log.scores[one.request_id] = {"gone": 1.0}
    for number in range(100, 150):
        log.asked[number] = replace(log.asked[number], propensities={})
    assert log.trial(head).requests == 450


def test_propensities_among_those_that_are_left_add_up(head: QualityHead) -> None:
    log = Log(1000)
    third = {"gone": 0.5, "large": 0.25, "small": 0.25}
    log.asked = [replace(one, propensities=third) for one in log.asked]
    trial = log.trial(head)
    assert trial.policies["learned"].mean_weight == pytest.approx(1, abs=0.1)


def test_a_model_that_never_answered_costs_nothing_that_is_known(head: QualityHead) -> None:
    log = Log(400, explored=0.0, shadowed=1.0)
    trial = log.trial(head)
    assert cost(trial.policies["all large"], "direct") == 0.0
    assert cost(trial.policies["all small"], "direct") == pytest.approx(0.001)
