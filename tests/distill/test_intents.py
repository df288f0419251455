"""What is learned of intents finds them again, abstains as often as asked, and says honestly how well it does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from distill.intent_fit import Settings, chosen, kernel_ridge, softmax_regression, vocabulary
from distill.intents import Example, Predictions, judge, learn, learn_plainly, measured, read_examples
from heads.grams import word_grams
from heads.intents import UNKNOWN, Floats, unit
from tests.heads.labelled import WORDS, labelled

SUPPORT = Path(__file__).parents[2] / "examples/support/intents.jsonl"


def test_ten_examples_of_each_intent_are_enough() -> None:
    learned = learn(*labelled(10))
    test, vectors = labelled(40, seed=1)
    figures = measured(judge(learned.head, test, vectors))
    assert figures["accuracy"] > 0.95
    assert not [line for line in learned.evidence["advice"] if "examples" in line.split(";")[0]]


@pytest.mark.parametrize("unknown", [0, 120])
def test_as_many_known_queries_are_rejected_as_asked_and_unknown_ones_are_caught(unknown: int) -> None:
    settings = Settings(rejected=0.1)
    learned = learn(*labelled(80, unknown=unknown), settings)
    test, vectors = labelled(300, seed=1, unknown=300)
    figures = measured(judge(learned.head, test, vectors))
    assert learned.evidence["rejected"] == pytest.approx(0.1, abs=0.01)
    assert figures["rejected"] == pytest.approx(0.1, abs=0.05)
    assert figures["unknown_caught"] > (0.95 if unknown else 0.8)
    assert learned.head.has_unknown is bool(unknown)


def test_unknown_examples_help_to_notice_others_of_their_kind() -> None:
    def with_weather(each: int, seed: int) -> tuple[list[Example], Floats]:
        """Queries of all intents, and unknown ones that name their words too."""
        examples, vectors = labelled(each, seed=seed)
        strange, near = labelled(each, seed=seed + 100)
        return (
            [*examples, *(Example(f"weather {example.text}", UNKNOWN) for example in strange)],
            np.concatenate([vectors, near + np.eye(24, dtype=np.float32)[-1] / 2]),
        )

    examples, vectors = with_weather(30, 0)
    aware = learn(examples, vectors).head
    ignorant = learn(*labelled(30)).head
    test = with_weather(30, 1)
    caught = [measured(judge(head, *test))["unknown_caught"] for head in (ignorant, aware)]
    assert caught[1] > 0.9
    assert caught[1] > caught[0] + 0.2


def test_cross_fitted_figures_are_those_of_queries_not_seen() -> None:
    examples, vectors = labelled(40, spread=3.0)
    draw = np.random.default_rng(3)
    examples = [Example(" ".join(draw.choice(["a", "b", "c"], 4)), example.intent) for example in examples]
    learned = learn(examples, vectors)
    on_its_own = measured(judge(learned.head, examples, vectors))["accuracy"]
    test, others = labelled(200, seed=1, spread=3.0)
    elsewhere = judge(learned.head, [Example("a b", example.intent) for example in test], others)
    assert learned.evidence["accuracy"] < on_its_own - 0.1
    assert learned.evidence["accuracy"] == pytest.approx(measured(elsewhere)["accuracy"], abs=0.1)


def test_probabilities_are_calibrated() -> None:
    learned = learn(*labelled(60, spread=2.0))
    assert learned.evidence["calibration_error"] < 0.07
    test, vectors = labelled(300, seed=1, spread=2.0)
    assert measured(judge(learned.head, test, vectors))["calibration_error"] < 0.07


@pytest.mark.parametrize("dimensions", [24, 1_024])
def test_any_encoder_and_the_same_examples_give_the_same_head(dimensions: int, tmp_path: Path) -> None:
    examples, vectors = labelled(12, dimensions=dimensions)
    versions = {learn(examples, vectors).head.write(tmp_path / "head.npz") for _ in range(2)}
    assert len(versions) == 1


def test_the_artefact_keeps_no_text(tmp_path: Path) -> None:
    path = tmp_path / "head.npz"
    learn(*labelled(12)).head.write(path)
    assert b"please" not in path.read_bytes()


def test_the_kept_examples_and_n_grams_are_bounded() -> None:
    settings = Settings(kept=13, words=20, characters=30, cells=6 * 40)
    head = learn_plainly(*labelled(20), settings)
    assert len(head.weights.kept) == 13
    assert 30 < len(head.weights.gram_steps) <= 40


def test_few_examples_are_advised_against_and_too_few_refused() -> None:
    examples, vectors = labelled(12)
    keep = [place for place, example in enumerate(examples) if example.intent != "coffee" or place % 4 == 0]
    advice = learn([examples[place] for place in keep], vectors[keep]).evidence["advice"]
    assert advice[0] == "coffee has 3 examples; give at least 10."
    assert UNKNOWN in advice[-1]
    with pytest.raises(ValueError, match="two intents"):
        learn(examples[:12], vectors[:12])
    with pytest.raises(ValueError, match="as many vectors"):
        learn(examples, vectors[:-1])


def test_an_intent_with_one_example_is_learned_beside_others() -> None:
    examples, vectors = labelled(12)
    learned = learn(examples[:24] + examples[24:25], vectors[:25])
    assert learned.evidence["intents"]["parcel"]["recall"] == 0.0  # its fold's head never saw one
    assert learned.head.classify(examples[24].text, vectors[24]).runners_up


def test_what_no_head_could_know_does_not_steer() -> None:
    examples, vectors = labelled(30)
    alone, others = labelled(1, seed=4)
    once = [Example(f"{one.text} {one.text[::-1]}", f"once {number}") for number, one in enumerate(alone)]
    with_them = learn([*examples, *once], np.concatenate([vectors, -others]))
    assert with_them.head.temperature < 1.5
    assert with_them.predictions.accepted[: len(examples)].mean() < 0.97
    with pytest.raises(ValueError, match="two examples"):
        learn(once, others)


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    learn(*labelled(10), progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 11) for done in range(12)]


def test_figures_count_what_was_said() -> None:
    said = Predictions(
        ("a", "b"),
        np.array([0, 0, 0, 1, 1, -1, -1]),
        np.array([0, 0, 1, 1, 0, 1, 0]),
        np.full(7, 0.6, np.float32),
        np.array([3, 1, 3, 3, 3, 3, 0], np.float32),
        np.array([True, False, True, True, True, True, False]),
    )
    figures = measured(said)
    assert figures["accuracy"] == pytest.approx(3 / 5)
    assert figures["rejected"] == pytest.approx(1 / 5)
    assert figures["unknown_caught"] == 0.5
    assert figures["accuracy_of_accepted"] == pytest.approx(2 / 5)
    assert figures["calibration_error"] == pytest.approx(0.0, abs=0.5)
    assert figures["intents"]["a"] == {"examples": 3, "precision": 0.5, "recall": 0.3333}
    assert figures["intents"]["b"] == {"examples": 2, "precision": 0.3333, "recall": 0.5}
    assert figures["confused"] == [
        {"intent": "a", "taken_for": "b", "times": 1},
        {"intent": "b", "taken_for": "a", "times": 1},
    ]


def test_examples_are_read_in_both_forms(tmp_path: Path) -> None:
    path = tmp_path / "examples.jsonl"
    path.write_text('{"text": "Hi", "intent": "greet"}\n\n{"intent": "bye", "phrasings": [{"text": "Bye"}]}\n')
    assert read_examples(path) == [Example("Hi", "greet"), Example("Bye", "bye")]
    shop = read_examples(SUPPORT)
    assert len({example.intent for example in shop}) == 40
    assert len({example.name for example in shop}) > 600


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '{"text": "Hi"}', '{"text": 3, "intent": "a"}', '{"text": " ", "intent": "a"}', '{"intent": "a"}'],
)
def test_a_bad_line_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "examples.jsonl"
    path.write_text(f"{json.dumps({'text': 'Hi', 'intent': 'greet'})}\n{line}\n")
    with pytest.raises(ValueError, match=r"examples\.jsonl:2: not an example"):
        read_examples(path)


def test_kept_examples_are_of_all_classes_in_turn() -> None:
    classes = np.array([0, 0, 0, 0, 1, 1, 2])
    assert chosen(classes, 5).tolist() == [0, 1, 4, 5, 6]
    assert chosen(classes, 50).tolist() == list(range(7))


def test_the_commonest_n_grams_are_kept() -> None:
    texts = [word_grams(text) for text in ("pay card", "pay rent", "pay card", "once")]
    kept = vocabulary(texts, 2, 2)
    (pay,) = set(texts[0].tolist()) & set(texts[1].tolist()) & set(word_grams("pay").tolist()[:1])
    assert pay in kept.hashes
    assert len(kept.hashes) == 2
    assert len(vocabulary(texts, 99, 3).hashes) == 2  # "pay", and its place at the start


def test_the_regression_is_at_the_least_of_its_loss() -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(60, 4)).astype(np.float32)
    wanted = np.eye(3, dtype=np.float32)[draw.integers(0, 3, 60)]
    weights = softmax_regression([rows[:, :1], rows[:, 1:]], wanted, 2.0, 200).astype(np.float64)

    def loss(some: np.ndarray) -> float:
        scores = rows @ some[:-1] + some[-1]
        surprise = np.log(np.exp(scores).sum(axis=1)) - (wanted * scores).sum(axis=1)
        return float(surprise.sum() + (some[:-1] ** 2).sum())

    least = loss(weights)
    assert all(loss(weights + 0.02 * draw.normal(size=weights.shape)) > least for _ in range(20))


def test_the_kernel_falls_to_nothing_far_from_all_examples() -> None:
    draw = np.random.default_rng(0)
    vectors = unit(draw.normal(size=(40, 6)).astype(np.float32))
    wanted = np.eye(2, dtype=np.float32)[(vectors[:, 0] > 0).astype(int)]
    weights = kernel_ridge(vectors, vectors, wanted, Settings(ridge=0.01))
    fitted = np.exp(3.0 * (vectors @ vectors.T - 1)) @ weights
    assert (fitted.argmax(axis=1) == wanted.argmax(axis=1)).mean() > 0.95


def test_all_words_of_the_made_up_intents_are_told_apart() -> None:
    assert set(learn(*labelled(10)).head.intents) == set(WORDS)
