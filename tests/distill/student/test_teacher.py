"""The teacher is asked each question once, within its cap, whatever becomes of the process."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from distill.student.child import StageFailed
from distill.student.teacher import Asked, Teacher, TeacherSettings, teacher_of
from evals.records import Answer
from evals.run_folder import RESULTS
from evals.targets.port import TargetFailure
from evals.targets.spec import TargetSpec
from tests.evals.runner.plain import PlainTarget
from tests.evals.targets.test_in_process import config_in, events_in

PRICED = Decimal("0.01")


def told(question: str, _: int = 0) -> Answer:
    return Answer(text=f"{question}!", finish="stop", model="large", completion_tokens=10, cost=PRICED)


def teacher(folder: Path, reply: Callable[[str, int], Answer | Exception] = told, **changes: Any) -> Teacher:
    settings: dict[str, Any] = {"model": "large", "cap_usd": "5", "concurrency": 2, "max_tokens": 100, **changes}
    return Teacher(PlainTarget(reply, takes_s=0.0), TeacherSettings(**settings), folder)


def asked(*questions: str) -> list[Asked]:
    return [Asked(f"id {question}", ({"role": "user", "content": question},)) for question in questions]


def texts(one: Teacher, *questions: str) -> dict[str, str]:
    return {id_: taught.answer for id_, taught in one.answers(asked(*questions), lambda *_: None).items()}


def test_nothing_is_asked_twice_by_this_start_or_a_later_one(tmp_path: Path) -> None:
    first, told_of = teacher(tmp_path), list[tuple[str, int, int]]()
    found = first.answers(
        [*asked("a", "b"), Asked("again", asked("a")[0].messages)], lambda *one: told_of.append(one)
    )
    assert {id_: taught.answer for id_, taught in found.items()} == {"id a": "a!", "id b": "b!", "again": "a!"}
    assert told_of[-1] == ("asking the teacher", 2, 2)
    with (tmp_path / RESULTS).open("ab") as file:
        file.write(b'{"key": "torn by a ki')
    later = teacher(tmp_path, lambda question, _: told("another " + question))
    assert texts(later, "a", "b", "c") == {"id a": "a!", "id b": "b!", "id c": "another c!"}
    assert later.spent == 3 * PRICED
    assert found["id a"].cost == PRICED
    assert found["id a"].model == "large"


def test_the_cap_holds_over_all_starts_and_says_what_it_left_out(tmp_path: Path) -> None:
    def of_one_cent(question: str, _: int) -> Answer:
        return Answer(text=question, completion_tokens=10, cost=PRICED)

    one = teacher(tmp_path, of_one_cent, cap_usd="0.25", concurrency=1)  # a call could take 10 cents and more
    first = texts(one, *"abcdefghijklmnopqrstuvwxyz")
    assert one.spent <= Decimal("0.25")
    assert list(first)[:3] == ["id a", "id b", "id c"]
    assert one.left_out == 26 - len(first) > 0
    again = teacher(tmp_path, of_one_cent, cap_usd="0.25", concurrency=1)
    assert texts(again, *"abcdefghijklmnopqrstuvwxyz") == first
    assert again.spent == one.spent


def test_what_is_cut_failed_or_empty_is_no_answer_and_only_failures_are_asked_again(tmp_path: Path) -> None:
    def reply(question: str, _: int) -> Answer | Exception:
        if question == "fails":
            return TargetFailure("server_error", "Broken.")
        return Answer(
            text="" if question == "empty" else "and so", finish="length" if question == "cut" else "stop"
        )

    assert texts(teacher(tmp_path, reply), "cut", "fails", "empty", "whole") == {"id whole": "and so"}
    later = PlainTarget(told, takes_s=0.0)
    settings = TeacherSettings(model="large", cap_usd=Decimal(5), max_tokens=100)
    assert texts(Teacher(later, settings, tmp_path), "cut", "fails", "empty") == {"id fails": "fails!"}
    longer = TeacherSettings(model="large", cap_usd=Decimal(5), max_tokens=1_000)
    assert texts(Teacher(later, longer, tmp_path), "cut") == {"id cut": "cut!"}


def test_a_teacher_without_a_cap_or_price_or_that_fails_for_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="cap_usd"):
        TeacherSettings(model="large")
    with pytest.raises(ValueError, match="how many dollars"):
        Teacher(PlainTarget(), TeacherSettings(), tmp_path)
    settings = TeacherSettings(model="large", cap_usd=Decimal(1))
    with pytest.raises(StageFailed, match="Nobody knows what large costs"):
        texts(Teacher(PlainTarget(priced=False), settings, tmp_path), "a")
    broken = Teacher(
        PlainTarget(lambda *_: TargetFailure("wrong_key", "No such key.", fatal=True)), settings, tmp_path
    )
    with pytest.raises(StageFailed, match="No such key"):
        texts(broken, "a")


def test_ctrl_c_keeps_what_was_under_way(tmp_path: Path) -> None:
    class Interrupting(PlainTarget):
        async def ask(self, *body: Any, **how: Any) -> Answer:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0.05)
            return await super().ask(*body, **how)

    settings = TeacherSettings(model="large", cap_usd=Decimal(5), concurrency=1)
    with pytest.raises(KeyboardInterrupt):
        texts(Teacher(Interrupting(told, takes_s=0.0), settings, tmp_path), "a", "b")
    later = PlainTarget(told, takes_s=0.0)
    assert texts(Teacher(later, settings, tmp_path), "a", "b") == {"id a": "a!", "id b": "b!"}
    assert later.asked == {"b": 1}


async def test_a_weir_in_this_process_teaches_on_the_account_of_training(tmp_path: Path) -> None:
    spec = TargetSpec(config=config_in(tmp_path), state=tmp_path / "state", timeout_s=20)
    settings = TeacherSettings(model="mirror", cap_usd=Decimal(1))
    one = teacher_of(spec, settings, tmp_path / "teacher")
    found = await asyncio.to_thread(one.answers, asked("hello"), lambda *_: None)
    assert "hello" in found["id hello"].answer
    assert [(event.purpose, event.cost) for event in await events_in(tmp_path / "state")] == [("train", one.spent)]
    # Another route changes nothing about the model, so nothing is asked again.
    config_in(tmp_path, routes={name: {"candidates": ["mirror"]} for name in ("auto", "two", "other")})
    again = teacher_of(spec, settings, tmp_path / "teacher")
    assert await asyncio.to_thread(again.answers, asked("hello"), lambda *_: None) == found
    assert len(await events_in(tmp_path / "state")) == 1
