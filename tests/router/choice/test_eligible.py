"""Who can answer a request at all, and the reason that is given to whom cannot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidRequest
from contracts.ports import Query
from contracts.records import Decision
from router.choice.eligible import UNKNOWN, Ability, intent_obstacle, obstacle, obstacles
from router.choice.fixed import FixedChoice
from router.choice.options import candidates_of
from router.choice.reading import Reading, read
from tests.router.plain import PlainUpstream, chat, plan, setup_over, whole, works_over


def reading(tokens: int = 100, **needs: bool) -> Reading:
    blank: dict[str, Any] = dict.fromkeys(("images", "audio", "tools", "in_tool_loop", "continues"), False)
    return Reading(
        endpoint="chat/completions", text="Hi", tokens=tokens, settled_tokens=0, session="", **{**blank, **needs}
    )


@pytest.mark.parametrize(
    ("ability", "asked", "why"),
    [
        (Ability(), reading(images=True, audio=True, tools=True, tokens=10**9), ""),
        (Ability(context_tokens=150), reading(), ""),
        (Ability(context_tokens=149), reading(), "about 150 tokens do not fit its context of 149"),
        (Ability(images=False), reading(), ""),
        (Ability(images=False), reading(images=True), "it takes no images"),
        (Ability(audio=False), reading(images=True), ""),
        (Ability(audio=False), reading(audio=True), "it takes no audio"),
        (Ability(tools=False), reading(in_tool_loop=True), ""),
        (Ability(tools=False), reading(tools=True), "it calls no tools"),
        (Ability(refused_tenants=frozenset({"globex"})), reading(), ""),
        (
            Ability(refused_tenants=frozenset({"acme"}), context_tokens=1),
            reading(),
            "the tenant's rules keep its data from this model",
        ),
    ],
)
def test_why_a_model_cannot_take_a_request(ability: Ability, asked: Reading, why: str) -> None:
    assert obstacle(ability, asked, "acme", 50) == why


@pytest.mark.parametrize(
    ("intents", "intent", "able"),
    [
        (None, "billing", True),
        (None, UNKNOWN, True),
        (frozenset({"billing"}), "billing", True),
        (frozenset({"billing"}), "shipping", False),
        (frozenset({"billing"}), UNKNOWN, False),
        (frozenset({UNKNOWN}), UNKNOWN, True),
        (frozenset(), "billing", False),
    ],
)
def test_a_model_made_for_some_intents_answers_no_others(
    intents: frozenset[str] | None, intent: str, able: bool
) -> None:
    why = intent_obstacle(Ability(intents=intents), intent)
    assert (why == "") is able
    assert able or intent in why


def test_one_that_rests_cannot_answer_now() -> None:
    found = obstacles(("a", "b", "c"), {}, reading(), "acme", 0, frozenset({"b"}))
    assert (found["a"], found["c"]) == ("", "")
    assert found["b"]


def test_where_all_that_could_rest_they_count_as_able() -> None:
    blind = Ability(images=False)
    found = obstacles(("a", "b", "c"), {"b": blind}, reading(images=True), "acme", 0, frozenset("abc"))
    assert found == {"a": "", "b": "it takes no images", "c": ""}


def test_where_nobody_could_anyway_each_keeps_its_own_reason() -> None:
    blind = Ability(images=False)
    found = obstacles(("a", "b"), {"a": blind, "b": blind}, reading(images=True), "acme", 0, frozenset("a"))
    assert found == dict.fromkeys("ab", "it takes no images")


class Blind(FixedChoice):
    """A policy none of whose candidates takes images."""

    async def choose(self, query: Query, models: Sequence[str], *, dry: bool = False) -> Decision:
        found = obstacles(models, dict.fromkeys(models, Ability(images=False)), read(query), "acme", 0, frozenset())
        return Decision(
            model=models[0], policy="blind", reason="none", candidates=candidates_of(models, found, first=models[0])
        )


async def test_a_request_that_nobody_can_take_is_refused_with_the_reasons(tmp_path: Path) -> None:
    models = {name: PlainUpstream(name, whole()) for name in ("large", "small")}
    setup = setup_over(models, plan("support", *models, policy=Blind(None)))
    image = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    async with works_over(setup, tmp_path) as works:
        with pytest.raises(InvalidRequest, match=r"large: it takes no images; small: it takes no images"):
            await works.ask({"model": "support", "messages": [{"role": "user", "content": image}]})
        assert [upstream.calls for upstream in models.values()] == [[], []]
        (event,) = works.events
        assert (event.outcome, event.status, event.error) == ("failed", 400, "invalid_request")
        assert event.decision is not None
        await works.ask(chat("support"))
        assert works.events[1].model == "large"


@given(
    st.sets(st.sampled_from("abcd"), min_size=1),
    st.frozensets(st.sampled_from("abcd")),
    st.frozensets(st.sampled_from("abcd")),
)
def test_a_rest_never_leaves_a_request_without_the_models_that_could_answer_it(
    models: set[str], blind: frozenset[str], resting: frozenset[str]
) -> None:
    abilities = {model: Ability(images=model not in blind) for model in models}
    found = obstacles(sorted(models), abilities, reading(images=True), "acme", 0, resting)
    able = {model for model, why in found.items() if not why}
    could = models - blind
    assert able == ((could - resting) or could)
