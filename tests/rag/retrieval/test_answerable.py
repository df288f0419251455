from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from contracts.retrieval import Passage
from rag.ports import WordCounts
from rag.retrieval.answerable import PASSAGE, SEARCH, Judge, Odds, features
from rag.retrieval.answerable_training import Example, blinded, learned, learned_odds
from rag.retrieval.ranking import Ranking
from rag.retrieval.tuned import Fit
from rag.retrieval.words import words_of

QUESTION = "How long may I return a jacket?"
COUNTS = WordCounts(100, 40.0, {"return": 10, "jacket": 3, "long": 20})


def ranking(*found: tuple[str, float], question: str = QUESTION) -> Ranking:
    """Passages by text and cosine; BM25 is as many as they have words of the question."""
    asked = dict.fromkeys(words_of(question), 1.0)
    shared = [len(set(asked) & set(words_of(text))) for text, _ in found]
    passages = tuple(
        Passage(
            store_id="vs_1",
            file_id=f"file-{place}",
            filename="a.md",
            revision=1,
            updated_at=datetime(2026, 1, 1, tzinfo=UTC),
            start=0,
            end=len(text),
            text=text,
            words=float(words),
            meaning=cosine,
        )
        for place, ((text, cosine), words) in enumerate(zip(found, shared, strict=True))
    )
    most = max([*shared, 1])
    fits = tuple(Fit(words / most, cosine, 0.0, 0.0) for (_, cosine), words in zip(found, shared, strict=True))
    places = tuple((place, place) for place in range(1, len(found) + 1))
    return Ranking(
        question=question, asked=asked, spoken={}, counts=COUNTS, passages=passages, fits=fits, places=places
    )


GOOD = ranking(("A jacket may be returned for as long as thirty days.", 0.8), ("Trousers come in blue.", 0.2))
POOR = ranking(("Trousers come in blue.", 0.2), ("Our shop is closed on Sundays.", 0.1))


def test_what_ships_tells_an_answer_from_none() -> None:
    judge = Judge.load()

    good, helps = judge.of(GOOD)
    poor, _ = judge.of(POOR)

    assert 0.8 < good < 1
    assert 0 < poor < 0.2
    assert helps[0] > 0.6
    assert helps[1] < 0.05
    assert judge.of(ranking()) == (0.0, ())


def test_words_alone_do_without_cosines() -> None:
    judge = Judge.load()

    assert judge.of(blinded(GOOD))[0] > 0.5 > judge.of(blinded(POOR))[0]
    assert judge.of(blinded(GOOD))[0] != judge.of(GOOD)[0]


def test_features_are_what_they_are_said_to_be() -> None:
    of_search, of_passages = features(GOOD)

    search = dict(zip(SEARCH, of_search, strict=True))
    assert search["meaning"] == 0.8
    assert search["covered"] == 1.0
    assert search["spoken"] == 0.0
    assert 0 < search["share"] < 1
    assert of_passages.shape == (2, len(PASSAGE))
    second = dict(zip(PASSAGE, of_passages[1], strict=True))
    assert second["first"] == 0.5
    assert second["covered"] == 0.0
    assert second["behind"] > 0


def test_a_rare_word_that_is_missing_counts_more_than_a_common_one() -> None:
    rare = features(ranking(("Returns take long.", 0.5)))[0][SEARCH.index("covered")]
    common = features(ranking(("Returns of a jacket.", 0.5)))[0][SEARCH.index("covered")]

    assert 0 < rare < common < 1


def test_a_question_of_stop_words_is_judged_too() -> None:
    answerable, helps = Judge.load().of(ranking(("Trousers come in blue.", 0.3), question="What is it?"))

    assert 0 < answerable < 0.5
    assert len(helps) == 1


def test_learning_finds_what_made_the_difference() -> None:
    examples = [Example("a", GOOD, True, (True, False)), Example("a", POOR, False, (False, False))] * 10

    model = learned(examples)

    judge = Judge(model)
    assert judge.of(GOOD)[0] > 0.7
    assert judge.of(POOR)[0] < 0.3
    assert model.found.weights["meaning"] > 0
    assert "meaning" not in model.blind_found.weights
    assert "share" not in model.found.weights
    with pytest.raises(ValueError, match="both kinds"):
        learned(examples[:1])


def test_odds_are_calibrated() -> None:
    draw = np.random.default_rng(3)
    rows = draw.normal(size=(4000, 1)) * 7 + 20
    truth = 1 / (1 + np.exp(-(rows[:, 0] - 22) / 4))

    odds = learned_odds(rows, draw.random(4000) < truth, ("a",), ["one"] * 4000)

    assert abs(odds.of(rows, ("a",)) - truth).max() < 0.05
    assert Odds(0.0, {"b": 3.0}).of(rows, ("a",)).tolist() == [0.5] * 4000


def test_what_tells_corpora_apart_is_not_learned() -> None:
    draw = np.random.default_rng(4)
    full = np.arange(2000) % 2 == 0
    labels = draw.random(2000) < np.where(full, 0.9, 0.3)
    rows = np.column_stack([full + draw.normal(size=2000) / 9, labels + draw.normal(size=2000)])

    apart = learned_odds(rows, labels, ("corpus", "fits"), ["full", "poor"] * 1000)
    as_one = learned_odds(rows, labels, ("corpus", "fits"), ["one"] * 2000)

    assert abs(apart.weights["corpus"]) < 1 < 2 < as_one.weights["corpus"]
    assert 0.5 < apart.weights["fits"] < 1.5


def test_a_file_of_ones_own_is_read_and_a_damaged_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    odds = '{"constant": 9, "weights": {}}'
    path.write_text(f'{{"found": {odds}, "helps": {odds}, "blind_found": {odds}, "blind_helps": {odds}}}')

    assert Judge.load(path).of(POOR)[0] > 0.99

    path.write_text("{}")
    with pytest.raises(ValueError, match="found"):
        Judge.load(path)
    with pytest.raises(OSError, match="none"):
        Judge.load(tmp_path / "none.json")


def test_a_passage_found_by_words_alone_does_not_blind_a_search() -> None:
    mixed = replace(GOOD, passages=(GOOD.passages[0], replace(GOOD.passages[1], meaning=None)))

    assert Judge.load().of(mixed) == Judge.load().of(GOOD)
