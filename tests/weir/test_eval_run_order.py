"""What an order is made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

from evals.records import Answer, ToolCall
from evals.runner.evaluation import Order
from tests.evals.made_runs import made_cases, made_row, made_run
from weir.eval_run_order import answers_of, order_of


def test_the_first_answer_in_words_is_what_another_run_is_compared_with(tmp_path: Path) -> None:
    spoken, silent, called = cases = made_cases(3)
    rows = [
        made_row(spoken, 1, answer=Answer(text="first")),
        made_row(spoken, 1, answer=Answer(text="second"), repeat=1),
        made_row(silent, None),
        made_row(called, 1, answer=Answer(tool_calls=(ToolCall("find", "{}"),))),
    ]
    made_run(tmp_path / "run", cases, rows, repeats=2)
    assert answers_of(tmp_path / "run") == {spoken.id: "first"}


def ordered(folder: Path, **changes: Any) -> Order:
    order = {"folder": folder / "run", "repeats": None}
    return order_of(folder, order, **{"segments": (), "limit": None, "fields": (), **changes})


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "suite.yaml").write_text(
        "name: tiny\ndescription: Ten.\nscorers: [exact]\nrequest: {temperature: 0, top_p: 1}\nrepeats: 2\n"
    )
    cases = [{"id": f"c{n}", "input": f"{n}?", "expected": str(n), "segment": f"s{n % 2}"} for n in range(10)]
    (tmp_path / "cases.jsonl").write_text("\n".join(map(json.dumps, cases)))
    return tmp_path


def test_fields_of_requests_are_the_suites_and_then_ones_own(suite: Path) -> None:
    order = ordered(suite, fields=("temperature=0.7", "stop=[a, b]", "user=me"))
    assert order.request == {"temperature": 0.7, "top_p": 1, "stop": ["a", "b"], "user": "me"}
    assert order.repeats == 2
    assert order.notes == ()


def test_a_part_of_the_suite_says_so(suite: Path) -> None:
    order = ordered(suite, segments=("s1",), limit=2)
    assert len(order.cases) == 2
    assert {case.segment for case in order.cases} == {"s1"}
    assert order.notes == ("2 of the suite's 10 cases were asked of s1.",)


def test_a_limit_draws_the_same_cases_in_their_order_wherever_more_are_added(suite: Path) -> None:
    few, more = (ordered(suite, limit=limit).cases for limit in (3, 6))
    assert {case.id for case in few} < {case.id for case in more}
    assert [case.id for case in more] == sorted(case.id for case in more)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"segments": ("s3",)}, "there are s0, s1"),
        ({"fields": ("temperature",)}, "'temperature' is not FIELD=VALUE"),
        ({"fields": ("=1",)}, "'=1' is not FIELD=VALUE"),
        ({"fields": ("model=gpt",)}, "model is the run's own"),
        ({"fields": ("stop=[a",)}, "'stop=[a'"),
    ],
)
def test_an_order_that_cannot_be_says_why(suite: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(click.BadParameter) as refused:
        ordered(suite, **changes)
    assert said in refused.value.message
