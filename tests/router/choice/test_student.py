"""What a route's student is given to answer, and what becomes of its answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from contracts.ports import CheckTerms, Draft
from contracts.students import INTENTS
from router.choice.checking import Checking
from router.choice.eligible import Ability
from router.choice.student import NO_ENCODER, NO_STUDENT, StudentChoice, StudentTerms
from router.choice.student_shelf import read_student_heads
from router.upstreams.student import Serving
from tests.distill.planted import TOPICS, topic_axes
from tests.router.choice.taught import TopicEncoder, query
from tests.students import student, write_intents, write_student

MODELS = ("small", "large", "other")
COOKING, TIDES = "About cooking, what happens next?", "About tides, what happens next?"
SURE = [{"token": "yes", "logprob": -0.01, "top_logprobs": [{"token": "yes", "logprob": -0.01}]}] * 5


class Held:
    """What the upstream of the student serves just now."""

    def __init__(self, serving: Serving | None, *, withdrawn: bool = False) -> None:
        self.serving = serving
        self.withdrawn = withdrawn


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("student")
    axes = topic_axes()[: len(TOPICS)].astype(np.float32)
    return write_student(folder, write_intents(folder / INTENTS, TOPICS, axes))


def serving(folder: Path, version: str = "v1", **changed: Any) -> Serving:
    made = student(**changed)
    return Serving(version, made, read_student_heads(folder, made))


def choice(
    held: Held, *, encoder: TopicEncoder | None = None, abilities: Mapping[str, Ability] | None = None
) -> StudentChoice:
    checking = Checking(CheckTerms(logprobs=2), lambda: None, second=None, votes=0, itself=False)
    terms = StudentTerms(version="student:test", student="small", abilities=abilities or {})
    return StudentChoice(terms, upstream=held, encoder=encoder or TopicEncoder(), checking=checking)


async def test_an_intent_that_it_may_answer_goes_to_it_first_and_is_checked(folder: Path) -> None:
    decision = await choice(Held(serving(folder))).choose(query(COOKING), MODELS)
    assert (decision.model, decision.outlook, decision.degraded) == ("small", "unsure", "")
    assert decision.intent == "cooking"
    assert decision.intent_probability is not None and decision.intent_probability > 0.5
    assert decision.policy == "student:test/v1"
    assert [each.model for each in decision.candidates] == ["small", "large", "other"]
    assert all(each.eligible for each in decision.candidates)


@pytest.mark.parametrize(
    ("text", "intent"),
    [(TIDES, "tides"), ("What is the capital of Mongolia?", "unknown")],
    ids=["other", "unknown"],
)
async def test_any_other_intent_is_kept_from_it(folder: Path, text: str, intent: str) -> None:
    decision = await choice(Held(serving(folder))).choose(query(text), MODELS)
    assert (decision.model, decision.intent, decision.degraded) == ("large", intent, "")
    assert decision.candidates[-1].model == "small"
    assert not decision.candidates[-1].eligible, "it does not stand by either"


FORM = {"response_format": {"type": "json_object"}}
TOLD = [{"role": "system", "content": COOKING}]
TURNS = [{"role": "user", "content": COOKING}, {"role": "assistant", "content": "So."}]


@pytest.mark.parametrize(
    ("body", "changed", "why"),
    [
        pytest.param({"tools": [{"type": "function"}]}, {}, "no tools", id="tools"),
        pytest.param({"n": 2}, {}, "one answer", id="several answers"),
        pytest.param(FORM, {}, "a form", id="JSON"),
        pytest.param({"structured_outputs": {"choice": ["a"]}}, {}, "a form", id="structured outputs"),
        pytest.param({"guided_choice": ["a"]}, {}, "a form", id="an old field"),
        pytest.param({"json_schema": {}, "grammar": "root"}, {}, "a form", id="a form of llama.cpp's"),
        pytest.param({"logprobs": True}, {}, "nothing else", id="probabilities"),
        pytest.param({"logit_bias": {"7": -100}}, {}, "nothing else", id="banned tokens"),
        pytest.param({"messages": TOLD}, {}, "no user", id="instructions alone"),
        pytest.param({"messages": TURNS}, {"turns": 2}, "no user", id="an answer to go on with"),
        pytest.param({}, {"most_tokens": 3}, "no room in the 3", id="too long a question"),
        pytest.param({}, {"owner": "globex"}, "another tenant's", id="another tenant"),
        pytest.param({"messages": [*TURNS, TURNS[0]]}, {}, "1 turn", id="a later turn"),
        pytest.param({"messages": [*TURNS, *TURNS, TURNS[0]]}, {"turns": 2}, "2 turns", id="a third turn of two"),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, {}, "text only", id="a picture"
        ),
    ],
)
async def test_what_it_was_not_taught_is_kept_from_it(
    folder: Path, body: Mapping[str, Any], changed: Mapping[str, Any], why: str
) -> None:
    asked = query(COOKING, **body)
    decision = await choice(Held(serving(folder, **changed))).choose(asked, MODELS)
    assert (decision.model, decision.degraded) == ("large", "")
    assert why in decision.reason
    assert not decision.candidates[-1].eligible


async def test_what_is_to_be_answered_from_documents_is_kept_from_it(folder: Path) -> None:
    asked = replace(query(COOKING), grounded=True)
    decision = await choice(Held(serving(folder))).choose(asked, MODELS)
    assert (decision.model, decision.degraded) == ("large", "")
    assert "passages" in decision.reason


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        pytest.param({"messages": [{"role": "system", "content": "x" * 4000}, TURNS[0]]}, {}, id="instructions"),
        pytest.param({"messages": [*TURNS, TURNS[0]]}, {"turns": 2}, id="a second turn of two"),
        pytest.param({"response_format": {"type": "text"}, "temperature": 1.5}, {}, id="plain text, not greedy"),
        pytest.param({}, {"owner": "acme"}, id="its owner"),
    ],
)
async def test_what_it_can_take_is_not_kept_from_it(
    folder: Path, body: Mapping[str, Any], changed: Mapping[str, Any]
) -> None:
    decision = await choice(Held(serving(folder, **changed))).choose(query(COOKING, **body), MODELS)
    assert decision.model == "small", decision.reason


async def test_what_is_missing_costs_the_student_and_not_the_answer(folder: Path) -> None:
    down = TopicEncoder()
    down.up = False
    for policy, missing in (
        (choice(Held(None)), NO_STUDENT),
        (choice(Held(serving(folder)), encoder=down), NO_ENCODER),
        (choice(Held(serving(folder, encoder="topics-2"))), NO_ENCODER),
    ):
        decision = await policy.choose(query(COOKING), MODELS)
        assert (decision.model, decision.degraded, decision.policy) == ("large", missing, "default")
        assert [each.eligible for each in decision.candidates] == [True, True, False]


async def test_a_student_that_was_withdrawn_is_left_out_and_nothing_is_missing(folder: Path) -> None:
    decision = await choice(Held(None, withdrawn=True)).choose(query(COOKING), MODELS)
    assert (decision.model, decision.degraded, decision.reason) == ("large", "", "no student is promoted")
    assert [each.eligible for each in decision.candidates] == [True, True, False]


async def test_the_first_that_can_answers_in_its_place(folder: Path) -> None:
    abilities = {"large": Ability(refused_tenants=("acme",))}
    decision = await choice(Held(serving(folder)), abilities=abilities).choose(query(TIDES), MODELS)
    assert [each.model for each in decision.candidates if each.eligible] == ["other"]
    kept = await choice(Held(serving(folder)), abilities={"small": Ability(refused_tenants=("acme",))}).choose(
        query(COOKING), MODELS
    )
    assert (kept.model, kept.reason) == ("large", "the tenant's rules keep its data from this model")


@pytest.mark.parametrize(("least_good", "escalated"), [(0.0, False), (1.0, True)])
async def test_its_answer_is_delivered_where_it_is_good_enough(
    folder: Path, least_good: float, escalated: bool
) -> None:
    policy = choice(Held(serving(folder, least_good=least_good)))
    decision = await policy.choose(query(COOKING), MODELS)
    draft = Draft(model="small", text="Next you stir.", whole=True, finish="stop", logprobs=SURE)
    check = (await policy.review(query(COOKING), decision, draft)).check
    assert check is not None
    assert (check.model, check.needed, check.escalated) == ("small", least_good, escalated)
    assert 0 < check.good < 1
    assert check.signals["mean_logp"] == -0.01


@pytest.mark.parametrize(
    ("limit", "escalated"),
    [({}, True), ({"max_tokens": 5}, False), ({"max_tokens": 1000}, True)],
    ids=["none", "its own", "one beyond the student's"],
)
async def test_an_answer_that_ends_nowhere_is_delivered_only_to_who_wanted_no_more(
    folder: Path, limit: Mapping[str, Any], escalated: bool
) -> None:
    policy, asked = choice(Held(serving(folder))), query(COOKING, **limit)
    decision = await policy.choose(asked, MODELS)
    draft = Draft(model="small", text="Next you stir and", whole=True, finish="length", logprobs=SURE)
    check = (await policy.review(asked, decision, draft)).check
    assert check is not None and check.escalated is escalated


async def test_an_answer_of_a_version_that_has_gone_is_not_measured_by_the_next(folder: Path) -> None:
    held = Held(serving(folder))
    policy = choice(held)
    decision = await policy.choose(query(COOKING), MODELS)
    draft = Draft(model="small", text="Next you stir.", whole=True, logprobs=SURE)
    for after in (serving(folder, "v2"), None):
        held.serving = after
        check = (await policy.review(query(COOKING), decision, draft)).check
        assert check is not None and check.escalated


def test_heads_that_do_not_know_an_intent_of_the_student_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="does not know weaving"):
        read_student_heads(folder, student(intents=("cooking", "weaving")))
