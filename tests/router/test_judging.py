"""A model says whether two answers are the same, and its tenant pays for it."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from contracts.errors import ServerFault
from contracts.money import ZERO
from router.judging import ModelJudge, verdict_in
from tests.router.plain import PlainUpstream, plan, setup_over, whole, works_over


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("SAME", True),
        ("Different.", False),
        (" same ", True),
        ("They are not the SAME but DIFFERENT", None),
        ("Hm", None),
        ("", None),
    ],
)
def test_what_a_reply_means(said: str, means: bool | None) -> None:
    assert verdict_in(said) is means


async def test_it_is_shown_both_answers_and_its_cost_is_the_tenants(tmp_path: Path) -> None:
    upstream = PlainUpstream("good", whole("DIFFERENT"))
    async with works_over(setup_over({"good": upstream}, plan("support", "good")), tmp_path) as works:
        judge = ModelJudge("good", works.pipeline.answer)
        assert await judge.same("acme", "How do I pay?", "By card.", "In cash.") is False
        (event,) = works.events
        assert (event.purpose, event.tenant, event.key_id, event.cost > ZERO) == (
            "judge",
            "acme",
            "weir/judge",
            True,
        )
        assert event.verdict.kind == "bypass"
        shown = orjson.loads(upstream.calls[0].body["messages"][1]["content"])
        assert shown == {"question": "How do I pay?", "first": "By card.", "second": "In cash."}
        assert upstream.calls[0].body["temperature"] == 0


async def test_a_judge_that_cannot_be_asked_says_nothing(tmp_path: Path) -> None:
    upstream = PlainUpstream("good", ServerFault("down"))
    async with works_over(setup_over({"good": upstream}, plan("support", "good")), tmp_path) as works:
        judge = ModelJudge("good", works.pipeline.answer)
        assert await judge.same("acme", "q", "a", "b") is None
        assert [event.outcome for event in works.events] == ["failed"]
