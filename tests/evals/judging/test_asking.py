"""What a judge is asked, how its replies are read, and that it stays the one it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from evals.cases import Case
from evals.judging.asking import Choice, JudgeModel, JudgeSettings, read_decision, rubric_of, shown
from evals.judging.families import SameFamily
from evals.records import Answer
from evals.scorers.port import Instruments
from evals.targets.port import TargetFailure

PASS = Choice(field="pass", values=(True, False))
BETTER = Choice(field="better", values=("first", "second", "tie"))
GOOD = '{"reason": "It is right.", "pass": true}'


class Replies:
    """Answers what it was given, in turn, the last one for ever, and keeps what it was asked."""

    def __init__(
        self, *replies: str, models: tuple[str, ...] = ("claude-9-2026-01-01",), finish: str = "stop"
    ) -> None:
        self.replies, self.models, self.finish = replies, models, finish
        self.asked: list[Mapping[str, Any]] = []

    async def __call__(self, body: Mapping[str, Any]) -> Answer:
        at = len(self.asked)
        self.asked.append(body)
        return Answer(
            text=self.replies[min(at, len(self.replies) - 1)],
            model=self.models[min(at, len(self.models) - 1)],
            finish=self.finish,
            cost=Decimal("0.01"),
        )


def nothing(_: Any) -> Any:
    raise AssertionError("no vectors are needed")


def judge_of(replies: Replies, candidate: str = "", **settings: Any) -> JudgeModel:
    said = JudgeSettings(kind="judge", model="claude-9", **settings)
    return JudgeModel(said, Instruments(ask=replies, encode=nothing, candidate=candidate))


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        (GOOD, True),
        ('{"reason": "", "pass": false}', False),
        ('```json\n{"reason": "x", "pass": true}\n```', True),
        ('I think that\n{"reason": "two\nlines", "pass": false}\nThat is all.', False),
        ('{"pass": "FAIL"}', False),
        ("PASS", True),
        ("**Fail**", False),
        ("```\nPASS\n```", True),
        ("**PASS**: it names the price", True),
        ("Verdict: PASS", True),
        ("The answer names no price.\n\nFAIL.", False),
        ("PASS - it names the price", True),
        ("FAIL: it names no price\nIt should have.", False),
        ("", None),
        ("   \n", None),
        ("It does not pass.", None),
        ("It passes in part and fails in part", None),
        ("PASS\nNo, wait.\nFAIL", None),
        ('{"pass": true} {"pass": false}', None),
        ('{"pass": null}', None),
        ('{"pass": 1}', None),
        ('{"reason": "cut off', None),
        ("[" * 100_000, None),
        ('{"a":' * 100_000, None),
        ("Passau is a town", None),
        ("PASS or FAIL? Hard to say", None),
    ],
)
def test_a_reply_is_read_whatever_is_around_it(reply: str, value: bool | None) -> None:
    found = read_decision(reply, PASS)
    assert (found[0] if found else None) is value


def test_a_verdict_inside_a_quotation_does_not_count() -> None:
    reply = json.dumps({"reason": 'it says {"pass": true}', "pass": False})
    assert read_decision(reply, PASS) == (False, 'it says {"pass": true}')


@pytest.mark.parametrize(
    ("reply", "value"),
    [('{"reason": "r", "better": "Second"}', "second"), ("Tie", "tie"), ('{"better": "third"}', None), ("A", None)],
)
def test_which_of_two_is_read_too(reply: str, value: str | None) -> None:
    found = read_decision(reply, BETTER)
    assert (found[0] if found else None) == value


async def test_a_judge_is_asked_without_chance_and_in_a_set_form() -> None:
    replies = Replies(GOOD)
    decision = await judge_of(replies).decide(Answer(), "Judge it.", {"answer": "ü"}, PASS)
    assert (decision.value, decision.reason, decision.cost) == (True, "It is right.", Decimal("0.01"))
    (body,) = replies.asked
    assert (body["model"], body["temperature"]) == ("claude-9", 0)
    schema = body["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["reason", "pass"]
    assert body["messages"][1] == {"role": "user", "content": '{"answer": "ü"}'}
    assert '"pass": true or false' in body["messages"][0]["content"]


async def test_fields_of_the_request_can_be_changed_and_taken_away() -> None:
    replies = Replies(GOOD)
    request = {"temperature": None, "max_tokens": None, "max_completion_tokens": 3000}
    await judge_of(replies, request=request).decide(Answer(), "t", {}, PASS)
    assert not {"temperature", "max_tokens"} & set(replies.asked[0])
    assert replies.asked[0]["max_completion_tokens"] == 3000


async def test_an_unreadable_reply_is_asked_again_and_both_are_paid_for() -> None:
    replies = Replies("Well.", GOOD)
    decision = await judge_of(replies).decide(Answer(), "t", {}, PASS)
    assert (decision.value, decision.cost) == (True, Decimal("0.02"))
    first, second = (body["messages"] for body in replies.asked)
    assert second[:2] == first
    assert [turn["role"] for turn in second[2:]] == ["assistant", "user"]
    assert second[2]["content"] == "Well."


async def test_two_unreadable_replies_are_a_failure() -> None:
    replies = Replies("Well.")
    with pytest.raises(TargetFailure, match="Well") as failure:
        await judge_of(replies).decide(Answer(), "t", {}, PASS)
    assert (failure.value.code, failure.value.fatal, len(replies.asked)) == ("unreadable_judge", False, 2)


async def test_a_judge_that_is_cut_off_is_told_to_need_more_room() -> None:
    with pytest.raises(TargetFailure, match="max_tokens"):
        await judge_of(Replies("", finish="length")).decide(Answer(), "t", {}, PASS)


async def test_the_first_reply_pins_the_judge() -> None:
    judge = judge_of(Replies(GOOD, models=("claude-9-2026-01-01", "claude-9-2026-01-01", "claude-9-2026-02-02")))
    await judge.decide(Answer(), "t", {}, PASS)
    await judge.decide(Answer(), "t", {}, PASS)
    with pytest.raises(
        TargetFailure, match="answered as claude-9-2026-02-02, and not as claude-9-2026-01-01"
    ) as failure:
        await judge.decide(Answer(), "t", {}, PASS)
    assert (failure.value.code, failure.value.fatal) == ("judge_changed", True)


async def test_a_pinned_judge_must_be_that_one_from_the_start() -> None:
    judge = judge_of(Replies(GOOD), pinned="claude-9-2025-12-12")
    with pytest.raises(TargetFailure, match="claude-9-2025-12-12"):
        await judge.decide(Answer(), "t", {}, PASS)
    same = judge_of(Replies(GOOD), pinned="claude-9-2026-01-01")
    assert (await same.decide(Answer(), "t", {}, PASS)).value is True


async def test_behind_a_weir_a_judge_is_who_its_provider_says_it_is() -> None:
    names = iter(("claude-9-2026-01-01", "claude-9-2026-02-02"))

    async def weir(_: Mapping[str, Any]) -> Answer:
        return Answer(text=GOOD, model="large", evidence={"upstream": next(names)})

    said = JudgeSettings(kind="judge", model="large")
    judge = JudgeModel(said, Instruments(ask=weir, encode=nothing))
    assert (await judge.decide(Answer(), "t", {}, PASS)).model == "claude-9-2026-01-01"
    with pytest.raises(TargetFailure, match="claude-9-2026-02-02"):
        await judge.decide(Answer(), "t", {}, PASS)


def test_a_candidate_of_the_judges_family_is_refused_before_anything_is_asked() -> None:
    replies = Replies(GOOD)
    with pytest.raises(SameFamily, match=r"claude-9 .*bedrock/anthropic\.claude-3-haiku.*Anthropic"):
        judge_of(replies, candidate="bedrock/anthropic.claude-3-haiku")
    judge_of(replies, candidate="bedrock/anthropic.claude-3-haiku", allow_same_family=True)
    judge_of(replies, candidate="support")


@pytest.mark.parametrize(
    "answer", [Answer(model="claude-3-haiku"), Answer(model="support", evidence={"upstream": "claude-3-haiku"})]
)
async def test_a_route_that_turns_out_to_hide_the_judges_family_is_refused(answer: Answer) -> None:
    replies = Replies(GOOD)
    with pytest.raises(TargetFailure, match="Anthropic") as failure:
        await judge_of(replies, candidate="support").decide(answer, "t", {}, PASS)
    assert (failure.value.code, failure.value.fatal, replies.asked) == ("same_family", True, [])
    allowed = judge_of(replies, candidate="support", allow_same_family=True)
    assert (await allowed.decide(answer, "t", {}, PASS)).value is True


async def test_a_judge_that_turns_out_to_be_of_the_answers_family_is_refused() -> None:
    replies = Replies(GOOD, models=("gpt-5.1",))
    said = JudgeSettings(kind="judge", model="the-judge")
    judge = JudgeModel(said, Instruments(ask=replies, encode=nothing))
    with pytest.raises(TargetFailure, match="OpenAI"):
        await judge.decide(Answer(model="gpt-4o"), "t", {}, PASS)


def case(**changes: Any) -> Case:
    facts: dict[str, Any] = {"id": "a", "messages": ({"role": "user", "content": "Hi"},), "expected": {}}
    facts |= {"segment": "all", "cluster": "a", "metadata": {}}
    return Case(**facts | changes)


def test_a_cases_own_rubric_comes_before_the_scorers() -> None:
    settings = JudgeSettings(kind="judge", model="m", rubric=" Be kind. ")
    assert rubric_of(case(), settings) == "Be kind."
    assert rubric_of(case(expected={"rubric": "Be brief."}), settings) == "Be brief."
    with pytest.raises(ValueError, match=r"expected\.rubric"):
        rubric_of(case(expected={"rubric": ["Be brief."]}), settings)


def test_pictures_are_only_told_of() -> None:
    parts = [{"type": "text", "text": "This?"}, {"type": "image_url", "image_url": {"url": "data:...."}}]
    turns = ({"role": "user", "content": parts},)
    assert shown(case(messages=turns))[0]["content"] == [parts[0], {"type": "image_url"}]
