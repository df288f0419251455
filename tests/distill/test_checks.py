"""Planted signals are found, probabilities are honest, a task follows its own labels as far as they carry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from distill.additive import calibrate, word_matrix, word_worth
from distill.checks import LEAST, Example, Learned, Settings, learn, read
from evals.curves import apgr, calibration_error
from heads.checks import CheckHead
from heads.signals import Signals


def planted(count: int, seed: int = 0, **changed: Any) -> list[Example]:
    """Agreement and log-probability tell how good an answer is; the strong model fails at long questions."""
    draw = np.random.default_rng(seed)
    found = []
    for place in range(count):
        agrees, logp, hard = int(draw.integers(2)), -float(draw.gamma(2.0, 0.2)), int(draw.integers(2))
        odds = -0.5 + 2.0 * agrees + 2.0 * (logp + 0.4)
        good = float(draw.random() < 1 / (1 + np.exp(-odds)))
        strong = float(draw.random() < (0.5 if hard else 0.95))
        known = {"task": "one", "strong": strong, "group": str(place), **changed}
        question = "word " * (20 if hard else 4)
        signals = Signals(second_agrees=float(agrees), mean_logp=logp, question=question)
        found.append(Example(signals=signals, good=good, **known))
    return found


def honest_odds(count: int, shift: float, seed: int) -> tuple[Any, Any]:
    draw = np.random.default_rng(seed)
    odds = draw.normal(size=count)
    return odds, (draw.random(count) < 1 / (1 + np.exp(-(odds + shift)))).astype(float)


@pytest.fixture(scope="module")
def many() -> Learned:
    return learn(planted(2_000))


def test_planted_signals_are_found(many: Learned) -> None:
    both = Signals(second_agrees=1.0, mean_logp=-0.1)
    neither = Signals(second_agrees=0.0, mean_logp=-1.2)
    assert many.head.judge(both, "one").good > 0.8
    assert many.head.judge(neither, "one").good < 0.25
    assert "against it: a second opinion" in many.head.judge(neither, "one").reasons


def test_it_is_calibrated_on_others(many: Learned) -> None:
    fresh = planted(2_000, seed=1)
    good = np.array([many.head.judge(one.signals, one.task).good for one in fresh])
    outcomes = np.array([one.good for one in fresh])
    assert calibration_error(good, outcomes) < 0.05
    assert abs(good.mean() - outcomes.mean()) < 0.03
    assert np.mean((good - outcomes) ** 2) < 0.8 * outcomes.var()


def test_cross_fitted_predictions_are_as_good_as_those_on_others_and_no_better(many: Learned) -> None:
    old, fresh = planted(2_000), planted(2_000, seed=1)
    good = np.array([many.head.judge(one.signals, one.task).good for one in fresh])
    error = np.mean((good - [one.good for one in fresh]) ** 2)
    fitted = np.mean((many.good - [one.good for one in old]) ** 2)
    assert fitted == pytest.approx(error, abs=0.015)
    assert many.evidence["squared_error"] == pytest.approx(fitted, abs=1e-4)


def test_escalating_by_the_gain_recovers_more_than_by_failure(many: Learned) -> None:
    examples = planted(2_000)
    weak, strong = np.array([one.good for one in examples]), np.array([one.strong or 0.0 for one in examples])
    assert many.gain is not None
    assert apgr(many.scores, weak, strong) > apgr(1 - many.good, weak, strong) + 0.03
    assert many.evidence["apgr"]["value"] == pytest.approx(apgr(many.gain, weak, strong), abs=1e-4)


def test_a_signal_that_is_missing_is_neither_good_nor_bad_news(many: Learned) -> None:
    judged = {
        known: many.head.judge(Signals(second_agrees=known, mean_logp=-0.4), "one").good
        for known in (None, 0.0, 1.0)
    }
    assert judged[0.0] + 0.1 < judged[None] < judged[1.0] - 0.1
    nothing = many.head.judge(Signals(), "one").good
    assert abs(nothing - np.mean([one.good for one in planted(2_000)])) < 0.15


def test_noise_is_worth_nothing() -> None:
    draw = np.random.default_rng(3)
    examples = [
        Example(
            signals=Signals(second_agrees=draw.random(), mean_logp=-draw.random()), good=float(draw.random() < 0.5)
        )
        for _ in range(600)
    ]
    learned = learn([msgspec.structs.replace(one, group=str(at)) for at, one in enumerate(examples)])
    assert learned.evidence["squared_error"] > 0.97 * learned.evidence["squared_error_of_the_mean"]
    assert learned.gain is None and learned.head.gain is None


def test_a_hundred_labels_are_enough_and_fewer_are_refused() -> None:
    head = learn(planted(LEAST)).head
    assert head.judge(Signals(second_agrees=1.0, mean_logp=-0.2)).good > head.judge(Signals(second_agrees=0.0)).good
    with pytest.raises(ValueError, match="100 labels"):
        learn(planted(LEAST - 1))
    with pytest.raises(ValueError, match="of good and of bad"):
        learn([msgspec.structs.replace(one, good=1.0) for one in planted(200)])
    with pytest.raises(ValueError, match="one group"):
        learn(planted(200, group="same"))


def test_the_same_examples_make_the_same_file(tmp_path: Path) -> None:
    one, other = learn(planted(300)), learn(planted(300))
    assert one.head.version == other.head.version
    path = tmp_path / "checks.npz"
    one.head.write(path)
    read_again = CheckHead.read(path)
    signals = planted(5, seed=4)[0].signals
    assert read_again.version == one.head.version
    assert read_again.judge(signals, "one") == one.head.judge(signals, "one")
    assert read_again.card["evidence"]["labels"] == 300


def test_a_task_with_few_labels_stays_near_all_and_one_with_many_follows_its_own() -> None:
    all_odds, all_labels = honest_odds(4_000, 0.0, 0)
    few_odds, few_labels = honest_odds(5, 3.0, 1)
    many_odds, many_labels = honest_odds(2_000, 1.5, 2)
    odds = np.concatenate([all_odds, few_odds, many_odds])
    labels = np.concatenate([all_labels, few_labels, many_labels])
    places = np.repeat([1, 2, 3], [4_000, 5, 2_000])
    found = calibrate(odds, labels, np.ones(len(odds)), places, 3)
    (_, overall), (_, large), (_, small), (_, own) = found.values
    assert abs(small - overall) < 0.4 * abs(3.0 - overall)
    assert own == pytest.approx(1.5, abs=0.15)
    assert large == pytest.approx(0.0, abs=0.15)
    assert found.deviation(0.0, 0.5, 2) > 3 * found.deviation(0.0, 0.5, 3)
    assert found.deviation(0.0, 0.5, 0) > found.deviation(0.0, 0.5, 3)  # of an unknown task less is known


def test_in_a_head_as_well_a_small_task_stays_near_all() -> None:
    rest = planted(1_500)
    few = [msgspec.structs.replace(one, good=0.0, task="few") for one in planted(5, seed=5)]
    own = [msgspec.structs.replace(one, good=0.0, task="own") for one in planted(500, seed=6)]
    head = learn([*rest, *few, *own]).head
    signals = Signals(second_agrees=1.0, mean_logp=-0.2, question="word " * 4)
    good = {task: head.judge(signals, task).good for task in ("one", "few", "own", "other")}
    assert good["own"] < 0.1
    assert good["few"] > good["one"] / 2
    assert good["one"] > 0.7


def test_words_of_answers_are_learned() -> None:
    draw = np.random.default_rng(7)
    examples = []
    for place in range(600):
        good = float(draw.random() < 0.5)
        answer = f"{'certain' if good else 'perhaps'} {' '.join(draw.choice(list('abcdefgh'), 4))}"
        examples.append(Example(signals=Signals(answer=answer), good=good, group=str(place)))
    learned = learn(examples)
    assert learned.head.judge(Signals(answer="certain a b")).good > 0.9
    assert learned.head.judge(Signals(answer="perhaps a b")).good < 0.1
    assert learned.evidence["squared_error"] < 0.05


def test_rare_words_cannot_be_learned_by_heart() -> None:
    draw = np.random.default_rng(8)
    answers = [f"w{place} v{place}" for place in range(600)]
    examples = [Example(signals=Signals(answer=answer), good=float(draw.random() < 0.5)) for answer in answers]
    learned = learn(examples)
    assert learned.evidence["squared_error"] > 0.95 * learned.evidence["squared_error_of_the_mean"]


def test_worth_is_the_ridge_solution() -> None:
    texts, labels, weights = [[0], [0, 1], [1]], np.array([1.0, 0.0, 0.0]), np.array([1.0, 2.0, 1.0])
    rows = word_matrix(texts, 3).toarray()
    assert rows[1].tolist() == pytest.approx([0.5**0.5, 0.5**0.5, 0])
    centred = labels - np.average(labels, weights=weights)
    exact = np.linalg.solve((rows.T * weights) @ rows + 3.0 * np.eye(3), rows.T @ (weights * centred))
    assert word_worth(texts, labels, weights, 3).tolist() == pytest.approx(exact.tolist(), abs=1e-3)


def test_examples_are_read_and_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "examples.jsonl"
    path.write_text(
        '{"signals": {"mean_logp": -0.5, "answer": "7"}, "good": 1}\n\n{"signals": {}, "good": 0.5, "strong": 1}\n'
    )
    first, second = read(path)
    assert first.signals == Signals(mean_logp=-0.5, answer="7") and second.strong == 1
    for line in ("{", '{"signals": {}}', '{"signals": {}, "good": 2}', '{"signals": {}, "good": 1, "weight": 0}'):
        path.write_text('{"signals": {}, "good": 1}\n' + line + "\n")
        with pytest.raises(ValueError, match="line 2"):
            read(path)


def test_progress_is_told() -> None:
    told: list[str] = []
    learn(planted(LEAST), settings=Settings(folds=3), progress=told.append)
    assert told[-1] == "all" and "fold 3 of 3" in told
