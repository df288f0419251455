"""Precision and recall of refusals: what counts, and what does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evals.records import Row, Score, ScorerFacts
from evals.refusing import Refusing
from evals.summary import Summary, summarise
from tests.evals.made_runs import made_case, made_row, made_run

REFUSAL = {"refusal": ScorerFacts(kind="refusal", version="1", binary=True)}


def summary(folder: Path, told: list[tuple[bool, float | None]], **more: Any) -> Summary:
    """Of a case each: whether it should be refused, and its score; None where no answer came."""
    cases = [made_case(number, expected={"refuse": refuse}) for number, (refuse, _) in enumerate(told)]
    rows: list[Row] = []
    for case, (_, score) in zip(cases, told, strict=True):
        scores = {"refusal": Score(value=score or 0.0)}
        rows += [made_row(case, score, scores=scores, repeat=again) for again in range(more.get("repeats", 1))]
    return made_run_summary(folder, cases, rows, **more)


def made_run_summary(folder: Path, cases: Any, rows: Any, **more: Any) -> Summary:
    return summarise(made_run(folder, cases, rows, scorers=REFUSAL, quality="refusal", **more))


def test_precision_is_of_refusals_and_recall_of_cases_without_an_answer(tmp_path: Path) -> None:
    told = [(True, 1.0)] * 6 + [(True, 0.0)] * 2 + [(False, 1.0)] * 10 + [(False, 0.0)] * 3
    found = summary(tmp_path, told)
    refused = found.refusing["refusal"]
    assert refused.precision is not None
    assert refused.recall is not None
    assert (refused.precision.value, refused.precision.n) == (6 / 9, 9)
    assert (refused.recall.value, refused.recall.n) == (6 / 8, 8)
    assert refused.precision.low < 6 / 9 < refused.precision.high
    assert [note.split(" (")[0] for note in found.notes] == [
        "refusal: of 9 refusals 67%",
        "refusal: of 8 cases without an answer 75%",
    ]


def test_an_answer_that_never_came_is_no_refusal(tmp_path: Path) -> None:
    refused = summary(tmp_path, [(True, 1.0), (True, None), (False, None)]).refusing["refusal"]
    assert refused.precision is not None
    assert refused.recall is not None
    assert (refused.precision.value, refused.precision.n) == (1, 1)
    assert (refused.recall.value, refused.recall.n) == (0.5, 2)


def test_repeats_are_not_more_cases(tmp_path: Path) -> None:
    refused = summary(tmp_path, [(True, 1.0), (True, 0.0)], repeats=3).refusing["refusal"]
    assert refused.recall is not None
    assert (refused.recall.value, refused.recall.n) == (0.5, 2)


def test_where_nothing_was_refused_there_is_no_precision(tmp_path: Path) -> None:
    assert summary(tmp_path, [(False, 1.0)]).refusing == {"refusal": Refusing(precision=None, recall=None)}
