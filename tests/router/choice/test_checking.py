"""A cheap answer is judged by all that is known of it, and the judgement says by what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import log
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import ServerFault
from contracts.ports import CheckTerms, Draft, Query
from contracts.request import ModelRequest
from heads.checks import HOPELESS, CheckHead
from heads.signals import Signals
from router.choice.checking import Checking, Judged
from router.choice.opinions import Opinions
from router.choice.shelf import Learned
from router.trail import new_request_id
from tests.router.plain import PlainUpstream, Works, chat, plan, setup_over, whole, works_over

QUESTION = "How do I pay for my order?"
ANSWER = "You can pay by card or by invoice."
TERMS = CheckTerms(logprobs=5)


def query(**more: Any) -> Query:
    request = ModelRequest("chat/completions", chat("support", QUESTION, **more))
    return Query(request=request, body=request.raw, tenant="acme", request_id=new_request_id())


def draft(text: str = ANSWER, *, share: float | None = None, **more: Any) -> Draft:
    """An answer whose tokens each had the probability `share`."""
    logprobs = []
    if share is not None:
        listed = [{"token": "a", "logprob": log(share)}, {"token": "b", "logprob": log(1.001 - share)}]
        logprobs = [{"token": word, "logprob": log(share), "top_logprobs": listed} for word in text.split()]
    values: dict[str, Any] = {"whole": True, "finish": "stop", "logprobs": logprobs}
    return Draft(model="small", text=text, **(values | more))


def checking(
    opinions: Opinions | None = None, *, second: str | None = None, votes: int = 0, itself: bool = False
) -> Checking:
    return Checking(TERMS, lambda: opinions, second=second, votes=votes, itself=itself)


async def judged(
    drafted: Draft, asked: Query | None = None, by: Checking | None = None, learned: Learned | None = None
) -> Judged:
    head = learned.check if learned is not None else None
    return await (by or checking()).judge(asked or query(), drafted, head, intent="unknown", forecast=0.5)


@asynccontextmanager
async def asking(folder: Path, *upstreams: PlainUpstream) -> AsyncIterator[tuple[Works, Opinions]]:
    models = {upstream.name: upstream for upstream in upstreams}
    async with works_over(setup_over(models, plan("support", *models)), folder) as works:
        yield works, Opinions(works.pipeline.answer)


async def test_where_nothing_was_learned_a_cautious_guess_judges() -> None:
    got = await judged(draft())
    signals = Signals.of_tokens((), answer=ANSWER, question=QUESTION, finish="stop", forecast_good=0.5)
    assert got.good == CheckHead.default().judge(signals).good
    assert 0.1 < got.good < 0.9


async def test_a_head_that_was_learned_judges_instead() -> None:
    learned = CheckHead.default()
    learned.calibration.values[0, 1] = -3.0
    got = await judged(draft(), learned=Learned(version="v", check=learned))
    assert got.good < (await judged(draft())).good - 0.1
    without = await judged(draft(), learned=Learned(version="v"))
    assert without.good == (await judged(draft())).good


async def test_the_surer_its_tokens_the_better_and_the_figures_are_shown() -> None:
    sure, unsure = await judged(draft(share=0.99)), await judged(draft(share=0.3))
    assert sure.good > unsure.good
    assert set(sure.signals) == {"mean_logp", "entropy", "margin", "lowest", "answer_tokens", "forecast_good"}
    assert sure.signals["mean_logp"] == pytest.approx(log(0.99), abs=1e-4)
    assert unsure.signals["lowest"] == pytest.approx(0.3)
    assert any("token probabilities" in reason for reason in unsure.reasons)


async def test_without_them_only_the_forecast_is_shown() -> None:
    assert (await judged(draft())).signals == {"forecast_good": 0.5}


@pytest.mark.parametrize(
    ("drafted", "than"),
    [
        (draft(finish="length"), draft()),
        (draft("I'm sorry, I cannot help with that."), draft()),
        (draft("the same thing " * 30), draft()),
    ],
    ids=["cut", "refusal", "loop"],
)
async def test_faults_of_form_count_against_it(drafted: Draft, than: Draft) -> None:
    got = await judged(drafted)
    assert got.good < (await judged(than)).good
    assert any(reason.startswith("against it: the answer's form") for reason in got.reasons)


async def test_an_empty_answer_is_hopeless() -> None:
    assert (await judged(draft(""))).good <= HOPELESS


@pytest.mark.parametrize("kind", ["json_object", "json_schema"])
async def test_where_json_was_wanted_anything_else_is_hopeless(kind: str) -> None:
    asked = query(response_format={"type": kind})
    assert (await judged(draft(), asked)).good <= HOPELESS
    assert (await judged(draft('{"pay": "by card"}'), asked)).good > HOPELESS
    assert (await judged(draft(), query(response_format={"type": "text"}))).good > HOPELESS


async def test_the_beginning_of_json_is_not_held_against_it() -> None:
    asked = query(response_format={"type": "json_object"})
    assert (await judged(draft('{"pay": "by', whole=False, finish=""), asked)).good > HOPELESS


async def test_what_calls_a_tool_is_not_judged_by_its_text() -> None:
    calling = draft("", tool_calls=True, finish="tool_calls")
    assert (await judged(calling)).good > HOPELESS
    wanted = query(response_format={"type": "json_object"})
    assert (await judged(calling, wanted)).good > HOPELESS


# --- opinions


async def test_a_second_model_that_agrees_speaks_for_it(tmp_path: Path) -> None:
    other = PlainUpstream("other", whole(ANSWER), whole("Payment is impossible; please ring the warehouse."))
    async with asking(tmp_path, other) as (_, opinions):
        by = checking(opinions, second="other")
        agreed = await judged(draft(), by=by)
        differed = await judged(draft(), query(user="again", temperature=0.5), by)
        assert agreed.signals["second_agrees"] == 1.0
        assert differed.signals["second_agrees"] < 0.5
        assert agreed.good > (await judged(draft())).good > differed.good
        assert "for it: a second opinion" in agreed.reasons
        assert "against it: a second opinion" in differed.reasons


async def test_votes_and_its_own_view_count_too(tmp_path: Path) -> None:
    small = PlainUpstream("small", whole(ANSWER), whole(ANSWER))
    async with asking(tmp_path, small) as (works, opinions):
        got = await judged(draft(), by=checking(opinions, votes=2))
        assert got.signals == {"vote_share": 1.0, "forecast_good": 0.5}
        assert len(works.events) == 2
    itself = PlainUpstream("small", whole("NO"))
    async with asking(tmp_path / "another", itself) as (_, opinions):
        got = await judged(draft(), by=checking(opinions, itself=True))
        assert got.signals == {"forecast_good": 0.5, "self_check": 0.0}


async def test_opinions_that_cannot_be_had_are_left_out(tmp_path: Path) -> None:
    broken = PlainUpstream("small", ServerFault("down"))
    async with asking(tmp_path, broken) as (works, opinions):
        got = await judged(draft(), by=checking(opinions, second="gone", votes=1, itself=True))
        assert got == await judged(draft())
        assert {event.outcome for event in works.events} == {"failed"}


@pytest.mark.parametrize(
    "drafted", [draft(whole=False), draft("", tool_calls=True)], ids=["beginning", "tool call"]
)
async def test_nobody_is_asked_of_a_beginning_or_a_tool_call(tmp_path: Path, drafted: Draft) -> None:
    small = PlainUpstream("small", whole(ANSWER))
    async with asking(tmp_path, small) as (_, opinions):
        await judged(drafted, by=checking(opinions, second="small", votes=2, itself=True))
        assert small.calls == []


# --- anything that a model may send

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["logprob", "top_logprobs", "token"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.lists(json, max_size=4), st.text(max_size=50) | st.just("😀" * 100_000), st.booleans(), st.booleans())
async def test_no_answer_is_too_odd_to_be_judged(logprobs: list[Any], text: str, ended: bool, calls: bool) -> None:
    asked = query(response_format={"type": "json_object"})
    got = await judged(draft(text, logprobs=logprobs, whole=ended, tool_calls=calls), asked)
    assert 0 <= got.good <= 1
    assert all(abs(value) < 100 for value in got.signals.values())
