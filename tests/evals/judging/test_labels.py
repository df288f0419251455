"""Reading people's labels, and what several people say of one answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals.cases import Case
from evals.judging.labels import Label, LabelsUnusable, agreed, raters_agreement, read_labels, split


def case(name: str = "a") -> Case:
    messages = ({"role": "user", "content": f"Question {name}?"},)
    return Case(id=name, messages=messages, expected={"rubric": "r"}, segment="s", cluster="c", metadata={})


def labels(folder: Path, *lines: Any) -> tuple[Label, ...]:
    path = folder / "labels.jsonl"
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text(text, encoding="utf-8")
    return read_labels(path, {"a": case("a"), "b": case("b")})


def test_a_label_names_a_case_of_the_suite_or_brings_its_own(tmp_path: Path) -> None:
    named, short, long = labels(
        tmp_path,
        {"case": "a", "answer": "x", "good": True, "rater": "ann"},
        "",
        {
            "input": "How?",
            "answer": "y",
            "good": False,
            "expected": {"rubric": "own"},
            "documents": [{"text": "d"}],
        },
        {"messages": [{"role": "user", "content": "How?"}], "answer": "z", "good": False},
    )
    assert (named.case, named.answer, named.good, named.rater) == (case("a"), "x", True, "ann")
    assert (short.case.question, short.case.expected, short.case.documents[0].id) == (
        "How?",
        {"rubric": "own"},
        "1",
    )
    assert (long.case.question, short.rater, long.good) == ("How?", "", False)
    assert named.where.endswith("labels.jsonl:1")
    assert short.where.endswith("labels.jsonl:3")


def test_all_problems_come_at_once_with_their_lines(tmp_path: Path) -> None:
    with pytest.raises(LabelsUnusable) as failure:
        labels(
            tmp_path,
            {"case": "zzz", "answer": "x", "good": True},
            {"case": "a", "input": "How?", "answer": "x", "good": True},
            {"answer": "x", "good": True},
            {"case": "a", "answer": "x", "good": "yes"},
            {"case": "a", "answer": "x", "good": 1},
            {"case": "a", "answer": "x", "good": True, "judge": "me"},
            {"case": "a", "answer": "x", "good": True, "expected": {"rubric": "r"}},
            "not json",
        )
    told = [problem.partition("labels.jsonl:")[2] for problem in failure.value.problems]
    assert [line[0] for line in told] == list("12345678")
    assert "no case 'zzz'" in told[0]
    assert "one of `case`, `messages` and `input`" in told[2]
    assert "judge" in told[5]


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(LabelsUnusable, match="no labels"):
        labels(tmp_path, text)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LabelsUnusable, match="No such file"):
        read_labels(tmp_path / "none.jsonl", {})


def test_one_person_labels_an_answer_once(tmp_path: Path) -> None:
    line = {"case": "a", "answer": "x", "good": True}
    with pytest.raises(
        LabelsUnusable, match=r"labels\.jsonl:2: somebody without a `rater` has labelled"
    ) as failure:
        labels(tmp_path, line, line | {"good": False}, line | {"rater": "ann"}, line | {"case": "b"})
    assert len(failure.value.problems) == 1


def label(answer: str, good: bool, rater: str, of: str = "a") -> Label:
    return Label(case=case(of), answer=answer, good=good, rater=rater, where="")


def test_the_majority_counts_and_a_split_answer_is_left_out() -> None:
    said = [
        *(label("most", good, rater) for good, rater in ((False, "x"), (True, "y"), (True, "z"))),
        *(label("split", good, rater) for good, rater in ((True, "x"), (False, "y"))),
        label("one", False, "x"),
        label("one", True, "x", of="b"),
    ]
    assert [(one.answer, one.case.id, one.good) for one in agreed(said)] == [
        ("most", "a", True),
        ("one", "a", False),
        ("one", "b", True),
    ]
    assert split(said) == 1


def test_peoples_own_agreement_is_told_by_pairs() -> None:
    # 20 both good, 5 and 10 mixed, 15 both bad: Cohen's example, kappa = (.7 - .5) / (1 - .5).
    table = [(20, True, True), (5, True, False), (10, False, True), (15, False, False)]
    said, at = [], 0
    for count, one, other in table:
        for _ in range(count):
            said += [label(str(at), one, "ann"), label(str(at), other, "bob")]
            at += 1
    said += [label("alone", True, "cem")]
    (found,) = raters_agreement(said)
    assert (found.raters, found.answers) == (("ann", "bob"), 50)
    assert found.kappa.value == pytest.approx(0.4)
    assert found.kappa.low < 0.4 < found.kappa.high


def test_somebody_who_calls_everything_good_tells_nothing_of_agreement() -> None:
    assert raters_agreement([label("x", True, "ann"), label("x", True, "bob")]) == ()
    said = [label("x", True, "ann"), label("x", True, "bob"), label("y", True, "ann"), label("y", False, "bob")]
    assert raters_agreement(said) == ()
