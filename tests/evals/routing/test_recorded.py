"""Recorded outcomes: both forms of a file, runs of a suite, and what cannot be replayed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evals.routing.recorded import Unreplayable, of_runs, read_recorded
from tests.evals.made_runs import made_cases, made_row, made_run, scored_run

LONG = [
    {"query": "one", "model": "weak", "score": 0, "cost_usd": 0.001},
    {"query": "one", "model": "strong", "score": 1, "cost_usd": 0.01},
    {"query": "two", "model": "strong", "score": 0.5, "cost_usd": 0.02, "cluster": "c", "latency_s": 3},
    {"query": "two", "model": "weak", "score": 0.5, "cost_usd": 0.002},
    {"query": "three", "model": "weak", "score": 1},
]
WIDE = [
    {"query_id": "1", "query": "one", "outcomes": {"weak": {"score": 0}, "strong": {"score": 1, "out_chars": 7}}},
    {"query_id": "2", "query": "one", "outcomes": {"weak": {"score": 1}, "strong": {"score": 1}}},
    {
        "query_id": "3",
        "query": None,
        "outcomes": {"weak": {"score": 1}, "strong": {"score": 0}, "other": {"score": 0}},
    },
]


def written(path: Path, lines: list[Any]) -> Path:
    data = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def test_a_line_for_each_outcome(tmp_path: Path) -> None:
    read = read_recorded(written(tmp_path / "long.jsonl", LONG))
    assert read.models == ("strong", "weak")
    assert read.queries == ["one", "two"]
    assert read.scores.tolist() == [[1, 0], [0.5, 0.5]]
    assert read.costs.tolist() == [[0.01, 0.001], [0.02, 0.002]]
    assert read.clusters == ["one", "c"]
    assert read.left_out == 1


def test_a_line_for_each_query_gzipped(tmp_path: Path) -> None:
    read = read_recorded(written(tmp_path / "wide.jsonl.gz", WIDE), ["weak", "strong"])
    assert read.names == ["1", "2", "3"]
    assert read.scores.tolist() == [[0, 1], [1, 1], [1, 0]]
    assert np.isnan(read.costs).all()
    assert read.left_out == 0


def test_an_answer_that_was_scored_twice_counts_once(tmp_path: Path) -> None:
    again = [*LONG, {"query": "one", "model": "weak", "score": 1, "cost_usd": 0.003}]
    read = read_recorded(written(tmp_path / "long.jsonl", again))
    assert read.scores[0].tolist() == [1, 0.5]
    assert read.costs[0].tolist() == [0.01, 0.002]


def test_runs_of_one_suite_are_outcomes(tmp_path: Path) -> None:
    cases = made_cases(4, each=2)
    large = scored_run(tmp_path / "large", cases, [1, 1, None, 0])
    small = made_run(tmp_path / "small", cases, [made_row(case, 1.0) for case in cases[:3]])
    read = of_runs({"large": large, "small": small})
    assert read.names == ["c0", "c1", "c2"]
    assert read.queries[0] == "question 0"
    assert read.clusters == ["k0", "k0", "k1"]
    assert read.scores.tolist() == [[1, 1], [1, 1], [0, 1]]
    assert read.costs.tolist() == [[0.001, 0.001], [0.001, 0.001], [0, 0.001]]
    assert read.left_out == 1
    other = made_run(tmp_path / "other", cases, [], suite_version="sha256:2")
    with pytest.raises(Unreplayable, match="different versions"):
        of_runs({"large": large, "small": other})


def test_the_cheapest_beside_the_reference(tmp_path: Path) -> None:
    known = read_recorded(written(tmp_path / "long.jsonl", LONG))
    assert known.cheapest_beside("strong") == "weak"
    unknown = read_recorded(written(tmp_path / "wide.jsonl", WIDE), ["weak", "strong"])
    assert unknown.cheapest_beside("weak") == "strong"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"query": "x", "model": "weak", "score": 1.5}, "line 1: Expected `float` <= 1"),
        ({"query": "x", "score": 1}, "line 1: a score needs the `model`"),
        ({"model": "weak", "score": 1}, "line 1: there is neither `query` nor `query_id`"),
        ({"query": "x", "model": "weak", "score": 1, "cost_usd": -1}, "line 1: Expected `float` >= 0"),
        ("{broken", "line 1: JSON is malformed"),
        ({"query": "x", "model": "weak", "score": 1}, "two models at least"),
    ],
)
def test_what_cannot_be_replayed_says_why(tmp_path: Path, line: Mapping[str, Any] | str, said: str) -> None:
    with pytest.raises(Unreplayable, match=said):
        read_recorded(written(tmp_path / "bad.jsonl", [line]))


def test_an_unknown_model_is_named_with_those_there_are(tmp_path: Path) -> None:
    read = read_recorded(written(tmp_path / "long.jsonl", LONG))
    with pytest.raises(Unreplayable, match="of medium; there are some of strong, weak"):
        read.column("medium")
    with pytest.raises(Unreplayable, match="0 of 3 queries have all"):
        read_recorded(tmp_path / "long.jsonl", ["weak", "medium"])
    with pytest.raises(Unreplayable, match="cannot be read"):
        read_recorded(tmp_path / "none.jsonl")
