"""Heads that a route chooses by, and what is learned beside the requests, are read when somebody looks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from router.choice.opinions import Opinions
from router.choice.parts import ChoiceParts, Place
from router.choice.shelf import HeadShelf
from router.choice_metrics import wire_choice
from router.exchange import Incoming, Reply
from router.judging import ModelJudge
from router.learning.lessons import Lessons
from router.learning.notebook import Notebook
from router.metrics import Metrics
from tests.router.choice.taught import teach

COUNTERS = ("weir_shadow_calls", "weir_shadow_skipped", "weir_lessons_written", "weir_lessons_dropped")


def samples(metrics: Metrics) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in metrics.page().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines if "_created" not in name}


async def nobody(incoming: Incoming) -> Reply:
    raise AssertionError(incoming)


def lessons_in(folder: Path) -> Lessons:
    return Lessons(Notebook(folder), Opinions(nobody), lambda name: ModelJudge(name, nobody))


def shelf(places: Mapping[str, Path]) -> HeadShelf:
    return HeadShelf(lambda: {owner: Place(folder, "v1") for owner, folder in places.items()}, "topics-1")


def test_sets_of_heads_and_those_that_cannot_be_read_are_counted_by_route(tmp_path: Path) -> None:
    good = teach(tmp_path / "good")
    parts = ChoiceParts(encoder=None, sessions=None)
    parts.shelves["auto"] = shelf({"acme": good, "globex": good, "initech": tmp_path / "nothing"})
    parts.shelves["faq"] = shelf({})
    metrics = Metrics()
    wire_choice(metrics, parts, lambda: None)
    assert samples(metrics)['weir_router_heads{route="auto"}'] == 0
    parts.refresh()
    found = samples(metrics)
    assert {name: value for name, value in found.items() if "router" in name} == {
        'weir_router_heads{route="auto"}': 2,
        'weir_router_heads{route="faq"}': 0,
        'weir_router_unreadable{route="auto"}': 1,
        'weir_router_unreadable{route="faq"}': 0,
    }


@pytest.mark.parametrize("name", COUNTERS)
def test_before_there_are_lessons_nothing_was_learned(name: str) -> None:
    metrics = Metrics()
    wire_choice(metrics, ChoiceParts(encoder=None, sessions=None), lambda: None)
    assert samples(metrics)[f"{name}_total"] == 0


def test_lessons_are_counted(tmp_path: Path) -> None:
    metrics, lessons = Metrics(), lessons_in(tmp_path)
    wire_choice(metrics, ChoiceParts(encoder=None, sessions=None), lambda: lessons)
    lessons.shadowed, lessons.errands.skipped = 3, 5
    lessons.notebook.note("acme", {}, max_bytes=1000)
    lessons.notebook.flush()
    lessons.notebook.note("x" * 300, {}, max_bytes=1000)  # too long a name for a file
    lessons.notebook.flush()
    found = samples(metrics)
    assert [found[f"{name}_total"] for name in COUNTERS] == [3, 5, 1, 1]
