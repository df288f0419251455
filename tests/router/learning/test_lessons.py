"""What answered requests teach: lines that are written down, and other models that are asked afterwards."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from contracts.errors import ServerFault
from contracts.ports import Policy, WholeAnswer
from contracts.records import Purpose, UsageEvent
from router.choice.fixed import FixedChoice
from router.choice.opinions import Opinions
from router.judging import ModelJudge
from router.learning.lessons import Lessons
from router.learning.notebook import Notebook, notebook_path
from router.setup import CacheRule, Learning
from tests.router.doubting import BAD, BETTER, Doubting, answer
from tests.router.plain import (
    COST,
    HELLO_STREAM,
    KEPT,
    UNKEPT,
    PlainUpstream,
    Script,
    Works,
    chat,
    incoming,
    plan,
    read_out,
    setup_over,
    whole,
    works_over,
)

RIGHT, WRONG = "The tide turns at noon, as it does each day.", "Nobody has ever seen a lion that could swim."
FEEDBACK = Learning(reference="large", judge="", same_words=0.8, shadow_share=0.0, max_bytes=1 << 20)
ALWAYS = dataclasses.replace(FEEDBACK, shadow_share=1.0)


@dataclass(kw_only=True)
class School:
    works: Works
    lessons: Lessons
    folder: Path

    async def ask(self, text: str = "When does the tide turn?", **more: Any) -> dict[str, str]:
        """The headers of the answer, once it was read and all lessons of it have ended."""
        reply = await self.works.ask(chat("auto", text, **more))
        await read_out(reply)
        await self.lessons.idle()
        return dict(reply.headers)

    def lines(self, tenant: str = "acme") -> list[dict[str, Any]]:
        self.lessons.notebook.flush()
        path = notebook_path(self.folder, tenant)
        return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    def scores(self) -> dict[str, float]:
        return {line["model"]: line["score"] for line in self.lines() if "score" in line}

    def asked(self) -> list[dict[str, Any]]:
        return [line for line in self.lines() if "score" not in line]

    def bought(self, purpose: str) -> list[UsageEvent]:
        return [event for event in self.works.events if event.purpose == purpose]


def model(name: str, *turns: WholeAnswer | Script | Exception) -> PlainUpstream:
    return PlainUpstream(name, *(turns or (whole(RIGHT),)))


@asynccontextmanager
async def school(
    folder: Path,
    learning: Learning,
    *models: PlainUpstream,
    others: tuple[PlainUpstream, ...] = (),
    policy: Policy | None = None,
    cache: CacheRule = UNKEPT,
    most: int = 8,
) -> AsyncIterator[School]:
    """Route `auto` over `models`, the first of which answers; `others` are no candidates of it."""
    route = plan("auto", *(each.name for each in models), policy=policy, cache=cache)
    setup = setup_over(
        {each.name: each for each in (*models, *others)},
        dataclasses.replace(route, learning=learning),
        named=UNKEPT,
    )
    async with works_over(setup, folder) as works:
        pipeline = works.pipeline
        lessons = pipeline.lessons = Lessons(
            Notebook(folder),
            Opinions(pipeline.answer, purpose="shadow"),
            lambda name: ModelJudge(name, pipeline.answer),
            most=most,
        )
        yield School(works=works, lessons=lessons, folder=folder)
        await lessons.close()


# --- what is written down


async def test_each_answered_question_is_written_down(tmp_path: Path) -> None:
    async with school(tmp_path, FEEDBACK, model("large"), model("small")) as one:
        headers = await one.ask("When does the tide turn?")
        (line,) = one.lines()
        assert line["request_id"] == headers["x-weir-request-id"]
        assert (line["route"], line["tenant"], line["model"], line["chosen"]) == ("auto", "acme", "large", "large")
        assert line["query"] == "When does the tide turn?"
        assert line["propensities"] == {"large": 1.0, "small": 0.0}
        assert Decimal(line["cost_usd"]) == COST
        assert line["latency_ms"] > 0


async def test_what_was_answered_is_written_down_of_those_who_agreed_alone(tmp_path: Path) -> None:
    turns = [{"role": role, "content": role} for role in ("system", "user", "assistant", "user")]
    for agreed, noted in (("acme", RIGHT), ("globex", None)):
        learning = dataclasses.replace(FEEDBACK, answers=frozenset({agreed}))
        async with school(tmp_path / agreed, learning, model("large"), model("small")) as one:
            await one.ask(messages=turns)
            (line,) = one.lines()
            assert (line.get("answer"), line["turn"]) == (noted, 2)


@pytest.mark.parametrize(
    ("said", "body"),
    [
        (RIGHT, {"n": 2}),
        (RIGHT, {"max_tokens": 1}),
        (RIGHT, {"max_completion_tokens": 1}),
        ("so " * 4_000, {}),
    ],
    ids=["one of two", "cut", "cut newly", "too long"],
)
async def test_what_is_no_whole_answer_is_not_written_down(tmp_path: Path, said: str, body: dict[str, Any]) -> None:
    learning = dataclasses.replace(FEEDBACK, answers=frozenset({"acme"}))
    async with school(tmp_path, learning, model("large", whole(said)), model("small")) as one:
        await one.ask(**body)
        (line,) = one.lines()
        assert "answer" not in line


@pytest.mark.parametrize("learning", [FEEDBACK, ALWAYS], ids=["feedback alone", "shadowed"])
async def test_what_is_no_question_of_a_client_teaches_nothing(tmp_path: Path, learning: Learning) -> None:
    cut = Script(HELLO_STREAM[0], ServerFault("broke"))
    cases: tuple[tuple[WholeAnswer | Script, dict[str, Any]], ...] = (
        (whole(), {"tools": [{"type": "function", "function": {"name": "look"}}]}),
        (whole(), {"messages": [{"role": "user", "content": ""}]}),
        (whole(), {"messages": [{"role": "system", "content": "Be brief."}]}),
        (cut, {"stream": True}),
    )
    for number, (turn, body) in enumerate(cases):
        small = model("small")
        async with school(tmp_path / str(number), learning, model("large", turn), small) as one:
            try:
                await one.ask(**body)
            except ServerFault:
                await one.lessons.idle()
            assert (one.lines(), small.calls) == ([], []), body
    small = model("small", ServerFault("down"))
    async with school(tmp_path / "failed", learning, model("large", ServerFault("down")), small) as one:
        with pytest.raises(ServerFault):
            await one.ask()
        await one.lessons.idle()
        assert (one.lines(), one.bought("shadow")) == ([], [])


async def test_what_came_from_the_cache_teaches_nothing(tmp_path: Path) -> None:
    small = model("small")
    async with school(tmp_path, ALWAYS, model("large"), small, cache=KEPT) as one:
        assert (await one.ask())["x-weir-cache"] == "miss"
        known = one.lines()
        assert (await one.ask())["x-weir-cache"] == "exact"
        assert one.lines() == known
        assert len(small.calls) == 1


@pytest.mark.parametrize("purpose", ["audit", "judge", "check", "shadow"])
async def test_what_weir_asks_on_its_own_account_teaches_nothing(tmp_path: Path, purpose: Purpose) -> None:
    small = model("small")
    async with school(tmp_path, ALWAYS, model("large"), small) as one:
        await one.works.pipeline.answer(replace(incoming(chat("auto")), purpose=purpose))
        await one.lessons.idle()
        assert (one.lines(), small.calls) == ([], [])


async def test_other_endpoints_teach_nothing(tmp_path: Path) -> None:
    async with school(tmp_path, ALWAYS, model("large", whole(object="text_completion")), model("small")) as one:
        await one.works.ask({"model": "auto", "prompt": "When?"}, endpoint="completions")
        await one.lessons.idle()
        assert one.lines() == []


async def test_a_route_that_does_not_learn_writes_nothing(tmp_path: Path) -> None:
    async with school(tmp_path, ALWAYS, model("large"), model("small")) as one:
        await one.works.ask(chat("small"))
        await one.lessons.idle()
        assert one.lines() == []


# --- shadow calls


async def test_others_are_asked_once_and_held_against_the_reference(tmp_path: Path) -> None:
    large, small, tiny = model("large"), model("small"), model("tiny", whole(WRONG))
    async with school(tmp_path, ALWAYS, large, small, tiny) as one:
        headers = await one.ask()
        assert one.scores() == {"large": 1.0, "small": 1.0, "tiny": 0.0}
        told = [line for line in one.lines() if "score" in line]
        assert {line["source"] for line in told} == {"shadow"}
        assert {line["query"] for line in told} == {"When does the tide turn?"}
        assert {line["request_id"] for line in told} == {headers["x-weir-request-id"]}
        assert [len(each.calls) for each in (large, small, tiny)] == [1, 1, 1]
        assert one.lessons.shadowed == 2


async def test_shadow_calls_are_in_the_ledger_as_what_they_are(tmp_path: Path) -> None:
    async with school(tmp_path, ALWAYS, model("large"), model("small")) as one:
        await one.ask(stream=False, metadata={"feature": "x"})
        (shadow,) = one.bought("shadow")
        assert (shadow.tenant, shadow.model, shadow.cost, shadow.outcome) == ("acme", "small", COST, "answered")
        assert shadow.tags == {}
        assert [event.cost for event in one.bought("serve")] == [COST]


async def test_shadow_calls_send_the_same_messages(tmp_path: Path) -> None:
    large, small = model("large", Script(*HELLO_STREAM)), model("small")
    async with school(tmp_path, ALWAYS, large, small) as one:
        await one.ask(stream=True, temperature=0.5)
        (theirs,), (ours,) = large.calls, small.calls
        assert ours.body["messages"] == theirs.body["messages"]
        assert ours.body["temperature"] == 0.5
        assert "stream" not in ours.body


async def test_a_cheap_answer_is_held_against_what_the_reference_would_have_said(tmp_path: Path) -> None:
    small, large = model("small", whole(WRONG)), model("large")
    async with school(tmp_path, ALWAYS, small, large) as one:
        headers = await one.ask()
        assert headers["x-weir-model"] == "small"
        assert one.scores() == {"small": 0.0, "large": 1.0}


@pytest.mark.parametrize(("word", "score"), [("SAME", 1.0), ("DIFFERENT", 0.0), ("Hm", None)])
async def test_a_judge_is_asked_where_one_is_named(tmp_path: Path, word: str, score: float | None) -> None:
    judge = model("judge", whole(word))
    learning = dataclasses.replace(ALWAYS, judge="judge")
    async with school(tmp_path, learning, model("large"), model("small", whole(WRONG)), others=(judge,)) as one:
        await one.ask()
        assert one.scores() == {"large": 1.0} | ({"small": score} if score is not None else {})
        (judged,) = one.bought("judge")
        assert (judged.tenant, judged.cost) == ("acme", COST)
        assert RIGHT in str(judge.calls[0].body) and WRONG in str(judge.calls[0].body)


async def test_about_the_share_that_is_wanted_is_drawn(tmp_path: Path) -> None:
    small = model("small")
    async with school(tmp_path, dataclasses.replace(ALWAYS, shadow_share=0.3), model("large"), small) as one:
        for number in range(200):
            await one.ask(f"Question {number}?")
        assert 30 <= len(small.calls) <= 95  # five standard deviations and more to either side
        assert len(one.asked()) == 200


async def test_no_share_asks_nobody(tmp_path: Path) -> None:
    small = model("small")
    async with school(tmp_path, FEEDBACK, model("large"), small) as one:
        for number in range(20):
            await one.ask(f"Question {number}?")
        assert (small.calls, one.scores()) == ([], {})


async def test_where_there_is_nobody_else_nothing_is_compared(tmp_path: Path) -> None:
    async with school(tmp_path, ALWAYS, model("large")) as one:
        await one.ask()
        assert (len(one.asked()), one.scores()) == (1, {})


async def test_several_answers_at_once_are_not_compared_with_one(tmp_path: Path) -> None:
    small = model("small")
    async with school(tmp_path, ALWAYS, model("large"), small) as one:
        await one.ask(n=2)
        assert (len(one.asked()), small.calls, one.scores()) == (1, [], {})


async def test_without_the_references_answer_there_is_no_measure(tmp_path: Path) -> None:
    down = model("large", ServerFault("down"))
    async with school(tmp_path, ALWAYS, model("small"), down, policy=FixedChoice("small")) as one:
        assert (await one.ask())["x-weir-model"] == "small"
        assert one.scores() == {}


async def test_a_candidate_that_fails_is_left_out(tmp_path: Path) -> None:
    async with school(tmp_path, ALWAYS, model("large"), model("small", ServerFault("down")), model("tiny")) as one:
        await one.ask()
        assert one.scores() == {"large": 1.0, "tiny": 1.0}
        failed = {event.requested_model: event.outcome for event in one.bought("shadow")}
        assert failed == {"small": "failed", "tiny": "answered"}


# --- escalations


async def test_a_doubted_answer_is_compared_without_a_new_call(tmp_path: Path) -> None:
    small, large = model("small", answer(BAD, stream=False)), model("large", answer(BETTER, stream=False))
    async with school(tmp_path, FEEDBACK, small, large, policy=Doubting()) as one:
        assert (await one.ask())["x-weir-model"] == "large"
        assert one.scores() == {"small": 0.0, "large": 1.0}
        told = {line["model"]: line for line in one.lines() if "score" in line}
        assert {line["source"] for line in told.values()} == {"escalation"}
        assert (told["small"]["answer"], "answer" in told["large"]) == (BAD, False)
        assert [len(each.calls) for each in (small, large)] == [1, 1]
        assert one.bought("shadow") == []


async def test_an_answer_that_passed_its_check_is_shadowed_with_its_signals(tmp_path: Path) -> None:
    small, large = model("small", answer("good enough", stream=False)), model("large")
    async with school(tmp_path, ALWAYS, small, large, policy=Doubting()) as one:
        assert (await one.ask())["x-weir-model"] == "small"
        told = {line["model"]: line for line in one.lines() if "score" in line}
        assert (told["small"]["answer"], told["small"]["signals"]) == ("good enough", {})
        assert "signals" not in told["large"]


# --- feedback


async def test_feedback_is_a_line_about_the_model_that_answered(tmp_path: Path) -> None:
    async with school(tmp_path, FEEDBACK, model("large"), model("small")) as one:
        headers = await one.ask()
        (event,) = one.works.events
        one.lessons.told(event, FEEDBACK, 0.25)
        line = one.lines()[-1]
        assert (line["model"], line["score"], line["source"]) == ("large", 0.25, "feedback")
        assert (line["request_id"], line["route"]) == (headers["x-weir-request-id"], "auto")
        assert "query" not in line


# --- bounds, and what goes wrong


async def test_only_so_many_run_at_a_time_and_the_others_are_counted(tmp_path: Path) -> None:
    small = model("small")
    small.gate = asyncio.Event()
    async with school(tmp_path, ALWAYS, model("large"), small, most=3) as one:
        for number in range(5):
            await one.works.ask(chat("auto", f"Question {number}?"))
        assert one.lessons.skipped == 2
        small.gate.set()
        await one.lessons.idle()
        assert len(small.calls) == 3
        await one.ask("Is there room again?")
        assert len(small.calls) == 4
        assert len(one.asked()) == 6


async def test_the_client_does_not_wait_for_a_lesson(tmp_path: Path) -> None:
    small = model("small")
    small.gate = asyncio.Event()
    async with school(tmp_path, ALWAYS, model("large"), small) as one:
        async with asyncio.timeout(5):
            reply = await one.works.ask(chat("auto"))
        assert orjson.loads(reply.body)["choices"][0]["message"]["content"] == RIGHT
        small.gate.set()


async def test_closing_ends_shadow_calls_and_settles_them(tmp_path: Path) -> None:
    small = model("small")
    small.gate = asyncio.Event()
    async with school(tmp_path, ALWAYS, model("large"), small) as one:
        await one.works.ask(chat("auto"))
        await small.called.wait()
        async with asyncio.timeout(5):
            await one.lessons.close()
        (shadow,) = one.bought("shadow")
        assert shadow.outcome == "failed"
        assert one.scores() == {}


async def test_a_lesson_that_fails_costs_no_answer_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with school(tmp_path, dataclasses.replace(ALWAYS, judge="judge"), model("large"), model("small")) as one:

        def broken(name: str) -> ModelJudge:
            raise KeyError(name)

        one.lessons._judge = broken
        with caplog.at_level(logging.ERROR, "weir.learning"):
            assert (await one.ask())["x-weir-model"] == "large"
        assert "nothing was learned" in caplog.text
        assert len(one.asked()) == 1
        await one.ask("Does it go on?")
        assert len(one.asked()) == 2


async def test_what_cannot_be_written_costs_no_answer(tmp_path: Path) -> None:
    (tmp_path / "outcomes").write_text("a file")
    async with school(tmp_path, ALWAYS, model("large"), model("small")) as one:
        assert (await one.ask())["x-weir-model"] == "large"
        one.lessons.notebook.flush()
        assert (one.lessons.notebook.written, one.lessons.notebook.dropped) == (0, 3)
