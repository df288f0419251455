"""What was written down is read back: questions, the scores that belong to them, answers that were checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.outcomes import Outcome
from distill.traffic import Asked, Traffic, read_traffic

Line = Mapping[str, Any] | bytes


def asked(number: int, **changes: Any) -> dict[str, Any]:
    line = {
        "request_id": f"req_{number}",
        "at": "2026-11-23T00:00:00+00:00",
        "route": "auto",
        "tenant": "acme",
        "query": f"Question {number}?",
        "model": "small",
        "intent": "tides",
        "chosen": "small",
        "propensities": {"large": 0.2, "small": 0.8},
        "cost_usd": "0.0000001",
    }
    return {**line, **changes}


def scored(number: int, model: str, score: Any, source: str = "shadow", **changes: Any) -> dict[str, Any]:
    line = {"request_id": f"req_{number}", "route": "auto", "tenant": "acme", "query": f"Question {number}?"}
    return {**line, "model": model, "score": score, "source": source, **changes}


def feedback(number: int, score: Any, **changes: Any) -> dict[str, Any]:
    line = scored(number, "small", score, "feedback", **changes)
    del line["query"]
    return line


def read(folder: Path, *files: list[Line], route: str = "auto") -> Traffic:
    paths = []
    for number, lines in enumerate(files):
        paths.append(folder / f"{number}.jsonl")
        raw = [line if isinstance(line, bytes) else orjson.dumps(line) + b"\n" for line in lines]
        paths[-1].write_bytes(b"".join(raw))
    return read_traffic(paths, route)


def outcome(number: int, model: str, score: float) -> Outcome:
    return Outcome(query=f"Question {number}?", model=model, score=score)


def test_questions_and_scores_are_told_apart(tmp_path: Path) -> None:
    found = read(tmp_path, [asked(1), scored(1, "large", 1), scored(1, "small", 0.5), asked(2)])
    assert [one.request_id for one in found.asked] == ["req_1", "req_2"]
    assert found.asked[0] == Asked(
        request_id="req_1",
        at="2026-11-23T00:00:00+00:00",
        query="Question 1?",
        model="small",
        chosen="small",
        propensities={"large": 0.2, "small": 0.8},
        cost=1e-7,
        intent="tides",
    )
    assert found.outcomes == [outcome(1, "large", 1.0), outcome(1, "small", 0.5)]
    assert found.scores == {"req_1": {"large": 1.0, "small": 0.5}}
    assert found.unread == 0


def test_feedback_is_joined_to_its_question_by_the_requests_id(tmp_path: Path) -> None:
    found = read(tmp_path, [feedback(2, 0), asked(1)], [feedback(1, 1), asked(2), feedback(3, 1)])
    assert found.outcomes == [outcome(2, "small", 0.0), outcome(1, "small", 1.0)]  # of 3 the question is gone
    assert found.scores == {"req_2": {"small": 0.0}, "req_1": {"small": 1.0}}


def test_a_question_that_was_scored_twice_is_one_question(tmp_path: Path) -> None:
    found = read(tmp_path, [asked(1), scored(1, "small", 1, "shadow"), feedback(1, 0)])
    assert {(one.source, one.query) for one in found.outcomes} == {("", "Question 1?")}
    assert [one.score for one in found.outcomes] == [1.0, 0.0]
    assert found.scores == {"req_1": {"small": 0.5}}


def test_another_routes_lines_are_left_out(tmp_path: Path) -> None:
    other = {"route": "faq"}
    found = read(tmp_path, [asked(1, **other), scored(1, "large", 1, **other), asked(2), feedback(2, 1, **other)])
    assert [one.request_id for one in found.asked] == ["req_2"]
    assert found.outcomes == []
    nothing = read(tmp_path, [asked(1, route=None), asked(2)], route="")
    assert (nothing.asked, nothing.outcomes) == ([], [])


def test_torn_lines_are_counted_and_cost_no_other(tmp_path: Path) -> None:
    whole = orjson.dumps(asked(2))
    found = read(
        tmp_path,
        [asked(1), whole[:40] + b"\n", b"\n", b"  \n", b"[1]\n", b"7\n", b"\xff\xfe\n", asked(3), whole[:-1]],
        [asked(4)],
    )
    assert [one.request_id for one in found.asked] == ["req_1", "req_3", "req_4"]
    assert found.unread == 5


@pytest.mark.parametrize("score", [None, "1", -0.1, 1.1, [1]])
def test_what_is_no_score_teaches_nothing(tmp_path: Path, score: Any) -> None:
    found = read(tmp_path, [asked(1), scored(1, "small", score)])
    assert (len(found.asked), found.outcomes, found.scores) == (1, [], {})


@pytest.mark.parametrize(
    "changes", [{"model": None}, {"model": ""}, {"query": None, "request_id": "req_9"}, {"query": ["a"]}]
)
def test_a_score_of_nothing_known_teaches_nothing(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert read(tmp_path, [asked(1), {**scored(1, "small", 1), **changes}]).outcomes == []


@pytest.mark.parametrize(
    "changes", [{"cost_usd": "much"}, {"propensities": "all"}, {"propensities": {"large": "most"}}]
)
def test_an_odd_question_is_left_out_and_its_scores_stay(tmp_path: Path, changes: dict[str, Any]) -> None:
    found = read(tmp_path, [asked(1, **changes), scored(1, "small", 1)])
    assert (found.asked, found.outcomes) == ([], [outcome(1, "small", 1.0)])


def test_signals_become_examples_of_checked_answers(tmp_path: Path) -> None:
    signals = {"mean_logp": -0.5, "entropy": 1.5, "of a later Weir": 3, "margin": "wide", "answer": 7}
    line = scored(1, "small", 0.0, "escalation", signals=signals, intent="tides", answer="At noon.")
    plain = scored(1, "large", 1.0, "escalation")
    bare = scored(2, "small", 1.0, signals={}, answer=None)
    one, other = read(tmp_path, [asked(1), line, plain, bare]).examples
    assert (one.good, one.strong, one.task) == (0.0, 1.0, "tides")
    assert (one.signals.mean_logp, one.signals.entropy, one.signals.margin) == (-0.5, 1.5, None)
    assert (one.signals.answer, one.signals.question) == ("At noon.", "Question 1?")
    assert (other.good, other.signals.answer, other.task) == (1.0, None, "")
    assert one.group == "Question 1?" != other.group
    for example in (one, other):
        assert example.signals.row()


def test_no_file_is_no_traffic_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    assert read_traffic([], "auto") == Traffic()
    with pytest.raises(OSError, match="missing"):
        read_traffic([tmp_path / "missing.jsonl"], "auto")


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = (
    "request_id",
    "query",
    "model",
    "score",
    "signals",
    "propensities",
    "cost_usd",
    "chosen",
    "intent",
    "answer",
)


@settings(max_examples=50)
@given(st.lists(st.dictionaries(st.sampled_from(NAMES), json_values), max_size=6))
def test_no_line_is_too_odd_to_be_read(
    tmp_path_factory: pytest.TempPathFactory, lines: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "odd"
    folder.mkdir(exist_ok=True)
    found = read(folder, [{"route": "auto", **line} for line in lines])
    for one in found.outcomes:
        assert isinstance(one.query, str) and one.model and 0 <= one.score <= 1
    for example in found.examples:
        assert example.signals.row()


def test_scores_of_several_are_one_whatever_came_first(tmp_path: Path) -> None:
    lines: list[Line] = [asked(1), feedback(1, 0.0), scored(1, "small", 1.0)]
    for order in (lines, lines[::-1]):
        assert read(tmp_path, order).scores == {"req_1": {"small": 0.5}}
