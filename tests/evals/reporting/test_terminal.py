"""A run on a terminal."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from evals.records import Answer, ToolCall
from evals.reporting.terminal import picked, print_cases, print_run
from evals.run_folder import Run
from evals.summary import summarise
from tests.evals.reporting.runs import answered, cases, failed, good_but, write_run


def told(run: Run, width: int = 80, segment: str | None = None) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_run(summarise(run), console, segment)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 200])
def test_figures_stand_whole_in_their_rows(tmp_path: Path, width: int) -> None:
    run = write_run(tmp_path / "run", cases(60), good_but(4))
    rate = summarise(run).quality
    text = told(run, width)
    assert max(map(len, text.splitlines())) <= width
    assert f"{rate.value:.1%}  {rate.low:.1%} to {rate.high:.1%}" in text
    assert all(f" {name} " in text for name in ("refunds", "delivery", "accounts", "en", "es"))


def test_a_narrow_terminal_leaves_columns_out_and_folds_no_figure(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", cases(60), good_but(4))
    assert "P50" in told(run, 120)
    narrow = told(run, 60)
    assert "P50" not in narrow
    assert "95% interval" in narrow


def test_one_segment_is_shown_alone(tmp_path: Path) -> None:
    text = told(write_run(tmp_path / "run", cases(60), good_but(4)), segment="refunds")
    assert "refunds" in text
    assert "delivery" not in text


def test_cases_are_picked_by_result_and_segment(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "run",
        cases(12),
        lambda case, n: failed(case) if case.id == "c5" else answered(case, n, case.id not in ("c3", "c4")),
    )
    assert [one.case.id for one in picked(run, "bad", None)] == ["c3", "c4", "c5"]
    assert [one.case.id for one in picked(run, "bad", "refunds")] == ["c3"]
    assert [one.case.id for one in picked(run, "errors", None)] == ["c5"]
    assert len(picked(run, "all", None)) == 12


def test_an_answer_cannot_steer_the_terminal(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", cases(3), lambda case, n: answered(case, n, False, "\x1b[2J[bold]gone\nnext"))
    console = Console(file=io.StringIO(), width=80)
    print_cases(picked(run, "bad", None), console, 2)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "  answer: \ufffd[2J[bold]gone\n    next\n  facts: 0.0%, does not say: 30 days" in text
    assert "1 more." in text


def test_a_very_long_answer_is_cut_and_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", cases(1), lambda case, n: answered(case, n, False, "word " * 1000))
    console = Console(file=io.StringIO(), width=80)
    print_cases(picked(run, "bad", None), console, 1)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert text.count("word") == 400
    assert "... and 3,000 characters more; --json shows all." in text


def test_calls_are_shown_where_there_is_no_text(tmp_path: Path) -> None:
    called = Answer(tool_calls=(ToolCall(name="weather", arguments='{"city": "Oslo"}'),))
    run = write_run(
        tmp_path / "run", cases(1), lambda case, n: msgspec.structs.replace(answered(case, n, False), answer=called)
    )
    console = Console(file=io.StringIO(), width=80)
    print_cases(picked(run, "bad", None), console, 1)
    assert isinstance(console.file, io.StringIO)
    assert '  answer: weather({"city": "Oslo"})' in console.file.getvalue()
