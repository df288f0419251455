"""Intents in planted traffic: found, named, weighed and written down, the same way each time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from distill.student.mining.mine import INTENTS, PLOT, REQUESTS, Mined, MineSettings, mine
from distill.student.mining.questions import first_questions
from distill.student.mining.traffic import Request, Traffic
from distill.student.teacher import Teacher, TeacherSettings
from evals.records import Answer
from evals.targets.prices import stated_price
from tests.evals.runner.plain import PlainTarget

if TYPE_CHECKING:
    from evals.scorers.port import Vectors

TOPICS = {"password": 0, "parcel": 1, "refund": 2, "invoice": 3}
SAID = {
    "password": "Follow the link that we send you.",
    "parcel": "It arrives within three days.",
    "refund": "The money is back after a week.",
    "invoice": "You find it under Orders.",
}


def encode(texts: Sequence[str]) -> Vectors:
    """A direction for each topic and one for all of them, with a little one for each text's length; others have
    that alone, and so lie furthest away."""
    rows = np.zeros((len(texts), 41), np.float32)
    for row, text in zip(rows, texts, strict=True):
        topic = next((at for word, at in TOPICS.items() if word in text), None)
        row[4 + len(text) % 36] = 0.3 if topic is not None else 1.0
        if topic is not None:
            row[topic], row[40] = 1.0, 0.5
    lengths: Vectors = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / lengths


def asked(text: str, answer: str = "", number: int = 0, **more: Any) -> Request:
    said = {"tenant": "acme", "conversation": f"c{number}", "turn": 1, "lang": "en", "day": "2026-10-05"}
    messages = ({"role": "user", "content": text},)
    return Request(**{"id": f"{text}#{number}", "messages": messages, "answer": answer, **said, **more})


def traffic(*topics: str, answered: bool = True) -> Traffic:
    """Of each topic four questions, the first of them asked three times; and two that nobody else asked."""
    tails = ("", " now", ", please?", " for my friend")
    found = [
        asked(f"my {topic}{tail}", SAID[topic] if answered else "", number)
        for topic in topics
        for place, tail in enumerate(tails)
        for number in range(3 if place == 0 else 1)
    ]
    odd = [asked(text, f"{text}? No." if answered else "") for text in ("weather", "a horse race")]
    return Traffic(route="support", owner="", requests=[*found, *odd], left_out={"of another route": 2})


def mined(folder: Path, requests: Traffic, teacher: Teacher | None = None, **settings: Any) -> Mined:
    return mine(
        requests,
        MineSettings(**settings),
        encode=encode,
        teacher=teacher,
        folder=folder,
        tell=lambda *_: None,
        teacher_price=stated_price("input=1,output=4"),
        student_price=stated_price("input=0.1,output=0.1"),
    )


def teacher(folder: Path, reply: Callable[[str], str]) -> Teacher:
    def answer(question: str, _: int) -> Answer:
        return Answer(text=reply(question), finish="stop", model="large", completion_tokens=9, cost=Decimal("0.01"))

    settings = TeacherSettings(model="large", cap_usd=Decimal(5), max_tokens=100)
    return Teacher(PlainTarget(answer, takes_s=0.0), settings, folder)


def knows(question: str) -> str:
    return next((said for topic, said in SAID.items() if topic in question), "Nobody here can know that.")


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / REQUESTS).read_bytes().splitlines()]


def test_intents_are_found_named_and_picked(tmp_path: Path) -> None:
    found = mined(tmp_path, traffic("password", "parcel"))
    assert {one.intent: (one.picked, one.requests, one.distinct) for one in found.intents} == {
        "password-for-friend": (True, 6, 4),
        "parcel-for-friend": (True, 6, 4),
        "unknown": (False, 2, 2),
    }
    assert [one.intent for one in found.intents][-1] == "unknown"
    assert len(found.picked) == 2
    assert found.counts["different questions"] == 10
    of_topic = {row["messages"][0]["content"]: row["intent"] for row in rows(tmp_path)}
    assert of_topic["my parcel now"] == of_topic["my parcel, please?"] == "parcel-for-friend"
    assert of_topic["weather"] == "unknown"


def test_figures_and_settings_are_written_down(tmp_path: Path) -> None:
    mined(tmp_path, traffic("password"))
    told = json.loads((tmp_path / INTENTS).read_bytes())
    first = told["intents"][0]
    assert (first["share"], first["repetitiveness"], first["agreement"]) == (0.75, 0.333333, 1.0)
    assert first["conversations"] == 3
    assert Decimal(first["spend_usd"]) > Decimal(first["saved_usd"]) > 0
    assert first["examples"][0] == "my password"
    assert told["left_out"] == {"of another route": 2}
    assert told["period"] == {"first": "2026-10-05", "last": "2026-10-05"}
    assert told["settings"]["least_requests"] == 5
    assert "password" in (tmp_path / PLOT).read_text()


def test_the_same_traffic_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        mined(tmp_path / name, traffic("password", "parcel", "refund"))
    for file in (INTENTS, REQUESTS, PLOT):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_teacher_is_asked_once_where_nobody_knows_the_answer(tmp_path: Path) -> None:
    unknown = traffic("password", "parcel", answered=False)
    assert mined(tmp_path / "without", unknown).picked == []
    told = json.loads((tmp_path / "without" / INTENTS).read_bytes())
    assert "learning.answers" in told["intents"][0]["why"]
    one = teacher(tmp_path / "teacher", knows)
    found = mined(tmp_path / "with", unknown, one)
    assert len(found.picked) == 2
    assert found.counts["answers of the teacher"] == 10
    assert one.spent == Decimal("0.10")
    assert {row["answer"] for row in rows(tmp_path / "with") if "parcel" in row["id"]} == {SAID["parcel"]}
    mined(tmp_path / "again", unknown, one)
    assert one.spent == Decimal("0.10")


def test_a_teacher_may_name_intents(tmp_path: Path) -> None:
    def names(prompt: str) -> str:
        return "Reset Password." if "my password" in prompt else "I think that all these people ask about a parcel."

    found = mined(tmp_path, traffic("password", "parcel"), teacher(tmp_path / "teacher", names), names="teacher")
    assert {one.intent for one in found.picked} == {"reset-password", "parcel-for-friend"}


def test_given_intents_are_taken_as_they_are(tmp_path: Path) -> None:
    requests = [asked(f"my {topic}", "So.", number, intent=topic) for topic in SAID for number in range(5)]
    requests += [asked(f"the {topic}", "So.", 9, intent=topic) for topic in SAID]
    told = Traffic(route="support", owner="", requests=[*requests, asked("weather")])
    found = mined(tmp_path, told, labels="given", least_distinct=2)
    assert {one.intent for one in found.picked} == set(SAID)
    assert {one.intent for one in found.intents} == {*SAID, "unknown"}


def test_later_turns_have_their_conversations_intent(tmp_path: Path) -> None:
    base = traffic("password")
    later = asked("And then?", "", 0, id="later", turn=2)
    stray = asked("And then?", "", 77, id="stray", turn=2)
    told = Traffic(route="support", owner="", requests=[*base.requests, later, stray])
    mined(tmp_path, told)
    by_id = {row["id"]: row["intent"] for row in rows(tmp_path)}
    assert by_id["later"] == "password-for-friend"
    assert by_id["stray"] == "unknown"


def test_no_traffic_has_no_intents(tmp_path: Path) -> None:
    found = mined(tmp_path, Traffic(route="support", owner="", requests=[]))
    assert (found.intents, rows(tmp_path)) == ([], [])


def test_questions_differ_by_more_than_case_and_signs() -> None:
    found = first_questions(
        [asked("My parcel?", "a", 1), asked("my parcel", "b", 2), asked("my parcel!", "b", 3), asked("x", turn=2)]
    )
    assert [(one.text, one.times, one.answer) for one in found] == [("My parcel?", 3, "b")]


@pytest.mark.parametrize("setting", [{"least_distinct": 1}, {"answer_weight": 1}, {"most_clustered": 0}])
def test_settings_have_bounds(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        MineSettings(**setting)
