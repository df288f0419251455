"""What an order is made of."""

from __future__ import annotations

from pathlib import Path

from evals.records import Answer, ToolCall
from tests.evals.made_runs import made_cases, made_row, made_run
from weir.eval_run_order import answers_of


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
