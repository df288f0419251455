"""The search for the cheapest student that is good and quick enough."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from pydantic import ValidationError

from distill.student.running import Tell
from distill.student.searching.page import search_page, verdict_line
from distill.student.searching.plot import pareto_svg
from distill.student.searching.search import (
    MEASURED,
    TRIALS,
    Choice,
    Found,
    Score,
    SearchSettings,
    choices_of,
    cost_of,
    front,
    search,
)

pytest.importorskip("optuna", reason="the extra `optimise` is not installed")

WIDTHS = {"narrow": 32, "middle": 96, "wide": 256}
SPACE = {"sizes": {name: {"hidden": width} for name, width in WIDTHS.items()}, "precisions": ("q8_0", "q4_0")}


def unheard(what: str, done: int, of: int) -> None:
    """Nobody watches."""


class Workshop:
    """Students whose quality grows with their width and their steps, and whose price does with their width."""

    def __init__(self, *, breaks_after: int = 10**6) -> None:
        self.asked: list[tuple[Choice, float]] = []
        self.breaks_after = breaks_after

    def __call__(self, choice: Choice, share: float, folder: Path, tell: Tell) -> Score:
        if len(self.asked) >= self.breaks_after:
            raise KeyboardInterrupt
        self.asked.append((choice, share))
        width = WIDTHS.get(choice.size, 64)
        worse = 0.05 if choice.precision == "q4_0" else 0.0
        return Score(
            quality=1 - 4 / width - 0.1 * (1 - share) - worse,
            teacher=0.98,
            p95_ms=float(width),
            seconds=width / 1000 * (0.5 if worse else 1),
            megabytes=width / 100,
        )


def settings(**changes: Any) -> SearchSettings:
    return SearchSettings(**({**SPACE, "p95_ms": 500, "margin": 0.03} | changes))


def found_in(folder: Path, shop: Workshop, wanted: SearchSettings) -> Found:
    return search(wanted, measure=shop, folder=folder, tell=unheard)


def test_the_cheapest_that_is_good_enough_is_found(tmp_path: Path) -> None:
    found = found_in(tmp_path, Workshop(), settings(shares=(1.0,)))
    assert found.best is not None
    assert found.best.choice == Choice(base="", size="middle", precision="q8_0")  # q4_0 costs it too much quality
    assert len(found.tried) == 6
    reasons = {one.choice.name: one.why_not for one in found.tried}
    assert "below the teacher's" in reasons["narrow in q8_0"]
    assert reasons["wide in q8_0"] == ""
    lines = (tmp_path / TRIALS).read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == 6


def test_what_is_too_slow_is_not_found(tmp_path: Path) -> None:
    found = found_in(tmp_path, Workshop(), settings(shares=(1.0,), p95_ms=80))
    assert found.best is None
    assert "None of 6" in verdict_line(found)
    assert any("P95" in one.why_not for one in found.tried)


def test_trials_that_look_bad_early_are_given_up(tmp_path: Path) -> None:
    shop = Workshop()
    found = found_in(tmp_path, shop, settings(shares=(0.25, 0.5, 1.0)))
    given_up = [one for one in found.tried if "given up" in one.why_not]
    assert given_up
    assert len(shop.asked) < 18
    assert found.best is not None


def test_a_search_that_was_broken_off_measures_nothing_twice(tmp_path: Path) -> None:
    whole = found_in(tmp_path / "whole", Workshop(), settings())
    asked: list[tuple[Choice, float]] = []
    for _ in range(20):
        shop = Workshop(breaks_after=2)
        try:
            found = found_in(tmp_path / "broken", shop, settings())
        except KeyboardInterrupt:
            asked += shop.asked
        else:
            asked += shop.asked
            break
    assert len(asked) == len(set(asked)) == len((tmp_path / "broken" / MEASURED).read_text().splitlines())
    assert found.best == whole.best


def test_a_space_that_is_too_large_is_tried_in_part(tmp_path: Path) -> None:
    wide = {f"w{width}": {"hidden": width} for width in range(32, 62)}
    found = found_in(tmp_path, Workshop(), settings(sizes=wide, trials=14, shares=(1.0,)))
    assert len(found.tried) <= 14
    assert any("Only 14 of 60" in note for note in found.notes)


def test_a_base_has_a_size_of_its_own() -> None:
    names = [choice.name for choice in choices_of(settings(bases=("", "models/half-b")))]
    assert len(names) == 8
    assert "models/half-b in q4_0" in names


def test_cost_is_that_of_the_machine() -> None:
    score = Score(quality=1, teacher=1, p95_ms=1, seconds=0.36, megabytes=1)
    assert cost_of(score, settings(hour_usd=Decimal("2.00"))) == pytest.approx(0.2)


def test_the_front_has_what_no_other_beats_in_both(tmp_path: Path) -> None:
    found = found_in(tmp_path, Workshop(), settings(shares=(1.0,)))
    edge = front(found.tried, lambda one: one.cost_usd)
    for one in edge:
        assert not any(o.cost_usd < one.cost_usd and o.score.quality >= one.score.quality for o in found.tried)
    assert [one.cost_usd for one in edge] == sorted(one.cost_usd for one in edge)
    assert found.best in edge


def test_page_and_plot_name_what_was_found(tmp_path: Path) -> None:
    wanted = settings(shares=(1.0,))
    found = found_in(tmp_path, Workshop(), wanted)
    page = search_page(found, wanted)
    assert "| middle | q8_0 | 100% |" in page
    assert "**found**" in page
    plot = ElementTree.fromstring(pareto_svg(found, p95_ms=500, margin=0.03))
    rings = [each for each in plot.iter() if each.get("class") == "found"]
    assert len(rings) == 2


@pytest.mark.parametrize("shares", [(), (0.5,), (1.0, 0.5), (0.5, 0.5, 1.0)])
def test_shares_grow_to_all_of_the_steps(shares: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError, match="the last one is 1"):
        settings(shares=shares)
