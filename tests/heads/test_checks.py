"""What a check head says without labels, and that its file and hostile answers do it no harm."""

from __future__ import annotations

from math import inf, isfinite, nan
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heads.additive import CLIP, MISSING, Additive, Calibration, filled, standardised
from heads.artefact import write
from heads.checks import COLUMNS, HOPELESS, TASK, WORDING, CheckHead
from heads.signals import Signals
from heads.trees import Trees


def stump(column: int, threshold: float, below: float, above: float) -> Trees:
    return Trees(
        np.array([[column]], np.int32),
        np.array([[threshold]], np.float32),
        np.array([[1]], np.uint16),
        np.array([[below], [above]]),
    )


@pytest.fixture
def head() -> CheckHead:
    return CheckHead.default()


def learned(**changed: Any) -> CheckHead:
    """A head of one tree: a second opinion that agrees is worth 4 of log odds; task `b` is 2 harder than `a`."""
    columns, tasks = len(COLUMNS), 2
    parts: dict[str, Any] = {
        "centre": np.full(columns, 0.5),
        "scale": np.ones(columns),
        "good": Additive(np.zeros(columns + 1), stump(COLUMNS.index("second_agrees"), 0.5, -2.0, 2.0)),
        "gain": Additive(np.append(np.zeros(columns), 0.25)),
        "tasks": ("a", "b"),
        "task_means": np.zeros((tasks + 1, len(TASK))),
        "wording": None,
        "calibration": Calibration(
            np.array([[1.0, 0.0], [1.0, 1.0], [1.0, -1.0]]), np.stack([np.eye(2)] * 3) * 0.01
        ),
        "card": {"made": "here"},
    }
    return CheckHead(**{**parts, **changed})


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (Signals(mean_logp=-0.05), Signals(mean_logp=-0.8)),
        (Signals(second_agrees=1.0), Signals(second_agrees=0.0)),
        (Signals(vote_share=1.0), Signals(vote_share=0.4)),
        (Signals(self_check=0.9), Signals(self_check=0.1)),
        (Signals(forecast_good=0.9), Signals(forecast_good=0.1)),
        (Signals(answer="It is 7."), Signals(answer="I'm sorry, I cannot help.")),
        (Signals(answer="It is 7."), Signals(answer="It is", finish="length")),
    ],
)
def test_before_any_label_each_signal_counts_the_right_way(
    head: CheckHead, better: Signals, worse: Signals
) -> None:
    assert head.judge(better).good > head.judge(worse).good
    assert head.judge(better).score < head.judge(worse).score


def test_before_any_label_it_is_cautious_and_unsure(head: CheckHead) -> None:
    nothing = head.judge(Signals())
    assert nothing.good == pytest.approx(0.401, abs=0.001)
    assert nothing.deviation > 0.2
    assert nothing.gain is None and nothing.reasons == ()


@pytest.mark.parametrize("hopeless", [Signals(answer=" "), Signals(answer="{", wants_json=True)])
@pytest.mark.parametrize("of", [CheckHead.default, learned])
def test_an_empty_answer_is_never_good(of: Any, hopeless: Signals) -> None:
    assert of().judge(msgspec.structs.replace(hopeless, second_agrees=1.0, vote_share=1.0), "a").good <= HOPELESS


def test_each_task_has_its_calibration_and_an_unknown_one_that_of_all() -> None:
    good = {task: learned().judge(Signals(second_agrees=1.0), task).good for task in ("a", "b", "", "other")}
    expected = 1 / (1 + np.exp([-3.0, -1.0, -2.0, -2.0]))
    assert list(good.values()) == pytest.approx(expected.tolist())


def test_deviation_is_that_of_the_calibration_to_first_order() -> None:
    judged = learned().judge(Signals(second_agrees=1.0), "a")
    assert judged.deviation == pytest.approx(judged.good * (1 - judged.good) * (0.01 * (2.0**2 + 1)) ** 0.5)


def test_reasons_name_what_weighed_and_which_way(head: CheckHead) -> None:
    found = head.judge(Signals(answer="I'm sorry, no.", second_agrees=1.0, mean_logp=-0.26)).reasons
    assert found == ("against it: the answer's form (refusal)", "for it: a second opinion")
    assert learned().judge(Signals(second_agrees=0.0)).reasons == ()  # half of an answer is as bad to this tree
    assert learned().judge(Signals(second_agrees=1.0)).reasons == ("for it: a second opinion",)


def test_the_gain_decides_where_it_was_learned() -> None:
    judged = learned().judge(Signals(second_agrees=1.0), "a")
    assert judged.score == judged.gain == pytest.approx(0.25)


def test_words_of_the_answer_are_worth_what_was_learned() -> None:
    weights = np.zeros(len(COLUMNS) + 1)
    weights[COLUMNS.index(WORDING[0])] = 1.0
    worth = np.zeros((2, 1 << 13))
    worth[0] = 0.25
    one = learned(good=Additive(weights), centre=np.zeros(len(COLUMNS)), wording=worth)
    assert one.rows([Signals(answer="yes")], [""])[0, COLUMNS.index(WORDING[0])] == pytest.approx(0.25 * 4**0.5)
    assert one.judge(Signals(answer="yes it is")).good > one.judge(Signals()).good


@pytest.mark.parametrize("of", [CheckHead.default, learned])
def test_the_file_gives_the_same_head(of: Any, tmp_path: Path) -> None:
    head, path = of(), tmp_path / "checks.npz"
    assert head.write(path) == head.version
    again = CheckHead.read(path)
    assert (again.version, again.tasks, again.card) == (head.version, head.tasks, head.card)
    one = Signals(answer="B", second_agrees=0.0, mean_logp=-0.4)
    assert again.judge(one, "b") == head.judge(one, "b")


def test_other_files_are_refused(tmp_path: Path, head: CheckHead) -> None:
    path = tmp_path / "checks.npz"
    path.write_bytes(b"no")
    with pytest.raises(ValueError, match="no artefact"):
        CheckHead.read(path)
    write(path, "answer checks", {"centre": head.centre}, {"columns": ["one"], "tasks": []})
    with pytest.raises(ValueError, match="other signals"):
        CheckHead.read(path)
    write(path, "answer checks", {"centre": head.centre}, {"columns": list(COLUMNS), "tasks": []})
    with pytest.raises(ValueError, match="scores"):
        CheckHead.read(path)
    with pytest.raises(ValueError, match="do not fit"):
        learned(centre=np.zeros(3))


def test_what_is_missing_is_usual_to_the_line_and_apart_to_the_trees() -> None:
    rows = np.array([[nan, 9.0, 1.0]])
    assert standardised(rows, np.array([0.2, 0.0, 0.0]), np.ones(3)).tolist() == [[0.0, CLIP, 1.0]]
    assert filled(rows).tolist() == [[MISSING, 9.0, 1.0]]


@given(
    st.builds(
        Signals,
        mean_logp=st.none() | st.floats(),
        second_agrees=st.none() | st.floats(),
        vote_share=st.none() | st.floats(),
        answer_tokens=st.none() | st.floats(),
        characters=st.none() | st.floats(),
        answer=st.none() | st.text(max_size=50),
        question=st.none() | st.text(max_size=50),
        finish=st.none() | st.sampled_from(["stop", "length", "?"]),
        wants_json=st.booleans(),
    ),
    st.sampled_from(["", "a", "é", "x" * 1000]),
)
def test_whatever_is_known_gives_a_probability(signals: Signals, task: str) -> None:
    for head in (CheckHead.default(), learned()):
        judged = head.judge(signals, task)
        assert 0 <= judged.good <= 1 and 0 <= judged.deviation <= 0.5
        assert judged.gain is None or -1 <= judged.gain <= 1


@pytest.mark.parametrize("text", ["😀" * 100_000, "x " * 50_000, "\ud800", "[" * 100_000, "B. " * 30_000])
def test_long_and_odd_texts_are_judged(text: str) -> None:
    judged = learned(wording=np.full((2, 1 << 13), 0.01)).judge(
        Signals(answer=text, question=text, mean_logp=-inf, wants_json=True), text
    )
    assert isfinite(judged.good)
