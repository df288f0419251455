"""The policy that predicts, over heads that were really learned: what it chooses, why, and what it does without."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.ports import Draft
from contracts.records import UsageEvent
from router.choice.aims import FloorAim, KnobAim, ShareAim
from router.choice.eligible import Ability
from router.choice.goals import Bounds
from router.choice.sessions import Sessions
from router.share import ShareController
from tests.router.choice.taught import MODELS, TopicEncoder, choice, everyone, query, teach


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return teach(tmp_path_factory.mktemp("heads"))


COOKING, TIDES, BRAKES = (
    f"About {topic}, question 9-1: what happens next?" for topic in ("cooking", "tides", "brakes")
)
STRANGE = "Quarks, then?"
FLOOR = FloorAim(0.6)


async def test_easy_questions_go_to_the_cheap_model_and_hard_ones_to_the_reference(taught: Path) -> None:
    policy = choice(everyone(taught), FLOOR)
    easy, hard = await policy.choose(query(COOKING), MODELS), await policy.choose(query(BRAKES), MODELS)
    assert (easy.model, easy.outlook, easy.intent) == ("small", "local", "cooking")
    assert (hard.model, hard.outlook, hard.intent) == ("large", "hosted", "brakes")
    assert easy.policy == "learned:test/v1"
    told = {one.model: one for one in easy.candidates}
    assert told["small"].quality == pytest.approx(0.9, abs=0.12)
    assert told["small"].cost is not None and told["large"].cost is not None
    assert told["large"].cost == 10 * told["small"].cost
    assert [one.model for one in hard.candidates] == ["large", "small"]
    assert len(easy.nearest) > 3 and easy.nearest[0].similarity > 0.8
    assert "0.6" in easy.reason and "floor" in hard.otherwise


async def test_what_is_unlike_all_that_was_learned_is_said_to_be(taught: Path) -> None:
    decision = await choice(everyone(taught), FLOOR).choose(query(STRANGE), MODELS)
    assert "guess" in decision.reason
    known = await choice(everyone(taught), FLOOR).choose(query(COOKING), MODELS)
    assert "guess" not in known.reason
    small = next(one for one in decision.candidates if one.model == "small")
    sure = next(one for one in known.candidates if one.model == "small")
    assert small.deviation is not None and sure.deviation is not None
    assert small.deviation > sure.deviation


async def test_without_heads_or_encoder_the_default_model_answers_and_it_is_said(
    taught: Path, tmp_path: Path
) -> None:
    encoder = TopicEncoder()
    encoder.up = False
    for policy, missing in (
        (choice({}, FLOOR), "router"),
        (choice(everyone(tmp_path / "nothing"), FLOOR), "router"),
        (choice(everyone(taught), FLOOR, encoder=encoder), "encoder"),
    ):
        decision = await policy.choose(query(COOKING), MODELS)
        assert (decision.model, decision.degraded, decision.outlook) == ("large", missing, "")
        assert [one.model for one in decision.candidates if one.eligible] == ["large", "small"]


async def test_a_damaged_file_is_a_fault_and_costs_no_answer(tmp_path: Path) -> None:
    folder = teach(tmp_path / "heads")
    (folder / "quality.npz").write_bytes((folder / "quality.npz").read_bytes()[:-100])
    policy = choice(everyone(folder), FLOOR)
    assert (await policy.choose(query(COOKING), MODELS)).degraded == "router"


async def test_heads_of_one_tenant_never_choose_for_another(taught: Path) -> None:
    policy = choice({"acme": taught}, FLOOR)
    assert (await policy.choose(query(COOKING), MODELS)).model == "small"
    other = await policy.choose(query(COOKING, tenant="globex"), MODELS)
    assert (other.model, other.degraded) == ("large", "router")


async def test_tenants_that_learn_together_share_their_heads(taught: Path) -> None:
    policy = choice(everyone(taught), FLOOR, shared=True)
    assert (await policy.choose(query(COOKING, tenant="globex"), MODELS)).model == "small"


@pytest.mark.parametrize(
    ("ability", "body", "why"),
    [
        (Ability(context_tokens=20), {}, "context"),
        (Ability(tools=False), {"tools": [{"type": "function", "function": {"name": "look"}}]}, "tools"),
        (Ability(refused_tenants=frozenset({"acme"})), {}, "rules"),
        (Ability(intents=frozenset({"opera"})), {}, "intent"),
        (
            Ability(images=False),
            {"messages": [{"role": "user", "content": [{"type": "image_url"}, {"type": "text", "text": COOKING}]}]},
            "images",
        ),
    ],
)
async def test_a_model_that_cannot_is_not_asked(
    taught: Path, ability: Ability, body: dict[str, Any], why: str
) -> None:
    policy = choice(everyone(taught), FLOOR, abilities={"small": ability})
    decision = await policy.choose(query(COOKING, **body), MODELS)
    assert decision.model == "large"
    small = next(one for one in decision.candidates if one.model == "small")
    assert not small.eligible and why in small.reason


async def test_a_student_answers_what_it_was_taught_and_nothing_unknown(taught: Path) -> None:
    policy = choice(everyone(taught), FLOOR, abilities={"small": Ability(intents=frozenset({"cooking"}))})
    assert (await policy.choose(query(COOKING), MODELS)).model == "small"
    strange = await policy.choose(query(STRANGE), MODELS)
    assert (strange.model, strange.intent) == ("large", "unknown")


async def test_a_model_that_rests_stands_back(taught: Path) -> None:
    policy = choice(everyone(taught), FLOOR)
    decision = await policy.choose(query(COOKING, resting=frozenset({"small"})), MODELS)
    assert decision.model == "large"


async def test_no_request_costs_more_than_it_may(taught: Path) -> None:
    policy = choice(everyone(taught), KnobAim(1.0), bounds=Bounds(max_cost=0.001))
    decision = await policy.choose(query(BRAKES), MODELS)
    assert decision.model == "small"
    assert "more than" in next(one for one in decision.candidates if one.model == "large").reason


async def test_a_share_is_held_over_real_forecasts(taught: Path) -> None:
    policy, draw = choice(everyone(taught), ShareAim(ShareController(0.3))), random.Random(4)
    chosen = []
    for number in range(300):
        topic = draw.choice(("cooking", "tides", "opera", "brakes"))
        chosen.append(
            (
                topic,
                (
                    await policy.choose(query(f"About {topic}, question 3-{number}: what happens next?"), MODELS)
                ).model,
            )
        )
    large = [topic for topic, model in chosen if model == "large"]
    assert len(large) / 300 == pytest.approx(0.3, abs=0.03)
    assert large.count("brakes") > 60 and large.count("cooking") < 5


async def test_a_share_begins_with_what_was_usual_in_training(taught: Path) -> None:
    for text, model in ((COOKING, "small"), (BRAKES, "large")):  # each the first request of a Weir
        policy = choice(everyone(taught), ShareAim(ShareController(0.3)))
        assert (await policy.choose(query(text), MODELS)).model == model


async def test_a_preview_changes_nothing(taught: Path) -> None:
    controller = ShareController(0.3)
    policy = choice(everyone(taught), ShareAim(controller), explore=0.5)
    for _ in range(5):
        await policy.choose(query(COOKING), MODELS)
    before = (controller.owed, controller.threshold())
    first = [await policy.choose(query(BRAKES), MODELS, dry=True) for _ in range(20)]
    assert (controller.owed, controller.threshold()) == before
    assert {one.model for one in first} == {first[0].model}


async def test_lots_are_drawn_as_often_as_was_asked_and_the_log_knows_it(taught: Path) -> None:
    policy = choice(everyone(taught), FLOOR, explore=0.4)
    decisions = [await policy.choose(query(COOKING), MODELS) for _ in range(400)]
    large = sum(one.model == "large" for one in decisions) / 400
    assert large == pytest.approx(0.2, abs=0.07)
    for one in decisions:
        told = {each.model: each.propensity for each in one.candidates}
        assert told == {"small": pytest.approx(0.8), "large": pytest.approx(0.2)}


def turns(*said: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"role": role, "content": text} for role, text in said]


def answered(model: str, **more: Any) -> UsageEvent:
    from datetime import UTC, datetime

    from contracts.records import Decision

    return UsageEvent(
        request_id="req_1",
        at=datetime.now(UTC),
        tenant="acme",
        key_id="k",
        route="auto",
        endpoint="chat/completions",
        requested_model="auto",
        model=model,
        decision=Decision(model=model, policy="p", reason="r"),
        **more,
    )


async def test_a_conversation_stays_with_its_model_unless_leaving_is_worth_it(taught: Path, tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "sessions")
    policy = choice(everyone(taught), KnobAim(0.6), sessions=sessions)
    first = query(TIDES)
    assert (await policy.choose(first, MODELS)).model == "small"  # its loss is worth just too little
    policy.settled(first, answered("large"))
    said = turns(("user", TIDES), ("assistant", "At noon."), ("user", TIDES.replace("9-1", "9-2")))
    more = query("", messages=said)
    stays = await policy.choose(more, MODELS)
    other = await choice(everyone(taught), KnobAim(0.6)).choose(more, MODELS)
    assert (stays.model, other.model) == ("large", "small")
    assert "staying" in stays.reason
    hard = query("", messages=[*said[:2], {"role": "user", "content": BRAKES}])
    policy.settled(first, answered("small"))
    leaves = await policy.choose(hard, MODELS)
    assert leaves.model == "large" and "leaving small" in leaves.reason
    sessions.close()


async def test_a_tool_loop_is_never_split(taught: Path, tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "sessions")
    policy = choice(everyone(taught), FLOOR, sessions=sessions)
    first = query(BRAKES)
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "look"}}]}
    loop = query(
        "", messages=[*first.body["messages"], call, {"role": "tool", "tool_call_id": "c", "content": "42"}]
    )
    unknown = await policy.choose(loop, MODELS)
    assert unknown.model == "large" and "not known" in unknown.reason
    policy.settled(first, answered("small"))
    kept = await policy.choose(loop, MODELS)
    assert kept.model == "small" and "tool loop" in kept.reason
    sessions.close()


async def test_what_is_unsure_is_checked_and_escalated_by_the_goal(taught: Path) -> None:
    policy = choice(everyone(taught), FloorAim(0.7), check=True, sureness=3.0)
    asked = query(TIDES)
    decision = await policy.choose(asked, MODELS)
    assert (decision.model, decision.outlook) == ("small", "unsure")
    assert [one.model for one in decision.candidates] == ["small", "large"]
    sure = [{"token": "a", "logprob": -0.01, "top_logprobs": []}] * 20
    unsure = [{"token": "a", "logprob": -3.0, "top_logprobs": []}] * 20
    good = await policy.review(
        asked, decision, Draft(model="small", text="At noon, and at midnight.", whole=True, logprobs=sure)
    )
    bad = await policy.review(
        asked, decision, Draft(model="small", text="I am not sure.", whole=True, logprobs=unsure)
    )
    assert good.check is not None and bad.check is not None
    assert good.check.good > bad.check.good
    assert bad.check.escalated and bad.check.needed == 0.7
    assert bad.check.signals["mean_logp"] == -3.0
    assert bad.check.reasons


async def test_several_answers_at_once_are_not_checked(taught: Path) -> None:
    policy = choice(everyone(taught), FloorAim(0.7), check=True, sureness=3.0)
    decision = await policy.choose(query(TIDES, n=2), MODELS)
    assert decision.outlook != "unsure"


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(
        st.text(max_size=300),
        st.sampled_from(["", " ", "😀" * 3000, "x" * 100_000, "привет мир", "\ud800", "\0", "a\n" * 40_000]),
    )
)
async def test_no_text_is_too_odd_to_be_decided(text: str) -> None:
    decision = await _any().choose(query(text), MODELS)
    assert decision.model in MODELS


_KNOWN: list[Any] = []


def _any() -> Any:
    if not _KNOWN:
        from tempfile import mkdtemp

        _KNOWN.append(choice(everyone(teach(Path(mkdtemp()))), FLOOR))
    return _KNOWN[0]


async def test_staying_counts_for_the_choice_and_not_as_quality(taught: Path, tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "sessions")
    policy = choice(everyone(taught), KnobAim(0.6), sessions=sessions, stay=0.3)
    first = query(TIDES)
    alone = await policy.choose(first, MODELS)
    policy.settled(first, answered("large"))
    said = turns(("user", TIDES), ("assistant", "At noon."), ("user", TIDES))
    later = await policy.choose(query("", messages=said), MODELS)
    assert (alone.model, later.model) == ("small", "large")
    assert {one.model: one.quality for one in alone.candidates} == {
        one.model: one.quality for one in later.candidates
    }
    sessions.close()
