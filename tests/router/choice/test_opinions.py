"""Second opinions are asked of models through the whole pipeline, and their tenant pays for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ServerFault
from contracts.money import ZERO
from contracts.ports import Query
from contracts.request import ModelRequest
from prompts.prompt import BookedPrompt
from router.choice.opinions import Opinions, yes_in
from router.trail import new_request_id
from tests.router.plain import PlainUpstream, Works, chat, plan, setup_over, whole, works_over

LONG = "x" * 100_000


@asynccontextmanager
async def asking(folder: Path, *upstreams: PlainUpstream) -> AsyncIterator[tuple[Works, Opinions]]:
    """Upstreams each with a model of its name, all candidates of the route `support`."""
    models = {upstream.name: upstream for upstream in upstreams}
    setup = setup_over(models, plan("support", *models, prompt=BookedPrompt.plain("Be brief.", "prepend").filled()))
    async with works_over(setup, folder) as works:
        yield works, Opinions(works.pipeline.answer)


def query(text: str = "How do I pay?", tenant: str = "acme", **more: Any) -> Query:
    request = ModelRequest("chat/completions", chat("support", text, **more))
    body = BookedPrompt.plain("Be brief.", "prepend").filled().apply(request.raw, request.endpoint)
    return Query(request=request, body=body, tenant=tenant, request_id=new_request_id())


# --- another model's answer


async def test_another_model_is_asked_the_same_at_the_tenants_cost(tmp_path: Path) -> None:
    other = PlainUpstream("other", whole("By card."))
    async with asking(tmp_path, other) as (works, opinions):
        asked = query(
            stream=True, stream_options={"include_usage": True}, n=1, logprobs=True, top_logprobs=3, seed=7
        )
        assert await opinions.another(asked, "other") == "By card."
        (call,) = other.calls
        wanted = {"model": "other", "messages": asked.body["messages"], "seed": 7}
        assert call.body == wanted
        assert [turn["role"] for turn in call.body["messages"]] == ["system", "user"]
        (event,) = works.events
        assert (event.purpose, event.tenant, event.key_id) == ("check", "acme", "weir/check")
        assert (event.model, event.requested_model, event.outcome) == ("other", "other", "answered")
        assert event.cost > ZERO


async def test_the_same_question_is_paid_for_once(tmp_path: Path) -> None:
    other = PlainUpstream("other", whole("By card."))
    async with asking(tmp_path, other) as (works, opinions):
        for _ in range(2):
            assert await opinions.another(query(), "other") == "By card."
        assert len(other.calls) == 1
        assert [event.cost > ZERO for event in works.events] == [True, False]


async def test_one_tenants_opinion_is_not_anothers(tmp_path: Path) -> None:
    other = PlainUpstream("other", whole("By card."))
    async with asking(tmp_path, other) as (works, opinions):
        for tenant in ("acme", "globex"):
            await opinions.another(query(tenant=tenant), "other")
        assert len(other.calls) == 2
        assert [event.tenant for event in works.events] == ["acme", "globex"]


async def test_an_opinion_that_cannot_be_had_is_none(tmp_path: Path) -> None:
    broken = PlainUpstream("broken", ServerFault("down"))
    async with asking(tmp_path, broken) as (works, opinions):
        assert await opinions.another(query(), "broken") is None
        assert await opinions.another(query(), "nowhere") is None
        assert await opinions.of_itself(query(), "broken", "How?", "So.") is None
        assert await opinions.votes(query(), "broken", 2) == []
        assert {(event.outcome, event.purpose) for event in works.events} == {("failed", "check")}


# --- votes


async def test_votes_are_new_samples_each_time(tmp_path: Path) -> None:
    small = PlainUpstream("small", whole("one"), whole("two"), whole("three"))
    async with asking(tmp_path, small) as (works, opinions):
        votes = await opinions.votes(query(seed=7, stream=True), "small", 3)
        assert sorted(votes) == ["one", "three", "two"]
        assert [call.body["temperature"] for call in small.calls] == [0.7] * 3
        assert not any("seed" in call.body or "stream" in call.body for call in small.calls)
        assert [event.cost > ZERO for event in works.events] == [True] * 3
        assert len(works.cache) == 0


@pytest.mark.parametrize(("asked", "warm"), [(None, 0.7), (0, 0.7), (0.2, 0.7), (1.3, 1.3)])
async def test_they_are_drawn_no_colder_than_they_differ(tmp_path: Path, asked: float | None, warm: float) -> None:
    small = PlainUpstream("small", whole())
    async with asking(tmp_path, small) as (_, opinions):
        await opinions.votes(query(temperature=asked), "small", 1)
        assert small.calls[0].body["temperature"] == warm


async def test_those_that_fail_are_left_out(tmp_path: Path) -> None:
    small = PlainUpstream("small", ServerFault("down"), ServerFault("down"), whole("one"))
    async with asking(tmp_path, small) as (_, opinions):
        assert set(await opinions.votes(query(), "small", 2)) == {"one"}


# --- its own view


def logged(*listed: tuple[str, float], text: str = "") -> dict[str, Any]:
    top = [{"token": token, "logprob": logprob} for token, logprob in listed]
    return {"choices": [{"message": {"content": text}, "logprobs": {"content": [{"top_logprobs": top}]}}]}


async def test_a_model_is_shown_question_and_answer(tmp_path: Path) -> None:
    small = PlainUpstream("small", whole("YES"))
    async with asking(tmp_path, small) as (works, opinions):
        assert await opinions.of_itself(query(), "small", "How?" + LONG, "So." + LONG) == 1.0
        (call,) = small.calls
        shown = orjson.loads(call.body["messages"][1]["content"])
        assert (shown["question"][:4], shown["answer"][:3]) == ("How?", "So.")
        assert max(map(len, shown.values())) == 8_000
        assert (call.body["temperature"], call.body["logprobs"]) == (0, True)
        assert [event.purpose for event in works.events] == ["check"]


@pytest.mark.parametrize(
    ("data", "probability"),
    [
        (logged(("YES", -0.105361), ("NO", -2.302585)), 0.9),
        (logged((" yes", -1.386294), ("Yes", -1.386294), ("no", -0.693147)), 0.5),
        (logged(("NO", 0.0)), 0.0),
        (logged(("YES", -0.5)), 1.0),
        (logged(("Maybe", -0.1), ("YES", -3.0)), 1.0),
        (logged(("Maybe", -0.1), text="NO"), 0.0),
        (logged(("YES", 0.5), ("NO", float("nan")), text="yes."), 1.0),
        (logged(("YES", -1e9), text="No"), 0.0),
    ],
)
def test_the_probability_is_that_of_yes_against_no(data: dict[str, Any], probability: float) -> None:
    assert yes_in(data) == pytest.approx(probability, abs=1e-4)


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("YES", 1.0),
        ("Yes, it is correct.", 1.0),
        ("no", 0.0),
        ("No. It is not.", 0.0),
        ("I do not know", None),
        ("Nothing says so yesterday", None),
        ("YES or NO?", None),
        ("", None),
        ("Oui", None),
        (LONG + " yes", None),
    ],
)
def test_without_probabilities_the_word_counts(said: str, means: float | None) -> None:
    assert yes_in({"choices": [{"message": {"content": said}}]}) == means


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"choices": None},
        {"choices": [None]},
        {"choices": [{"logprobs": 3}]},
        {"choices": [{"logprobs": {"content": "x"}}]},
        {"choices": [{"logprobs": {"content": [None]}}]},
        {"choices": [{"logprobs": {"content": [{"top_logprobs": 3}]}}]},
        {"choices": [{"logprobs": {"content": [{"top_logprobs": [{"token": "YES", "logprob": "x"}]}]}}]},
        {"choices": [{"message": {"content": 3}}]},
    ],
)
def test_an_odd_shape_says_nothing(data: dict[str, Any]) -> None:
    assert yes_in(data) is None


@given(st.lists(st.tuples(st.sampled_from(["yes", " NO", "YES", "x"]), st.floats(allow_nan=True)), max_size=6))
def test_a_probability_is_one(listed: list[tuple[str, float]]) -> None:
    found = yes_in(logged(*listed))
    assert found is None or 0 <= found <= 1
