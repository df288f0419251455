"""`weir eval show`: a run's figures and cases, as a table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
from click.testing import CliRunner

from evals.cases import Case
from evals.records import Row, Score
from tests.evals.reporting.runs import FACTS, JUDGE, answered, cases, failed, good_but, write_run
from weir.eval import eval as eval_group


def show(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(eval_group, ["show", *map(str, arguments)], env={"COLUMNS": "100"})
    return result.exit_code, result.output


def test_shows_figures_and_the_bad_cases_that_were_asked_for(tmp_path: Path) -> None:
    write_run(tmp_path, cases(30), good_but(10))
    code, text = show(tmp_path, "--cases", "bad", "--limit", 2)
    assert code == 0
    assert "90.0%" in text
    assert text.count("does not say: 30 days") == 2
    assert "1 more." in text


def test_cases_are_bad_by_the_scorer_that_was_asked_for(tmp_path: Path) -> None:
    def judged(case: Case, repeat: int) -> Row:
        row = answered(case, repeat, True)
        polite = Score(value=float(case.id != "c4"), why="it shouts")
        return msgspec.structs.replace(row, scores={**row.scores, "helpful": polite})

    write_run(tmp_path, cases(30), judged, scorers={**FACTS, **JUDGE})
    assert json.loads(show(tmp_path, "--cases", "bad", "--json")[1])["found"] == 0
    told = json.loads(show(tmp_path, "--cases", "bad", "--scorer", "helpful", "--json")[1])
    assert [one["case"] for one in told["cases"]] == ["c4"]
    code, text = show(tmp_path, "--cases", "bad", "--scorer", "polite")
    assert (code, "there are facts, helpful" in text) == (2, True)


def test_json_has_the_summary_and_the_cases(tmp_path: Path) -> None:
    write_run(tmp_path, cases(30), lambda case, n: failed(case) if case.id == "c4" else answered(case, n, True))
    code, text = show(tmp_path, "--cases", "errors", "--json")
    told = json.loads(text)
    assert code == 0
    assert told["overall"]["errors"] == told["found"] == 1
    assert [one["case"] for one in told["cases"]] == ["c4"]
    assert told["cases"][0]["rows"][0]["error"].startswith("timeout")
    assert "cases" not in json.loads(show(tmp_path, "--json")[1])


def test_a_segment_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    write_run(tmp_path, cases(30), good_but(10))
    code, text = show(tmp_path, "--segment", "refund")
    assert code == 2
    assert "accounts, delivery, refunds" in text


def test_a_folder_without_a_run_or_without_answers_says_what_to_do(tmp_path: Path) -> None:
    code, text = show(tmp_path)
    assert (code, "`weir eval run` makes one" in text) == (1, True)
    write_run(tmp_path / "begun", cases(3), lambda _, __: None)
    code, text = show(tmp_path / "begun")
    assert (code, "holds no answers yet" in text) == (1, True)
