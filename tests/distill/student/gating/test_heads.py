"""The heads about a student learn from few labels as from many, and judge what they have not seen."""

from __future__ import annotations

import numpy as np
import pytest

from distill.student.child import StageFailed
from distill.student.curating.unknown import Unknown
from distill.student.examples import Example
from distill.student.gating.heads import ChecksLearned, Guess, checks_of, with_guess
from distill.student.gating.parts import parts_of
from heads.intents import UNKNOWN
from heads.signals import Signals


def answers(
    many: int, *, right: float = 0.7, seed: int = 0
) -> tuple[list[Example], dict[str, Signals], list[float]]:
    """Of which the wrong ones have a token that was not likely."""
    draw = np.random.default_rng(seed)
    good = (draw.random(many) < right).astype(float)
    rows = [
        Example(id=str(place), intent="a", messages=({"content": "q"},), answer="x", group=str(place))
        for place in range(many)
    ]
    signals = {
        one.id: Signals(
            mean_logp=float(-0.1 - 0.05 * draw.random() - 0.1 * (1 - well)),
            lowest=float(np.clip(0.35 + 0.5 * well + draw.normal(0, 0.15), 0.01, 1)),
            answer="Open the page and choose help.",
            question="q",
        )
        for one, well in zip(rows, good, strict=True)
    }
    return rows, signals, [float(one) for one in good]


def learned(many: int, **told: float) -> tuple[ChecksLearned, list[float]]:
    rows, signals, good = answers(many, **told)
    return checks_of(rows, signals, good, {one.id: Guess("a", 0.9) for one in rows}), good


@pytest.mark.parametrize("many", [60, 160])
def test_wrong_answers_are_told_from_right_ones(many: int) -> None:
    found, good = learned(many)
    sure = np.array([found.sure[str(place)] for place in range(many)])
    right = np.array(good) > 0.5
    assert (sure[right][:, None] > sure[~right][None, :]).mean() > 0.8
    assert abs(sure.mean() - right.mean()) < 0.1
    assert f"{many} answers" in found.how
    others, signals, unseen = answers(80, seed=5)
    judged = [found.head.judge(with_guess(signals[one.id], Guess("a", 0.9)), "a").good for one in others]
    assert np.corrcoef(judged, unseen)[0, 1] > 0.5


def test_labels_of_one_kind_give_a_probability_near_it() -> None:
    found, _ = learned(40, right=1.0)
    assert min(found.sure.values()) > 0.7
    assert "too few or too much alike" in found.how


def test_parts_have_their_unknown_questions_and_the_shares_of_requests() -> None:
    def one(name: str, intent: str, weight: float) -> Example:
        return Example(id=name, intent=intent, messages=({"content": name},), answer="x", group=name, weight=weight)

    others = [
        Unknown(id=f"u{part}", intent="c", messages=({"content": part},), part=part, group=part, weight=2.0)
        for part in ("train", "tune", "test")
    ]
    asked = {"a": 6, "b": 8, "c": 5, "of none that was good enough": 1}
    train, tune, test = [one("t", "a", 6.0), one("s", "b", 2.0)], [one("u", "a", 0.0)], [one("v", "b", 6.0)]
    parts = parts_of(train, tune, test, others, asked)
    assert parts.known == {"a", "b"}
    assert [each.id for each in parts.tune] == ["u", "utune"]
    assert [each.id for each in parts.test] == ["v", "utest"]
    assert {each.id for each in parts.learned} == {"t", "s", "utrain", "u", "utune"}
    assert parts.shares == pytest.approx({"a": 0.3, "b": 0.4, UNKNOWN: 0.3})
    with pytest.raises(StageFailed, match=r"test\.jsonl has no examples"):
        parts_of(train, tune, [], others, asked)
    with pytest.raises(StageFailed, match="stands for any request"):
        parts_of(train, tune, test, others, {})
