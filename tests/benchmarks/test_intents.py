"""The benchmark of intents reads its data, keeps learned and judged apart, and counts as it says."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.intents import caught, goals, report, shown, source_figures
from benchmarks.intents_data import SOURCES, cut, few, known, read
from distill.intents import Predictions
from heads.intents import UNKNOWN
from tests.heads.labelled import WORDS, labelled


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        {"id": f"{number}", "text": f"text {number}", "intent": "oos" if number < 5 else "a", "oos": number < 5}
        for number in range(50)
    ]
    for name in SOURCES:
        with gzip.open(tmp_path / f"{name}.holdout.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return tmp_path


def test_a_folder_is_read_in_an_order_that_is_not_the_files(folder: Path) -> None:
    data = read(folder)
    assert tuple(data) == SOURCES
    examples = data["clinc150"]
    assert [example.id for example in examples] != [str(number) for number in range(50)]
    assert {example.id for example in examples if example.intent == UNKNOWN} == set("01234")
    assert len(known(examples)) == 45


def test_a_folder_without_a_source_is_refused(folder: Path) -> None:
    (folder / "hwu64.holdout.jsonl.gz").unlink()
    with pytest.raises(FileNotFoundError, match="0 files of hwu64"):
        read(folder)


def test_parts_are_apart_and_few_are_few(folder: Path) -> None:
    examples = read(folder)["clinc150"]
    first, second = cut(examples)
    assert sorted(one.id for one in [*first, *second]) == sorted(one.id for one in examples)
    assert len(first) > len(second) > 0
    assert [one.intent for one in few(examples, 7)] == ["a"] * 7


def test_unknown_ones_are_caught_below_what_a_twentieth_of_the_known_have() -> None:
    confidences = np.concatenate([np.arange(100.0), [-1.0, 3.0, 7.0, 50.0]])
    is_known = np.array([1.0] * 100 + [0.0] * 4)
    assert caught(confidences, is_known) == 0.5
    with pytest.raises(ValueError, match="known and unknown"):
        caught(confidences, np.ones(104))


def test_figures_are_percent_with_intervals() -> None:
    truth = np.array([0] * 50 + [1] * 40 + [-1] * 10)
    taken = np.array([0] * 90 + [1] * 10)
    sure = np.where(truth < 0, 0.0, 1.0).astype(np.float32)
    figures = shown(Predictions(("a", "b"), truth, taken, np.full(100, 0.5, np.float32), sure, sure > 0.5))
    share, low, high = figures["accuracy"]
    assert share == pytest.approx(100 * 50 / 90, abs=0.01)
    assert low < share < high
    assert figures["caught"] == [100.0, 100.0, 100.0]
    assert figures["caught_at_threshold"] == 100.0
    assert figures["rejected_at_threshold"] == 0.0


@pytest.mark.parametrize("apart", [True, False])
def test_all_figures_of_a_source_reach_the_report(apart: bool) -> None:
    train, rows = labelled(30, unknown=30)
    test, more = labelled(10, seed=1, unknown=10) if apart else ([], rows[:0])
    vectors = {one.text: row for one, row in zip([*train, *test], [*rows, *more], strict=True)}
    told: list[str] = []
    figures = source_figures(train, test, vectors, told.append)
    assert figures["all"]["known"] == len(WORDS) * (10 if apart else 30)
    assert figures["all"]["accuracy"][0] > 90
    assert figures["cost"]["artefact_bytes"] > 1_000
    assert len(figures["all"]["caught"]) == 3
    few_shot = next(one for kind, one in figures.items() if kind.startswith("10 of each"))
    assert few_shot["accuracy"][0] > 80
    assert told[-1] == "50 examples of each intent"
    text = report(dict.fromkeys(SOURCES, figures))
    assert "no unknown learned" in text
    assert ("cut" in text) is not apart
    assert goals(dict.fromkeys(SOURCES, figures))["hwu64_accuracy"] == figures["all"]["accuracy"][0]
