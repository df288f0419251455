"""Requests as they were written down: whose, which, and what was answered."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from evals.importing.draft import Unusable
from evals.importing.lines import LONGEST_LINE, UNKNOWN, Reading, read_log, read_notebook


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def line(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"tenant": "acme", "messages": list(messages) or [user("How long?")], **more}


def log(path: Path, *lines: Any) -> Path:
    data = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines]
    path.write_bytes(b"\n".join(data) + b"\n")
    return path


def read(path: Path, **tenants: bool) -> Reading:
    reading = Reading()
    read_log(path, tenants or {"acme": True}, reading)
    return reading


def test_a_turn_is_answered_by_what_the_next_one_remembers(tmp_path: Path) -> None:
    turns = [user("How long?"), assistant("30 minutes."), user("And then?"), assistant("Ask again."), user("Fine.")]
    lines = [line(*turns[:end], conversation="c", turn=end) for end in (5, 1, 3)]
    found = read(log(tmp_path / "log.jsonl", *lines)).requests
    assert [(one.turn, one.answer) for one in found] == [(1, "30 minutes."), (3, "Ask again."), (5, "")]


def test_another_history_answers_nothing(tmp_path: Path) -> None:
    lines = [
        line(user("How long?"), conversation="c", turn=1),
        line(user("How much?"), assistant("$5"), user("Ok"), conversation="c", turn=2),
        line(user("How long?"), assistant("1 h"), user("Ok"), conversation="d", turn=2),
    ]
    assert [one.answer for one in read(log(tmp_path / "log.jsonl", *lines)).requests] == ["", "", ""]


def test_what_a_line_says_is_read(tmp_path: Path) -> None:
    said = {"route": "support", "intent": "reset", "lang": "en", "at": "2026-10-05T07:13:25Z", "answer": " Yes. "}
    (found,) = read(log(tmp_path / "log.jsonl", {"tenant": "acme", "input": "Is it?", **said})).requests
    assert (found.route, found.intent, found.lang, found.day) == ("support", "reset", "en", "2026-10-05")
    assert (found.answer, found.messages) == ("Yes.", [user("Is it?")])
    (bare,) = read(log(tmp_path / "bare.jsonl", line(at="yesterday", intent=7))).requests
    assert (bare.intent, bare.day) == (UNKNOWN, "")


def test_lines_without_consent_are_counted_and_not_read(tmp_path: Path) -> None:
    path = log(tmp_path / "log.jsonl", line(), line(tenant="globex"), line(tenant="else"), line(tenant=3))
    reading = read(path, acme=True, globex=False)
    assert [one.tenant for one in reading.requests] == ["acme"]
    assert reading.tenants == {"globex": 1}
    assert reading.counts == {"of no tenant of the configuration": 2}


def test_hostile_lines_are_counted(tmp_path: Path) -> None:
    path = log(
        tmp_path / "log.jsonl",
        b"{broken",
        b"[1]",
        b'{"tenant": "acme", "input": "\xff"}',
        b'{"tenant": "acme", "input": "\\ud800"}',
        b"[" * 5_000,
        b'{"tenant": "acme", "input": "' + b"a" * LONGEST_LINE + b'"}',
        b'{"tenant": "acme", "input": "' + b"b" * (3 * LONGEST_LINE) + b'"}',
        line(user("")),
        line({"role": "user", "content": [{"type": "image_url"}]}),
        line(user("a"), assistant("b")),
        line(messages="text"),
        line(messages=[3]),
        {"tenant": "acme"},
        line(user("sound")),
    )
    reading = read(path)
    assert [one.messages for one in reading.requests] == [[user("sound")]]
    assert reading.counts == {
        "no JSON object in UTF-8": 5,
        "longer than 256 KiB": 2,
        "without messages of text that end with a user's": 6,
    }
    assert reading.sources[0]["lines"] == 14


def test_a_missing_log_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="No such file"):
        read(tmp_path / "none.jsonl")


def test_the_notebook_is_read_with_the_best_answer(tmp_path: Path) -> None:
    about = {"tenant": "acme", "route": "support", "at": "2026-10-05T07:13:25+00:00"}
    old = log(
        tmp_path / "acme.jsonl.old",
        {"request_id": "1", "query": "How long?", "model": "m", "intent": "reset", **about},
        {"request_id": "2", "query": "How much?", "model": "m", **about},
        {"request_id": "3", "query": "Whose?", "model": "m", **about, "tenant": "globex"},
    )
    new = log(
        tmp_path / "acme.jsonl",
        {"request_id": "1", "model": "m", "score": 0.2, "answer": "An hour.", **about},
        {"request_id": "1", "model": "n", "score": 1, "answer": "30 minutes.", **about},
        {"request_id": "2", "model": "m", "score": 1, "source": "feedback", **about},
        {"request_id": "4", "query": " ", "model": "m", **about},
    )
    reading = Reading()
    read_notebook([old, new], "acme", reading)
    assert [(one.messages, one.intent, one.answer) for one in reading.requests] == [
        ([user("How long?")], "reset", "30 minutes."),
        ([user("How much?")], UNKNOWN, ""),
    ]
    assert reading.counts == {"of another tenant, or without a request_id": 1, "without a question": 1}
    assert [one["name"] for one in reading.sources] == ["acme.jsonl.old", "acme.jsonl"]


def test_what_was_answered_counts_unless_another_answer_was_scored_better(tmp_path: Path) -> None:
    about = {"tenant": "acme", "query": "How long?", "model": "large", "cost_usd": "0.25"}
    path = log(
        tmp_path / "acme.jsonl",
        {**about, "request_id": "1", "answer": "30 minutes.", "turn": 3},
        {**about, "request_id": "2", "answer": "No idea."},
        {"tenant": "acme", "request_id": "2", "model": "large", "score": 0.25},
        {"tenant": "acme", "request_id": "2", "model": "small", "score": 0.5, "answer": "Half an hour."},
        {**about, "request_id": "3", "answer": "Soon.", "cost_usd": "much"},
        {"tenant": "acme", "request_id": "3", "model": "large", "score": 1.0},
        {"tenant": "acme", "request_id": "3", "model": "large", "score": 0.0},
        {"tenant": "acme", "request_id": "3", "model": "small", "score": 0.25, "answer": "Late."},
    )
    reading = Reading()
    read_notebook([path], "acme", reading)
    assert [(one.answer, one.model, one.score) for one in reading.requests] == [
        ("30 minutes.", "large", None),
        ("Half an hour.", "small", 0.5),
        ("Soon.", "large", 0.5),
    ]
    assert [one.turn for one in reading.requests] == [3, 1, 1]
    assert [one.cost for one in reading.requests] == [Decimal("0.25"), Decimal("0.25"), None]


@pytest.mark.parametrize(("score", "cost"), [(1.5, -1), (True, "NaN"), ("good", None), (None, [])])
def test_a_score_or_a_cost_that_is_none_is_not_known(tmp_path: Path, score: Any, cost: Any) -> None:
    (found,) = read(log(tmp_path / "log.jsonl", line(score=score, cost_usd=cost))).requests
    assert (found.score, found.cost) == (None, None)
