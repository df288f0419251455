"""A student as a client meets it: promoted, kept to its intents, doubted, replaced and killed under load."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from functools import partial

import pytest

from tests.e2e.promoting import HOURS, Promoting, configured, numbers
from tests.e2e.running import eventually as soon
from tests.e2e.running import running_weir

pytest.importorskip("xllamacpp")
pytest.importorskip("onnxruntime")

eventually = partial(soon, seconds=60)
"""Engines start beside the load, and beside other tests."""
pytestmark = pytest.mark.gguf
RETURNS = "How do I send a jacket back?"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Promoting]:
    folder = tmp_path_factory.mktemp("student")
    config = configured(folder, {"kind": "gguf", "context": 512})
    with running_weir(config, folder / "state") as weir:
        eventually(lambda: "weir_encoder_up 1.0" in str(weir.get("/metrics", weir.admin_key)[1]))
        yield Promoting(weir, folder)


@pytest.fixture
def sure(running: Promoting) -> Promoting:
    """With a student in force whose answers are always good enough."""
    running.promote("sure")
    eventually(lambda: running.answers("small"))
    return running


def test_before_a_promotion_the_large_model_answers_and_says_what_is_missing(running: Promoting) -> None:
    assert running.engine() == []
    _, headers = running.ask()
    assert (headers["x-weir-model"], headers["x-weir-degraded"]) == ("large", "student")
    assert 'weir_degraded_total{part="student"}' in str(running.weir.get("/metrics", running.weir.admin_key)[1])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_it_answers_the_intents_of_its_gate_and_no_others(sure: Promoting, stream: bool) -> None:
    said, headers = sure.ask(stream=stream)
    assert said
    assert (headers["x-weir-model"], headers["x-weir-intent"]) == ("small", "hours")
    told = sure.weir.decision(headers["x-weir-request-id"])["decision"]
    assert (told["check"]["needed"], told["check"]["escalated"]) == (0.0, False)
    assert told["check"]["signals"]["mean_logp"] < 0
    _, headers = sure.ask(f"{RETURNS} {next(numbers)}", stream=stream)
    assert (headers["x-weir-model"], headers["x-weir-intent"]) == ("large", "unknown")
    assert "x-weir-degraded" not in headers
    config = str(sure.weir.config)
    explained = sure.weir.weir("route", "explain", HOURS, "--base-url", sure.weir.url, "--config", config)
    assert "small" in explained


def test_named_directly_it_is_a_model_as_any_other(sure: Promoting) -> None:
    said, headers = sure.ask(RETURNS, model="small")
    assert said and headers["x-weir-model"] == "small"


def test_a_promotion_fails_no_request_and_ends_the_life_of_cached_answers(sure: Promoting) -> None:
    def doubted() -> None:
        sure.promote("unsure", least_good=1.0, seed=1)
        eventually(lambda: sure.answers("large"))

    sure.ask(HOURS)
    assert sure.ask(HOURS)[1]["x-weir-cache"] == "exact"
    assert asyncio.run(sure.under_load(doubted)) == {"small", "large"}
    assert sure.ask(HOURS)[1]["x-weir-cache"] == "miss"
    eventually(lambda: len(sure.engine()) == 1)
    for stream in (False, True):
        _, headers = sure.ask(stream=stream)
        told = sure.weir.decision(headers["x-weir-request-id"])
        assert headers["x-weir-model"] == "large"
        assert told["decision"]["check"]["escalated"]
        assert [attempt["model"] for attempt in told["attempts"]] == ["small", "large"]


def test_withdrawn_under_load_the_large_model_answers_and_nothing_counts_as_missing(sure: Promoting) -> None:
    def withdrawn() -> None:
        sure.withdraw()
        eventually(lambda: sure.answers("large"))

    sure.ask(HOURS)
    assert asyncio.run(sure.under_load(withdrawn)) == {"small", "large"}
    _, headers = sure.ask(HOURS)
    assert (headers["x-weir-model"], headers["x-weir-cache"]) == ("large", "miss"), "nobody gets what it said"
    assert "x-weir-degraded" not in headers
    eventually(lambda: not sure.engine())
    page = str(sure.weir.get("/metrics", sure.weir.admin_key)[1])
    assert 'weir_student_in_force{upstream="pupil",version=""} 0.0' in page
    sure.promote("sure")
    eventually(lambda: sure.answers("small"))


def test_one_that_cannot_be_started_leaves_the_old_one_in_force(sure: Promoting) -> None:
    eventually(lambda: len(sure.engine()) == 1)  # the one before has no request any more
    (engine,) = sure.engine()
    sure.promote("broken")
    for _ in range(40):  # meanwhile it is looked for several times
        assert sure.answers("small")
    assert engine in sure.engine()


def test_its_engine_killed_under_load_the_large_model_answers_until_it_is_back(sure: Promoting) -> None:
    def killed() -> None:
        eventually(lambda: len(sure.engine()) == 1)  # that of a version which cannot serve ends soon
        os.kill(sure.engine()[0], signal.SIGKILL)
        eventually(lambda: sure.answers("large"))
        eventually(lambda: sure.answers("small"))

    assert asyncio.run(sure.under_load(killed)) == {"small", "large"}
