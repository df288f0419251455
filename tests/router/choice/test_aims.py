"""What goals make of predictions: floors and knobs decide each request, shares and spends are held over many."""

from __future__ import annotations

import random

import pytest

from router.choice.aims import FloorAim, KnobAim, ShareAim, SpendAim
from router.choice.goals import Option
from router.share import ShareController


def options(gain: float, *, deviation: float = 0.0, cheap: float = 0.1) -> tuple[list[Option], Option]:
    """A reference of quality .9 that costs 1, and a cheap model that is worse by `gain`."""
    reference = Option(model="large", quality=0.9, deviation=0.02, cost=1.0)
    return [reference, Option(model="small", quality=0.9 - gain, deviation=deviation, cost=cheap)], reference


def picked(aim: FloorAim | KnobAim | ShareAim, gain: float, **more: float) -> str:
    both, reference = options(gain, **more)
    return aim.pick(both, reference, sureness=1.0, checks=False, dry=False).option.model


def test_a_floor_takes_the_cheap_model_where_it_surely_reaches_it() -> None:
    aim = FloorAim(0.8)
    assert picked(aim, 0.05) == "small"
    assert picked(aim, 0.05, deviation=0.1) == "large"
    assert picked(aim, 0.2) == "large"


def test_a_floor_wants_its_probability_of_an_answer_too() -> None:
    both, reference = options(0.3)
    assert FloorAim(0.8).verdict(both, reference, both[1], 0.79) == (0.8, True)
    assert FloorAim(0.8).verdict(both, reference, both[1], 0.81) == (0.8, False)


def test_a_knob_is_the_gain_that_the_full_cost_is_worth() -> None:
    assert picked(KnobAim(0.7), 0.3) == "large"  # worth .3 / .9 of the cost that is saved
    assert picked(KnobAim(0.7), 0.26) == "small"
    assert picked(KnobAim(1.0), 0.01) == "large"
    assert picked(KnobAim(0.0), 0.8) == "small"


def test_a_knob_asks_of_an_answer_what_the_reference_would_give_for_its_cost() -> None:
    both, reference = options(0.5)
    needed, escalates = KnobAim(0.7).verdict(both, reference, both[1], 0.7)
    assert needed == pytest.approx(0.9 - 0.3 * 0.9)
    assert not escalates
    assert KnobAim(0.7).verdict(both, reference, both[1], 0.6)[1]


@pytest.mark.parametrize("wanted", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_a_share_is_held_and_goes_where_the_gain_is(wanted: float) -> None:
    draw, aim = random.Random(1), ShareAim(ShareController(wanted))
    gains = [draw.random() for _ in range(1000)]
    large = [gain for gain in gains if picked(aim, gain) == "large"]
    assert len(large) / len(gains) == pytest.approx(wanted, abs=0.03)
    if wanted in (0.2, 0.5):
        rest = [gain for gain in gains if gain not in large]
        assert sum(large) / len(large) > sum(rest) / len(rest) + 0.3


def test_a_share_is_held_where_nothing_is_told_apart() -> None:
    aim = ShareAim(ShareController(0.3))
    assert sum(picked(aim, 0.2) == "large" for _ in range(500)) / 500 == pytest.approx(0.3, abs=0.03)


def test_escalations_are_part_of_the_share() -> None:
    draw, aim = random.Random(2), ShareAim(ShareController(0.3))
    reached = unsure = 0
    for _ in range(2000):
        both, reference = options(draw.random(), deviation=0.1)
        pick = aim.pick(both, reference, sureness=1.0, checks=True, dry=False)
        large = pick.option is reference
        if pick.outlook == "unsure":
            unsure += 1
            assert not large
            large = aim.verdict(both, reference, pick.option, draw.random())[1]
        aim.answered(large, large)
        reached += large
    assert unsure > 100
    assert reached / 2000 == pytest.approx(0.3, abs=0.03)


def test_what_was_answered_without_a_decision_counts_too() -> None:
    controller = ShareController(0.5)
    aim = ShareAim(controller)
    for _ in range(10):
        aim.answered(True, None)
    assert controller.owed == pytest.approx(-5)
    aim.answered(True, True)
    assert controller.owed == pytest.approx(-5)


def test_who_could_not_answer_is_not_counted() -> None:
    controller = ShareController(0.5)
    aim = ShareAim(controller)
    for _ in range(10):
        picked(aim, 0.5)
        before = controller.owed
        aim.answered(False, True)
        assert controller.owed == pytest.approx(before + 1)
        aim.answered(True, False)
        assert controller.owed == pytest.approx(before)


def test_a_preview_counts_nothing() -> None:
    controller = ShareController(0.3)
    aim = ShareAim(controller)
    for gain in (0.1, 0.5, 0.9):
        picked(aim, gain)
    before = (controller.owed, controller.threshold())
    both, reference = options(0.7)
    aim.pick(both, reference, sureness=1.0, checks=False, dry=True)
    assert (controller.owed, controller.threshold()) == before


def test_a_spend_is_held_whatever_the_prices_are() -> None:
    draw = random.Random(3)
    aim = SpendAim(ShareController(0.5), 0.4)
    spent = 0.0
    for _ in range(3000):
        both, reference = options(draw.random(), cheap=0.1)
        spent += aim.pick(both, reference, sureness=1.0, checks=False, dry=False).option.cost
    assert spent / 3000 == pytest.approx(0.4, rel=0.05)


def test_a_spend_beyond_reach_takes_the_end_that_is_nearest() -> None:
    assert picked(SpendAim(ShareController(0.5), 5.0), 0.01) == "large"
    assert picked(SpendAim(ShareController(0.5), 0.01), 0.9) == "small"


def test_of_several_cheap_models_the_best_for_its_cost_answers() -> None:
    reference = Option(model="large", quality=0.9, deviation=0.0, cost=1.0)
    middle = Option(model="middle", quality=0.85, deviation=0.0, cost=0.3)
    small = Option(model="small", quality=0.5, deviation=0.0, cost=0.1)
    every = [reference, middle, small]
    assert KnobAim(0.7).pick(every, reference, sureness=1, checks=False, dry=False).option is middle
    near = Option(model="near", quality=0.8, deviation=0.0, cost=0.1)
    assert KnobAim(0.7).pick([*every, near], reference, sureness=1, checks=False, dry=False).option is near
    assert KnobAim(1.0).pick(every, reference, sureness=1, checks=False, dry=False).option is reference


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.2), (0.6, 1.0)])
def test_a_share_is_held_at_once_however_checks_judge(low: float, high: float) -> None:
    """Judgements may be stricter, or milder, than forecasts were."""
    draw, controller = random.Random(5), ShareController(0.4)
    controller.expect([draw.uniform(0.2, 0.6) for _ in range(256)])
    aim, reached = ShareAim(controller), 0
    for _ in range(100):
        both, reference = options(draw.uniform(0.2, 0.6), deviation=5.0)
        pick = aim.pick(both, reference, sureness=1.0, checks=True, dry=False)
        assert pick.outlook == "unsure"
        reached += aim.verdict(both, reference, pick.option, 0.9 - draw.uniform(low, high))[1]
    assert reached / 100 == pytest.approx(0.4, abs=0.05)
