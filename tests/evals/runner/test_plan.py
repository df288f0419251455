from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.cases import Case, Document
from evals.records import ScorerFacts
from evals.runner.plan import Plan, body_of
from evals.suite import read_suite
from tests.evals.runner.plain import questions, write_suite


def plan(tmp_path: Path, **changes: Any) -> Plan:
    cases = read_suite(write_suite(tmp_path / "suite", questions(3))).cases
    told: dict[str, Any] = {"cases": cases, "repeats": 2, "target_version": "v", "request": {"temperature": 0}}
    return Plan(**{**told, **changes})


def test_all_cases_come_once_before_one_comes_again(tmp_path: Path) -> None:
    works = list(plan(tmp_path).works())
    assert [(work.case.id, work.repeat) for work in works] == [
        (name, repeat) for repeat in (0, 1) for name in ("c0", "c1", "c2")
    ]
    assert len({work.key for work in works}) == plan(tmp_path).size == 6


def test_what_is_done_does_not_come_again(tmp_path: Path) -> None:
    left = plan(tmp_path).works({("c0", 0), ("c2", 1)})
    assert [(work.case.id, work.repeat) for work in left] == [("c1", 0), ("c2", 0), ("c0", 1), ("c1", 1)]


@pytest.mark.parametrize(
    "changes", [{"target_version": "w"}, {"request": {"temperature": 1}}, {"request": {}}, {"fresh": False}]
)
def test_a_key_is_of_all_that_can_change_the_answer(tmp_path: Path, changes: dict[str, Any]) -> None:
    usual, other = plan(tmp_path), plan(tmp_path, **changes)
    case = usual.cases[0]
    assert usual.key(case, 0) != other.key(case, 0)
    assert usual.config_hash({}) != other.config_hash({})


def test_a_key_is_not_of_what_answers_are_compared_with(tmp_path: Path) -> None:
    found = plan(tmp_path)
    case = found.cases[0]
    assert found.key(case, 0) == found.key(replace(case, id="x", expected={"facts": ["y"]}, segment="z"), 0)
    assert found.key(case, 0) != found.key(replace(case, messages=({"role": "user", "content": "?"},)), 0)


def test_scorers_are_part_of_the_configuration_by_their_version(tmp_path: Path) -> None:
    found = plan(tmp_path)
    one, other = (
        found.config_hash({"s": ScorerFacts(kind="exact", version=version, binary=True)}) for version in "ab"
    )
    assert one != other


def test_documents_come_first_with_numbers_and_ids() -> None:
    case = Case(
        id="a",
        messages=({"role": "user", "content": "How much?"},),
        expected={},
        segment="s",
        cluster="c",
        metadata={},
        tools=({"type": "function"},),
        documents=(Document("prices", "It is $5."), Document("hours", "Open at 9.")),
    )
    body = body_of(case, {"temperature": 0})
    passages, question = body.pop("messages")
    assert passages["role"] == "system"
    assert passages["content"].endswith("\n\n[1] (prices)\nIt is $5.\n\n[2] (hours)\nOpen at 9.")
    assert question == {"role": "user", "content": "How much?"}
    assert body == {"tools": [{"type": "function"}], "temperature": 0}
    assert set(body_of(replace(case, documents=(), tools=()), {})) == {"messages"}
