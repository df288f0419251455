"""Traffic that a student learns from: whose, how old, without who asked, and whose answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from distill.student.mining.traffic import Traffic, read_requests
from router.config.schema import Config
from router.learning.notebook import notebook_path

TODAY = date(2026, 11, 1)
CONFIG = Config.model_validate(
    {
        "upstreams": {"script": {"kind": "scripted"}},
        "models": {"large": {"upstream": "script", "price": {"input": "1", "output": "2"}}},
        "routes": {"support": {"candidates": ["large"]}},
        "tenants": {
            "acme": {"consents": ["training"]},
            "globex": {"consents": ["evals"]},
            "initech": {"consents": ["training"], "training_days": 30},
        },
    }
)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def line(text: str = "How long?", **more: Any) -> dict[str, Any]:
    said = {"tenant": "acme", "route": "support", "at": "2026-10-05T07:13:25Z", "messages": [user(text)]}
    return {**said, **more}


def written(path: Path, *lines: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def read(logs: Sequence[Path], state: Path = Path("nowhere"), owner: str = "", **more: Any) -> Traffic:
    given = {"route": "support", "today": TODAY, "tell": lambda *_: None, **more}
    return read_requests(CONFIG, owner=owner, logs=logs, state=state, **given)


def test_only_traffic_of_those_who_agreed_and_not_too_old_is_read(tmp_path: Path) -> None:
    log = written(
        tmp_path / "log.jsonl",
        line("a"),
        line("b", tenant="globex"),
        line("c", tenant="nobody"),
        line("d", route="auto"),
        line("e", tenant="initech", at="2026-10-02T00:00:00Z"),
        line("f", tenant="initech", at="2026-10-01T23:59:59Z"),
        line("g", tenant="initech", at=None),
        line("h", tools=[{"type": "function"}]),
    )
    found = read([log])
    assert [(one.tenant, one.question) for one in found.requests] == [("initech", "e"), ("acme", "a")]
    assert found.without_consent == {"globex": 1}
    assert found.left_out == {
        "of another route": 1,
        "of no tenant of the configuration": 1,
        "older than its tenant's `training_days`": 1,
        "with tools": 1,
        "without a day, of a tenant whose requests are kept 30 days": 1,
    }
    assert found.tenants == {"acme": 1, "initech": 1}
    assert [(one["name"], one["lines"]) for one in found.sources] == [("log.jsonl", 8)]
    assert [one.question for one in read([log], owner="initech").requests] == ["e"]
    assert read([log], owner="globex").requests == []


def test_who_asked_is_hidden_and_what_is_kept_is_not(tmp_path: Path) -> None:
    log = written(
        tmp_path / "log.jsonl",
        line(
            "I am jo@home.example", answer="Write to jo@home.example or help@shop.example.", conversation="jo@home"
        ),
    )
    (one,) = read([log], keep=["Help@shop.example"]).requests
    assert (one.question, one.answer) == ("I am <EMAIL_1>", "Write to <EMAIL_1> or help@shop.example.")
    assert "jo" not in one.conversation
    assert read([log]).hidden == {"EMAIL": 3}


def test_turns_are_counted_and_one_without_its_beginning_is_left_out(tmp_path: Path) -> None:
    talk = [user("How long?"), {"role": "assistant", "content": "An hour."}, user("And then?")]
    log = written(
        tmp_path / "log.jsonl",
        line(conversation="c", messages=[{"role": "system", "content": "Be brief."}, *talk[:1]]),
        line(conversation="c", messages=[{"role": "system", "content": "Be brief."}, *talk]),
        line("Yes please", turn=2),
    )
    found = read([log])
    assert [(one.turn, one.question, one.answer) for one in found.requests] == [
        (1, "How long?", "An hour."),
        (2, "And then?", ""),
    ]
    assert len({one.conversation for one in found.requests}) == 1
    assert found.left_out == {"a later turn whose beginning was not written down": 1}


def test_what_weir_wrote_down_counts_where_the_teacher_answered(tmp_path: Path) -> None:
    about = {"tenant": "acme", "route": "support", "at": "2026-10-05T07:13:25Z", "turn": 1}
    written(
        notebook_path(tmp_path, "acme"),
        {**about, "request_id": "1", "query": "a", "model": "large", "answer": "A.", "cost_usd": "0.5"},
        {**about, "request_id": "2", "query": "b", "model": "small", "answer": "B."},
        {**about, "request_id": "1", "model": "large", "score": 0.5},
        {**about, "request_id": "2", "model": "small", "score": 0.25},
        {**about, "request_id": "3", "query": "Yes", "model": "large", "turn": 2},
    )
    written(notebook_path(tmp_path, "globex"), {**about, "request_id": "4", "query": "d"})
    found = read([], tmp_path, teacher="large")
    assert [(one.question, one.answer, one.score) for one in found.requests] == [("a", "A.", 0.5), ("b", "", None)]
    assert [str(one.cost_usd) for one in found.requests] == ["0.5", "None"]
    assert found.without_consent == {"globex": 1}
    assert [one.answer for one in read([], tmp_path).requests] == ["A.", "B."]


def test_ids_are_those_of_what_was_asked_and_later_traffic_changes_none(tmp_path: Path) -> None:
    lines = [line("a", conversation="1"), line("a", conversation="2"), line("a", conversation="2")]
    few = read([written(tmp_path / "log.jsonl", *lines)]).requests
    assert len({one.id for one in few}) == 3
    more = read([written(tmp_path / "log.jsonl", *lines, line("b", conversation="2", at="2026-10-06"))]).requests
    assert more[:3] == few
