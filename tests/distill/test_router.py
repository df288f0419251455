"""A route's router from planted traffic: what there are labels for is learned, the rest is said to be missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from distill.checks import Example as Judged
from distill.gate import NO_GAP, Measured, judge
from distill.intents import Example
from distill.outcomes import Outcome
from distill.router import Lesson, Router, learn_router
from distill.traffic import Traffic
from heads.signals import Signals
from router.choice.parts import Place
from router.choice.shelf import CHECK, INTENTS, QUALITY, read_heads
from tests.distill.planted import STRONG_QUALITY, WEAK_QUALITY, Vectors, queries

MODELS = ("large", "small")
MANY = 240
TEXTS, TOPICS, VECTORS = queries(MANY, 21)
EXAMPLES = [Example(text, topic) for text, topic in zip(TEXTS, TOPICS, strict=True)][:48]


def encode(texts: Sequence[str], known: Vectors = VECTORS) -> NDArray[np.float32]:
    return np.array([known[text] for text in texts])


def scores(many: int = MANY, *, small: Mapping[str, float] = WEAK_QUALITY) -> list[Outcome]:
    draw = np.random.default_rng(8)
    found = []
    for text, topic in list(zip(TEXTS, TOPICS, strict=True))[:many]:
        found.append(Outcome(query=text, model="large", score=float(draw.random() < STRONG_QUALITY)))
        found.append(Outcome(query=text, model="small", score=float(draw.random() < small[topic])))
    return found


def judged(many: int, *, told: bool = True) -> list[Judged]:
    """Answers whose log-probabilities tell, or do not, how good they are; the guess trusts the wrong ones."""
    draw = np.random.default_rng(4)
    found = []
    for number in range(many):
        good = float(draw.random() < 0.5)
        logp = (-0.8 if good else -0.1) if told else -0.5
        signals = Signals(mean_logp=logp + draw.normal(0, 0.05), question="What?", answer="This.")
        found.append(Judged(signals=signals, good=good, strong=1.0, group=str(number)))
    return found


def lesson(**changes: Any) -> Lesson:
    traffic = Traffic(outcomes=scores(), examples=judged(120))
    made = Lesson(
        route="auto",
        owner="acme",
        reference="large",
        candidates=MODELS,
        traffic=traffic,
        examples=EXAMPLES,
        encoder="topics-1",
    )
    return replace(made, **changes)


@pytest.fixture(scope="module")
def learned() -> Router:
    return learn_router(lesson(), encode)


def figures(router: Router) -> dict[str, Measured]:
    return {one.metric: one for one in router.evidence}


def test_all_of_it_is_learned_where_there_are_labels_for_all(learned: Router, tmp_path: Path) -> None:
    assert (set(learned.files), learned.left_out) == ({QUALITY, INTENTS, CHECK}, {})
    for name, data in learned.files.items():
        (tmp_path / name).write_bytes(data)
    heads = read_heads(Place(tmp_path, "v1", "topics-1"), "topics-1")
    assert heads.quality is not None and heads.intents is not None and heads.check is not None
    assert heads.quality.models == MODELS
    text = next(text for text, topic in zip(TEXTS, TOPICS, strict=True) if topic == "brakes")
    forecast = heads.quality.forecast(text, VECTORS[text])
    assert forecast.quality("small") < 0.4 < 0.8 < forecast.quality("large")
    good, bad = (
        heads.check.judge(Signals(mean_logp=logp, question="What?", answer="This.")) for logp in (-0.8, -0.1)
    )
    assert good.good > 0.8 > 0.2 > bad.good


def test_the_evidence_is_of_questions_that_were_held_back(learned: Router) -> None:
    found = figures(learned)
    assert 0.6 < found["apgr small"].value < 0.85
    assert found["apgr small"].low is not None and 0.5 < found["apgr small"].low < found["apgr small"].value
    assert found["apgr small"].n == MANY
    for model in MODELS:
        assert found[f"calibration error {model}"].value < 0.1
    assert found["intent accuracy"].value > 0.9
    assert found["intent accuracy"].n == 48
    assert found["checks: squared error below the guess's"].value > 0.1
    assert judge(learned.evidence).passed


def test_noise_does_not_pass_the_gate() -> None:
    level = dict.fromkeys(WEAK_QUALITY, 0.5)
    noise = learn_router(lesson(traffic=Traffic(outcomes=scores(small=level)), examples=()), encode)
    verdict = judge(noise.evidence)
    assert not verdict.passed
    assert verdict.reasons[0].startswith("failed: apgr small")


def test_the_card_says_whose_it_is_and_of_what_it_was_learned(learned: Router) -> None:
    card = orjson.loads(orjson.dumps(learned.card))
    assert (card["route"], card["owner"], card["encoder"]) == ("auto", "acme", "topics-1")
    assert (card["reference"], card["candidates"]) == ("large", list(MODELS))
    assert card["lineage"] == {
        "tenant": "acme",
        "questions": MANY,
        "scores": 2 * MANY,
        "judged answers": 120,
        "examples of intents": 48,
        "lines that could not be read": 0,
    }
    assert {row["metric"] for row in card["evidence"]} == set(figures(learned))
    for text in TEXTS:
        assert text not in str(card)  # a card is shown to operators, questions are the tenant's


def test_the_same_traffic_makes_the_same_files(learned: Router) -> None:
    again = learn_router(lesson(), encode)
    assert again.files == learned.files
    assert again.evidence == learned.evidence


@pytest.mark.parametrize(
    ("changes", "left", "why"),
    [
        ({}, "intents", "no examples of intents"),
        ({"examples": EXAMPLES[:1]}, "intents", "two intents or more"),
        ({"traffic": Traffic(outcomes=scores(19))}, "quality", "there are 19 .* 20 are needed"),
        ({"traffic": Traffic(outcomes=[one for one in scores() if one.model == "small"])}, "quality", "large"),
        ({"traffic": Traffic(outcomes=[one for one in scores() if one.model == "large"])}, "quality", "candidate"),
        ({"traffic": Traffic(outcomes=scores()), "candidates": ("large", "other")}, "quality", "another candidate"),
        (
            {"traffic": Traffic(outcomes=scores()), "reference": "other", "candidates": ("other", "small")},
            "quality",
            "scores of other",
        ),
        ({"traffic": Traffic(examples=judged(99))}, "check", "100 labels are needed.*there are 99"),
        ({"traffic": Traffic(examples=judged(120, told=False))}, "check", "120 judged .* do not show yet"),
    ],
)
def test_what_has_too_few_labels_is_not_learned(changes: dict[str, Any], left: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"{left}: [^;]*{why}"):
        learn_router(lesson(**{"traffic": Traffic(), "examples": (), **changes}), encode)


def test_what_is_left_out_is_told_with_its_reason_and_the_rest_is_learned() -> None:
    found = learn_router(lesson(traffic=Traffic(outcomes=scores(19))), encode)
    assert (set(found.files), set(found.left_out)) == ({INTENTS}, {"quality", "check"})
    assert "20 are needed" in found.left_out["quality"]
    for name, why in found.left_out.items():
        assert f"Not learned: {name} ({why})." in found.card["limits"]


def test_where_there_is_nothing_to_learn_all_that_is_missing_is_told() -> None:
    with pytest.raises(ValueError, match=r"quality: .*; intents: .*; check: ") as refusal:
        learn_router(lesson(traffic=Traffic(), examples=()), encode)
    assert "scores of large" in str(refusal.value)


def test_a_wrong_score_is_no_crash_and_not_learned_from() -> None:
    wrong = [*scores(60), Outcome(query=TEXTS[0], model="small", score=7.0)]
    found = learn_router(lesson(traffic=Traffic(outcomes=wrong)), encode)
    assert "not in 0..1" in found.left_out["quality"]
    assert set(found.files) == {INTENTS}


def test_a_reference_that_is_no_better_is_said_to_be() -> None:
    level = dict.fromkeys(WEAK_QUALITY, 1.0)
    found = learn_router(lesson(traffic=Traffic(outcomes=scores(60, small=level)), examples=()), encode)
    (metric,) = [one for one in found.evidence if one.metric.startswith(NO_GAP)]
    assert "small" in metric.metric and metric.n == 60
    assert not judge(found.evidence).passed  # of sixty questions nothing is sure


def test_questions_of_other_models_help_but_are_not_chosen_from() -> None:
    other = [replace(one, model="other") for one in scores() if one.model == "large"]
    traffic = Traffic(outcomes=[*scores(60), *other[:60]])
    found = learn_router(lesson(traffic=traffic, examples=()), encode)
    assert {one.metric for one in found.evidence} == {
        "apgr small",
        "calibration error large",
        "calibration error small",
    }


def test_its_steps_are_told() -> None:
    steps: list[str] = []
    learn_router(lesson(traffic=Traffic(outcomes=scores(60))), encode, progress=steps.append)
    assert "encoding 60 questions" in steps
    assert "encoding 48 examples of intents" in steps
