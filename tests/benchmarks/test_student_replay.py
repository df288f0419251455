"""Figures of a replay: who answered, what it cost beside all large, and what a wrong answer takes from quality."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.example_traffic import Request
from benchmarks.example_weir import Answered, written
from benchmarks.student_plot import draw
from benchmarks.student_replay import configured, figures_of
from evals.scorers.contains_facts import Fact
from router.config.load import load

FOLDER = Path(__file__).parents[2] / "examples/support"
LARGE, STUDENT = "support-large", "support-student"


def request_of(place: int, *, known: bool = True) -> Request:
    return Request(
        tenant="acme",
        conversation=f"talk {place}",
        at=float(place),
        stream=False,
        messages=({"role": "user", "content": f"question {place}"},),
        kind="first" if known else "hard",
        intent="hours" if known else "unknown",
        wording=f"question {place}",
        facts=(Fact(("nine",)),) if known else (),
    )


def answered(
    text: str, *, model: str = LARGE, cost: float = 1.0, cache: str = "bypass", sure: bool = True
) -> Answered:
    return Answered(text, model, cost, cache, {"check": {"escalated": not sure}, "degraded": ""})


REQUESTS = [request_of(0), request_of(1), request_of(2), request_of(3), request_of(4, known=False)]
RUNS = {
    "all large": ([answered("At nine.")] * 5, 0.0),
    "student": (
        [
            answered("At nine.", model=STUDENT, cost=0.1),
            answered("At ten.", model=STUDENT, cost=0.1),
            answered("At nine.", model=STUDENT, cost=0.0, cache="exact"),
            answered("At nine.", cost=1.1, sure=False),
            answered("Ten.", model=STUDENT, cost=0.1),
        ],
        0.5,
    ),
}


def test_figures_tell_who_answered_and_what_it_cost() -> None:
    figures = figures_of(REQUESTS, RUNS, frozenset({"question 0"}))
    row = figures["policies"]["student"]
    assert (figures["judged"], figures["new"]) == (4, {"first": 3, "hard": 1})
    assert row["quality"].value == pytest.approx(0.75)
    assert row["change"].value == pytest.approx(-0.25)
    assert row["change"].low < -0.25 < row["change"].high
    assert row["change_of_new_first_turns"].value == pytest.approx(-1 / 3)
    assert row["bill"].value == pytest.approx((0.1 + 0.1 + 1.1 + 0.1 + 0.5) / 5)
    assert row["by_student"] == pytest.approx(0.6)
    assert (row["by_cache"], row["escalated"]) == (pytest.approx(0.2), pytest.approx(0.2))
    assert row["student_right"].value == pytest.approx(0.5)
    assert row["student_right_of_new"].value == pytest.approx(0.0)
    assert row["student_by_kind"] == {"first": 2, "hard": 1}


def test_each_policys_configuration_is_one_that_weir_takes(tmp_path: Path) -> None:
    example = tmp_path / "example"
    shutil.copytree(FOLDER, example)
    day = load(example / "weir.yaml", {}).config.routes["support"].cache.ttl_seconds
    for student, cache in (("none", False), ("none", True), ("", True), (str(example / "documents"), False)):
        config = configured(example, student=student, cache=cache, day=15.0)
        settings = load(written(example, config), {}).config.routes["support"]
        assert (STUDENT in settings.candidates) == (student != "none")
        assert settings.cache.enabled is cache
        assert not cache or settings.cache.ttl_seconds == pytest.approx(day * 15 / 86400)


def test_the_plot_has_every_policy_of_every_replay() -> None:
    figures = figures_of(REQUESTS, RUNS, frozenset())
    plot = draw({"second week": figures, "suite": figures})
    assert plot.count("<circle") == 2 * len(RUNS) * 2
    assert all(f">{name}<" in plot for name in (*RUNS, "second week", "suite"))
