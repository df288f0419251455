"""Answers are worth what the suite's scorer says, or as much as they say what the teacher says, numbers and all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distill.student.examples import Example
from distill.student.gating.marking import SAME, SILENT, Marker
from distill.student.gating.trial import NOT_KNOWN
from evals.suite import Suite, read_suite
from tests.distill.student.judge_bench import Bench

ANSWER = "We refund you within 30 days of the return, to the card you paid with."


def example(name: str, **told: object) -> Example:
    fields = {"id": name, "intent": "refund", "messages": ({"role": "user", "content": "When?"},), "group": name}
    return Example(**{**fields, "answer": ANSWER, **told})  # type: ignore[arg-type]


def suite(folder: Path, scorer: str = "contains_facts") -> Suite:
    (folder / "suite.yaml").write_text(f"name: s\ndescription: d\nscorers: [{scorer}]\n")
    case = '{"id": "one", "input": "When?", "expected": {"facts": ["30 days"], "answer": "x", "rubric": "r"}}\n'
    (folder / "cases.jsonl").write_text(case)
    return read_suite(folder)


def marker(of: Suite | None = None) -> Marker:
    return Marker(of, lambda texts: np.zeros((len(texts), 2), np.float32), same_words=0.8)


@pytest.mark.parametrize(
    ("said", "good"),
    [
        (ANSWER, 1.0),
        (ANSWER.lower(), 1.0),
        (ANSWER.replace("to the card", "on the card"), 1.0),
        (ANSWER.replace("30", "20"), 0.0),
        ("You can pause your plan for 30 days on the plan page.", 0.0),
        ("", 0.0),
    ],
)
def test_beside_the_teachers_answer(said: str, good: float) -> None:
    (mark,) = marker().marks([example("one")], {"one": said}, {})
    assert (mark.student, mark.teacher, mark.measure) == (good, 1.0, SAME)


def test_a_suites_scorer_judges_both(tmp_path: Path) -> None:
    expected = {"facts": ["30 days"]}
    rows = [
        example("right", expected=expected, answer="Soon."),
        example("both", expected=expected),
        example("silent", expected=expected, answer=""),
    ]
    said = {"right": "In 30 days.", "both": "Never.", "silent": "30 days."}
    right, both, silent = marker(suite(tmp_path)).marks(rows, said, {})
    assert (right.student, right.teacher, right.measure) == (1.0, 0.0, "contains_facts")
    assert (both.student, both.teacher) == (0.0, 1.0)
    assert (silent.student, silent.teacher) == (1.0, 1.0)  # of the teacher nobody knows, so it is taken to be right


def test_what_the_teacher_answered_when_asked_counts_before_what_was_curated() -> None:
    (mark,) = marker().marks([example("one", answer="")], {"one": ANSWER}, {"one": ANSWER})
    assert (mark.student, mark.measure, mark.agreement) == (1.0, SAME, 1.0)


def test_what_nobody_knows_counts_as_wrong() -> None:
    (mark,) = marker().marks([example("one", answer="")], {"one": ANSWER}, {})
    assert mark == NOT_KNOWN
    assert mark.student == 0.0


def test_a_judge_is_asked_where_words_do_not_tell_and_only_there(tmp_path: Path) -> None:
    """Answers that are much like the teacher's, but neither in the same words nor with other numbers."""
    asked: list[str] = []

    def says(material: Mapping[str, Any]) -> str:
        asked.append(material["answer"])
        assert material["reference"] == ANSWER
        return {"right": "YES", "wrong": "NO"}.get(material["answer"].split()[-1], "Hm.")

    near = "Refund within 30 days of the return, to the card you used with us, "
    said = {
        "alike": ANSWER.lower(),
        "right": near + "right",
        "wrong": near + "wrong",
        "silent": near + "maybe",
        "number": near.replace("30", "20") + "right",
        "other": "30 right",
        "scored": near + "scored",
        "nothing": near + "nothing",
    }
    rows = [example(name, answer="" if name == "nothing" else ANSWER) for name in said if name != "scored"]
    rows.append(example("scored", expected={"facts": ["30 days"]}))
    judge = Bench(says).judge(tmp_path)
    marking = Marker(
        suite(tmp_path), lambda texts: np.zeros((len(texts), 2), np.float32), same_words=0.8, judge=judge
    )
    marks = dict(zip((one.id for one in rows), marking.marks(rows, said, {}), strict=True))
    assert sorted(asked) == sorted(said[name] for name in ("right", "wrong", "silent"))
    assert {name: mark.student for name, mark in marks.items() if mark.student} == dict.fromkeys(
        ("alike", "right", "scored"), 1.0
    )
    measures = {name: mark.measure for name, mark in marks.items()}
    assert measures["right"] == measures["wrong"] == "the judge judge"
    assert measures["silent"] == SILENT
    assert measures["number"] == measures["other"] == measures["alike"] == SAME
    assert measures["nothing"] == NOT_KNOWN.measure


def test_a_suite_whose_quality_a_model_says_is_refused_with_advice(tmp_path: Path) -> None:
    asking = suite(tmp_path, "{kind: judge, model: large, rubric: good}")
    with pytest.raises(ValueError, match="name another of its scorers"):
        marker(asking)
