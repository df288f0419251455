"""A model that compares two answers, with positions swapped."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from evals.cases import Case
from evals.records import Answer
from evals.scorers.catalogue import SETTINGS, scorer_of
from evals.scorers.port import Instruments, Scorer
from evals.suite import SuiteError, read_suite

Favours = Callable[[Mapping[str, Any]], str]


def nothing(_: Any) -> Any:
    raise AssertionError("no vectors are needed")


def pairwise(favours: Favours, reference: Mapping[str, str] | None = None) -> Scorer:
    """A judge that favours what `favours` says of the material."""

    async def ask(body: Mapping[str, Any]) -> Answer:
        material = json.loads(body["messages"][1]["content"])
        said = {"reason": f"{material['first']['text']} came first.", "better": favours(material)}
        return Answer(text=json.dumps(said), cost=Decimal("0.25"))

    said = SETTINGS.validate_python({"kind": "pairwise", "model": "claude-9"})
    return scorer_of(said, Instruments(ask=ask, encode=nothing, reference=reference or {}))


def case(**expected: Any) -> Case:
    messages = ({"role": "user", "content": "How much?"},)
    return Case(id="a", messages=messages, expected=expected, segment="all", cluster="a", metadata={})


def longer(material: Mapping[str, Any]) -> str:
    return "first" if len(material["first"]["text"]) > len(material["second"]["text"]) else "second"


@pytest.mark.parametrize(("text", "value"), [("a long answer", 1.0), ("no", 0.0)])
async def test_a_win_in_both_positions_counts(text: str, value: float) -> None:
    score = await pairwise(longer, {"a": "an answer"}).score(case(), Answer(text=text))
    assert (score.value, score.why, score.cost) == (value, f"{text} came first.", Decimal("0.50"))


@pytest.mark.parametrize("position", ["first", "second"])
async def test_a_judge_that_favours_a_position_is_seen_through(position: str) -> None:
    score = await pairwise(lambda _: position, {"a": "one"}).score(case(), Answer(text="other"))
    assert score.value == 0.5
    assert "inconsistent" in score.why


async def test_a_tie_is_half() -> None:
    score = await pairwise(lambda _: "tie", {"a": "one"}).score(case(), Answer(text="other"))
    assert score.value == 0.5
    assert "inconsistent" not in score.why


async def test_a_win_and_a_tie_are_half_too() -> None:
    def half(material: Mapping[str, Any]) -> str:
        return "first" if material["first"]["text"] == "other" else "tie"

    score = await pairwise(half, {"a": "one"}).score(case(), Answer(text="other"))
    assert score.value == 0.5
    assert "better and as good" in score.why


async def test_equal_answers_are_a_tie_without_asking() -> None:
    def nobody(_: Mapping[str, Any]) -> str:
        raise AssertionError("equal answers need no judge")

    score = await pairwise(nobody, {"a": "one"}).score(case(), Answer(text="one"))
    assert (score.value, score.cost) == (0.5, 0)


async def test_another_runs_answer_comes_before_the_expected_one() -> None:
    seen: list[Mapping[str, Any]] = []

    def keep(material: Mapping[str, Any]) -> str:
        seen.append(material)
        return "tie"

    await pairwise(keep, {"a": "of the run"}).score(case(reference="expected"), Answer(text="x"))
    await pairwise(keep).score(case(reference="expected"), Answer(text="x"))
    assert [material["second"]["text"] for material in seen[::2]] == ["of the run", "expected"]
    assert [material["first"]["text"] for material in seen[1::2]] == ["of the run", "expected"]


def test_it_needs_something_to_compare_with() -> None:
    assert "another run" in pairwise(longer).lacks(case())
    assert pairwise(longer, {"a": ""}).lacks(case()) == ""
    assert pairwise(longer).lacks(case(reference="x")) == ""
    with pytest.raises(ValueError, match=r"expected\.reference"):
        pairwise(longer).lacks(case(reference=["x"]))


def test_a_suite_may_leave_the_other_run_to_be_named_later(tmp_path: Path) -> None:
    head = "name: s\ndescription: d\nscorers: [{kind: pairwise, model: claude-9}]\n"
    (tmp_path / "suite.yaml").write_text(head, encoding="utf-8")
    (tmp_path / "cases.jsonl").write_text('{"id": "a", "input": "How much?"}\n', encoding="utf-8")
    assert read_suite(tmp_path).quality == "pairwise"
    (tmp_path / "cases.jsonl").write_text(
        '{"id": "a", "input": "x", "expected": {"reference": 3}}\n', encoding="utf-8"
    )
    with pytest.raises(SuiteError, match=r"expected\.reference"):
        read_suite(tmp_path)
