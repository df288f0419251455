"""The learning curve: what it is fitted to, how sure it is, and what more examples are worth."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from distill.student.examples import TRAIN, TUNE, Example, write_examples
from distill.student.running import Tell
from distill.student.searching.curve import (
    CONTENT,
    PLOT,
    CurveSettings,
    LearningCurve,
    Traffic,
    learning_curve,
    lines_of,
    share_of,
)
from distill.student.searching.power_law import Point, law_of

QUESTIONS = 120
GROUPS = [f"group {number // 2}" for number in range(QUESTIONS)]


def unheard(what: str, done: int, of: int) -> None:
    """Nobody watches."""


def example(number: int, intent: str) -> Example:
    return Example(
        id=f"{intent}-{number}",
        intent=intent,
        messages=({"role": "user", "content": f"{intent} {number}"},),
        answer=intent,
        group=f"{intent}-{number // 2}",
    )


def points(floor: float, scale: float, rate: float, sizes: Sequence[int], seed: int = 0) -> list[Point]:
    """Of a known law: the hardest questions are answered wrongly, and some by lot."""
    draw = np.random.default_rng(seed)
    hard = np.linspace(0, 1, QUESTIONS)
    found = []
    for size in sizes:
        for which in (0, 1):
            wrong = hard < floor + scale * size**-rate + draw.normal(0, 0.01)
            good = tuple((~wrong).astype(float).tolist())
            found.append(Point(examples=size, seed=which, good=good))
    return found


class Workshop:
    """Trains students that are wrong on a share of the questions, by how many examples they had."""

    def __init__(self, *, breaks_after: int = 10**6) -> None:
        self.trained: list[tuple[int, int]] = []
        self.breaks_after = breaks_after

    def __call__(self, some: Sequence[Example], seed: int, folder: Path, tell: Tell) -> Sequence[float]:
        if len(self.trained) == self.breaks_after:
            raise KeyboardInterrupt
        self.trained.append((len(some), seed))
        wrong = round(QUESTIONS * 4 * len(some) ** -0.7)
        return [float(number >= wrong) for number in range(QUESTIONS)]


@pytest.fixture
def curated(tmp_path: Path) -> Path:
    (folder := tmp_path / "curate").mkdir()
    intents = {"pay": 120, "return": 60, "greeting": 4}
    write_examples(folder / TRAIN, [example(n, intent) for intent, many in intents.items() for n in range(many)])
    write_examples(folder / TUNE, [example(1000 + n, "pay") for n in range(QUESTIONS)])
    return folder


def drawn(curated: Path, shop: Workshop, traffic: Traffic | None = None) -> LearningCurve:
    return learning_curve(
        curated,
        CurveSettings(seeds=1),
        measure=shop,
        traffic=traffic,
        folder=curated.parent / "curve",
        tell=unheard,
    )


def test_a_law_is_found_again_from_its_points() -> None:
    law = law_of(points(0.05, 3, 0.6, (50, 100, 200, 400)), GROUPS, draws=200)
    found = law.quality(800)
    assert found.low <= 1 - (0.05 + 3 * 800**-0.6) <= found.high
    assert law.quality(1600).value >= found.value


def test_a_curve_that_is_flat_promises_nothing() -> None:
    law = law_of(points(0.2, 0, 1, (50, 100, 200)), GROUPS, draws=200)
    gain = law.gain(200, 200)
    assert gain.value < 0.01
    assert gain.low >= 0


def test_fewer_questions_are_less_sure() -> None:
    many, few = points(0.05, 3, 0.6, (50, 100, 200)), points(0.05, 3, 0.6, (50, 100, 200))
    few = [Point(examples=one.examples, seed=one.seed, good=one.good[::8]) for one in few]
    wide, narrow = law_of(few, GROUPS[::8], draws=200).quality(400), law_of(many, GROUPS, draws=200).quality(400)
    assert wide.high - wide.low > narrow.high - narrow.low


def test_two_sizes_are_no_curve() -> None:
    with pytest.raises(ValueError, match="three shares"):
        law_of(points(0.05, 3, 0.6, (50, 100)), GROUPS, draws=10)


def test_shares_are_nested_and_of_every_intent() -> None:
    every = [
        example(number, intent) for intent, many in {"pay": 40, "greeting": 2}.items() for number in range(many)
    ]
    quarter, half = share_of(every, 0.25), share_of(every, 0.5)
    assert {one.id for one in quarter} < {one.id for one in half}
    assert Counter(one.intent for one in quarter) == {"pay": 10, "greeting": 1}
    assert share_of(every, 1) == every
    assert share_of(list(reversed(every)), 0.5) == list(reversed(half))


def test_what_more_examples_gain_and_may_cost(curated: Path) -> None:
    traffic = Traffic(requests=1000, saving=Decimal("0.01"))
    curve = drawn(curated, Workshop(), traffic)
    assert curve.examples == 184
    doubled = curve.more[1]
    assert doubled.examples == 184
    assert doubled.worth_usd is not None
    # A day brings 1,000 requests of a cent each, for 90 days, over 184 examples.
    assert doubled.worth_usd.value == pytest.approx(doubled.gain.value * 1000 * 0.01 * 90 / 184)
    assert doubled.gain.low <= doubled.gain.value <= doubled.gain.high
    told = "\n".join(lines_of(curve))
    assert "184 more would gain +" in told
    assert "pays within 90 days" in told
    kept = json.loads((curated.parent / "curve" / CONTENT).read_bytes())
    assert [size for size, _, _ in kept["points"]] == [46, 92, 184]
    assert "<svg" in (curated.parent / "curve" / PLOT).read_text()


def test_without_prices_nothing_is_said_of_worth(curated: Path) -> None:
    assert "is not known" in "\n".join(lines_of(drawn(curated, Workshop())))


def test_what_was_trained_before_it_was_broken_off_is_not_trained_again(curated: Path) -> None:
    first = Workshop(breaks_after=2)
    with pytest.raises(KeyboardInterrupt):
        drawn(curated, first)
    second = Workshop()
    drawn(curated, second)
    assert len(first.trained) == 2
    assert len(second.trained) == 1
    assert not set(first.trained) & set(second.trained)


def test_without_questions_to_judge_by_it_says_so(curated: Path) -> None:
    write_examples(curated / TUNE, [])
    with pytest.raises(ValueError, match="no questions"):
        drawn(curated, Workshop())
