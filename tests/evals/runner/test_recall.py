from __future__ import annotations

import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

from evals.records import Answer, ToolCall
from evals.runner.recall import Recall

ANSWER = Answer(text="hé", tool_calls=(ToolCall("f", "{}"),), cost=Decimal("0.0012"), latency_ms=3.5, model="m")


def test_an_answer_comes_back_as_it_was(tmp_path: Path) -> None:
    first = Recall(tmp_path / "deep" / "answers.db")
    first.put("k", ANSWER)
    first.close()
    again = Recall(tmp_path / "deep" / "answers.db")
    assert again.get("k") == ANSWER
    assert again.get("other") is None
    again.close()
    assert (tmp_path / "deep" / "answers.db").stat().st_mode & 0o077 == 0, "only its owner may read it"


def test_the_oldest_go_first(tmp_path: Path) -> None:
    recall = Recall(tmp_path / "answers.db", most=3)
    for number in range(10):
        recall.put(str(number), ANSWER)
    recall.close()
    recall = Recall(tmp_path / "answers.db")
    assert [number for number in range(10) if recall.get(str(number))] == [7, 8, 9]
    recall.close()


def test_a_file_that_is_none_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "answers.db").write_bytes(b"not a database" * 1000)
    recall = Recall(tmp_path / "answers.db")
    assert "answers.db" in recall.fault
    recall.put("k", ANSWER)
    assert recall.get("k") is None
    recall.close()
    assert (tmp_path / "answers.db").read_bytes().startswith(b"not a database"), "it is not ours to delete"


def test_two_processes_may_use_it_at_a_time(tmp_path: Path) -> None:
    one, other = Recall(tmp_path / "answers.db"), Recall(tmp_path / "answers.db")
    other.put("l", ANSWER)
    one.put("k", ANSWER)
    one.close()
    assert other.get("k") == ANSWER
    other.close()
    third = Recall(tmp_path / "answers.db")
    assert third.get("l") == third.get("k") == ANSWER
    third.close()
    assert not one.fault
    assert not other.fault


def test_an_answer_is_recalled_before_it_is_written(tmp_path: Path) -> None:
    recall = Recall(tmp_path / "answers.db")
    for number in range(100):
        recall.put(str(number), ANSWER)
        assert recall.get(str(number)) == ANSWER
    recall.close()
    again = Recall(tmp_path / "answers.db")
    assert all(again.get(str(number)) == ANSWER for number in range(100))
    again.close()


def test_without_a_file_nothing_is_kept() -> None:
    recall = Recall(None)
    recall.put("k", ANSWER)
    assert recall.get("k") is None
    assert not recall.fault
    recall.close()


def test_a_file_that_another_holds_is_done_without(tmp_path: Path) -> None:
    path = tmp_path / "answers.db"
    Recall(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        recall = Recall(path, locked_s=0.01)
        recall.put("k", ANSWER)
        recall.close()
    assert "locked" in recall.fault
    assert recall.get("k") is None


def test_an_answer_that_cannot_be_read_is_asked_for_anew(tmp_path: Path) -> None:
    path = tmp_path / "answers.db"
    Recall(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("INSERT INTO answers VALUES ('k', '{', 0)")
    recall = Recall(path)
    assert recall.get("k") is None
    assert "all are asked for" in recall.fault
    recall.close()
