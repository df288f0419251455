"""The cascade's figures on a folder of made-up outcomes."""

from __future__ import annotations

import gzip
import json
from hashlib import sha1
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.cascade_advisers import advisers, nearest
from benchmarks.routing_cascade import Cascade, Variant, answered, by_file, examples, measured, rows_of

WEAK, STRONG = "Weak-8B", "big"


def queries(count: int, seed: int, file: str = "set") -> list[dict[str, Any]]:
    """`Useful-7B` is right where the weak one is, in nine of ten cases; `Near-9B` answers by chance."""
    draw = np.random.default_rng(seed)
    found = []
    for place in range(count):
        right, strong = draw.random() < 0.5, draw.random() < 0.9
        useful = right if draw.random() < 0.9 else not right
        outcomes = {
            WEAK: {"score": float(right), "pred": "1" if right else "2", "out_chars": 10},
            "Useful-7B": {"score": float(useful), "pred": "1" if useful else "3", "out_chars": 10},
            "Near-9B": {"score": 0.5, "pred": str(draw.integers(1, 3)), "out_chars": 10},
            "Large-70B": {"score": float(right), "pred": "1" if right else "9", "out_chars": 10},
            STRONG: {"score": float(strong), "pred": "1", "out_chars": 10},
        }
        name = f"{file}-{seed}-{place}"
        found.append(
            {
                "query_id": name,
                "dataset": file,
                "task": "sums",
                "query": "How many?",
                "split_hash": sha1(name.encode(), usedforsecurity=False).hexdigest()[:12],
                "outcomes": outcomes,
            }
        )
    return found


@pytest.fixture
def cascade() -> Cascade:
    return Cascade("made up", ("set",), WEAK, STRONG)


def test_the_adviser_is_a_small_model_whose_agreement_tells_most() -> None:
    rows = queries(400, 0)
    assert advisers(rows, WEAK, STRONG, 1) == ["Useful-7B"]
    assert advisers(rows, WEAK, STRONG, 9) == ["Useful-7B", "Near-9B"]  # never the large one
    assert advisers(rows, WEAK, STRONG, 0) == []
    assert set(nearest(rows, WEAK, 2)) == {"Useful-7B", "Near-9B"}


def test_the_strong_model_is_no_signal(cascade: Cascade) -> None:
    variant = Variant("one", 1, answered, by_file)
    rows = queries(120, 1)
    changed = json.loads(json.dumps(rows))
    for query in changed:
        query["outcomes"][STRONG] = {"score": 0.0, "pred": "4", "out_chars": 1}
        query["outcomes"][WEAK]["score"] = 0.0
    opinions = {"set": ["Useful-7B"]}
    before, after = (examples(cascade, variant, some, opinions) for some in (rows, changed))
    assert [one.signals for one in before] == [one.signals for one in after]


def test_a_useful_opinion_recovers_more_than_none(cascade: Cascade) -> None:
    train, test = queries(400, 2), queries(400, 3)
    one = measured(cascade, Variant("one", 1, answered, by_file), train, test)
    none = measured(
        cascade, Variant("none", 0, lambda query, weak, _: answered(query, weak, ()), by_file), train, None
    )
    assert one["opinions"] == {"set": ["Useful-7B"]} and none["opinions"] == {"set": []}
    assert one["apgr"] > 0.7
    assert one["low"] < one["apgr"] < one["high"]
    assert one["queries"] == 400


def test_files_are_found_by_the_name_before_the_dot(tmp_path: Path, cascade: Cascade) -> None:
    rows = queries(3, 4)
    del rows[1]["outcomes"][STRONG]
    with gzip.open(tmp_path / "set.holdout.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "set_more.holdout.jsonl.gz").write_bytes(b"")
    assert [row["query_id"] for row in rows_of(tmp_path, cascade)] == ["set-4-0", "set-4-2"]
    with pytest.raises(FileNotFoundError, match="has no set"):
        rows_of(tmp_path / "none", cascade)
