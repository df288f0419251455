"""The verdict is on the whole, weighed as the traffic is; what is refused is told why, the failed checks first."""

from __future__ import annotations

import numpy as np
import pytest

from distill.student.gating.settings import GateSettings
from distill.student.gating.verdict import Judged, curve_of, judged, refused_for
from heads.intents import UNKNOWN
from tests.distill.student.planted_gate import all_chosen, trial

Row = tuple[str, str, float, float]
SHARES = {"a": 0.5, "b": 0.25, UNKNOWN: 0.25}


def answered(intent: str, many: int, right: float, *, sure: float = 0.9, taken: str = "") -> list[Row]:
    return [(intent, taken or intent, sure, float(place < round(many * right))) for place in range(many)]


def failed(found: Judged) -> set[str]:
    return {check.rule for check in found.checks if not check.passed}


def test_a_right_student_passes_and_its_figures_are_those_of_the_traffic() -> None:
    rows = [*answered("a", 200, 1.0), *answered("b", 200, 0.98), *answered("c", 100, 0.0, taken=UNKNOWN)]
    found = judged(trial(rows, SHARES), all_chosen(), GateSettings())
    assert found.passed, found.reasons
    figures = found.figures
    assert figures.share.value == pytest.approx(0.75)
    assert figures.change.value == pytest.approx(-0.25 * 0.02)
    assert figures.quality.value == pytest.approx(1 - 0.25 * 0.02)
    assert figures.wrong is not None
    assert figures.wrong.value == pytest.approx(0.25 * 0.02 / 0.75)
    assert {one.intent: one.share for one in figures.intents} == pytest.approx(SHARES)
    assert figures.leak is not None
    assert figures.leak.value == 0.0


def test_quality_must_be_held_for_sure() -> None:
    rows = [*answered("a", 200, 0.96), *answered("b", 200, 1.0), *answered("c", 100, 0.0, taken=UNKNOWN)]
    found = judged(trial(rows, SHARES), all_chosen(), GateSettings())
    assert found.figures.change.value == pytest.approx(-0.02)
    assert failed(found) == {"quality"}
    assert found.reasons[0].startswith("failed: quality")
    assert found.reasons[-1].startswith("held")


def test_few_questions_prove_nothing_however_right() -> None:
    rows = [*answered("a", 10, 1.0), *answered("b", 10, 1.0), *answered("c", 10, 0.0, taken=UNKNOWN)]
    assert failed(judged(trial(rows, SHARES), all_chosen(), GateSettings())) == {"quality"}


def test_many_questions_of_a_rare_intent_do_not_stand_for_a_common_one() -> None:
    rows = [*answered("a", 6, 1.0), *answered("b", 400, 1.0), *answered("c", 100, 0.0, taken=UNKNOWN)]
    found = judged(trial(rows, SHARES), all_chosen(), GateSettings())
    assert failed(found) == {"quality"}
    assert found.figures.change.low < -0.05


def test_a_student_that_may_answer_nothing_passes_no_gate() -> None:
    rows = [*answered("a", 200, 1.0), *answered("c", 100, 0.0, taken=UNKNOWN)]
    found = judged(trial(rows, SHARES), all_chosen((), least_good=1.01), GateSettings())
    assert failed(found) == {"intents", "share", "delivered"}
    assert found.figures.change.value == 0.0


def test_questions_that_slip_through_count_against_it() -> None:
    slipped = [*answered("c", 75, 0.0, taken=UNKNOWN), *answered("c", 25, 0.0, taken="a")]
    found = judged(
        trial([*answered("a", 200, 1.0), *answered("b", 200, 1.0), *slipped], SHARES), all_chosen(), GateSettings()
    )
    assert {"quality", "kept away", "segments"} <= failed(found)
    assert found.figures.leak is not None
    assert found.figures.leak.value == pytest.approx(0.25)
    assert found.figures.leak_good == 0.0


def test_without_questions_to_be_kept_away_from_nobody_knows_that_it_is() -> None:
    rows = [*answered("a", 200, 1.0), *answered("b", 200, 1.0)]
    assert failed(judged(trial(rows, SHARES), all_chosen(), GateSettings())) == {"kept away"}
    assert judged(trial(rows, {"a": 0.5, "b": 0.5}), all_chosen(), GateSettings()).passed


def test_what_no_test_question_stands_for_does_not_count_as_delivered() -> None:
    rows = [*answered("a", 200, 1.0), *answered("c", 100, 0.0, taken=UNKNOWN)]
    some = trial(rows, SHARES)  # none of `b`, a quarter of the traffic
    figures = judged(some, all_chosen(("a",)), GateSettings()).figures
    assert figures.untested == pytest.approx(0.25)
    assert figures.share.value == pytest.approx(0.5)
    assert figures.share.low < 0.5 < 0.75 < figures.share.high
    assert {one.intent: one.share for one in figures.intents} == pytest.approx({"a": 0.5, UNKNOWN: 0.25})
    assert curve_of(some, ("a",))[-1][0] == pytest.approx(0.5)


def test_an_intent_that_falls_is_refused_though_the_whole_holds() -> None:
    shares = {"a": 0.95, "b": 0.05}
    rows = [*answered("a", 400, 1.0), *answered("b", 20, 0.8)]
    found = judged(trial(rows, shares), all_chosen(), GateSettings(margin=0.05))
    assert failed(found) == {"segments"}
    assert "intent b" in found.reasons[0]


def test_a_small_segment_fails_only_where_the_fall_is_sure() -> None:
    shares = {"a": 0.98, "b": 0.02}
    settings = GateSettings(margin=0.05, least_segment=30)
    some, all_wrong = (
        judged(trial([*answered("a", 400, 1.0), *answered("b", 12, right)], shares), all_chosen(), settings)
        for right in (0.9, 0.0)
    )
    assert some.passed
    assert failed(all_wrong) == {"segments"}
    assert "for sure" in all_wrong.reasons[0]


def test_the_curve_grows_with_what_is_delivered() -> None:
    draw = np.random.default_rng(0)
    rows = [("a", "a", float(sure), float(draw.random() < sure)) for sure in draw.random(300)]
    curve = curve_of(trial(rows, {"a": 1.0}), ("a",))
    shares, wrong = zip(*curve, strict=True)
    assert list(shares) == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert wrong[-1] == pytest.approx(0.5, abs=0.1)
    assert wrong[len(wrong) // 4] < 0.3


def test_a_larger_variants_refusal_is_a_reason_of_its_own() -> None:
    rows = [*answered("a", 200, 1.0), *answered("b", 200, 1.0)]
    passed = judged(trial(rows, {"a": 0.5, "b": 0.5}), all_chosen(), GateSettings())
    refused = refused_for(passed, "f16 was refused.")
    assert passed.passed
    assert not refused.passed
    assert "f16 was refused." in refused.reasons[0]


def test_no_questions_is_an_error_with_advice() -> None:
    with pytest.raises(ValueError, match="curate more"):
        judged(trial([], {"a": 1.0}), all_chosen(), GateSettings())
