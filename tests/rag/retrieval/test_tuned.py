"""The numbers that ship are whole, within bounds, and what rankings are made with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from rag.retrieval.fusion import fused
from rag.retrieval.ranking import Weighing
from rag.retrieval.reranking import score
from rag.retrieval.tuned import Fit, Tuned, tuned

FILE = Path(__file__).parents[3] / "artefacts/rag-ranking.json"


def test_what_ships_is_whole_and_used() -> None:
    ships: dict[str, Any] = json.loads(FILE.read_bytes())
    shares, fit = ships["shares"], ships["fit"]

    assert msgspec.to_builtins(tuned()) == ships
    assert shares["words"] + shares["meaning"] == pytest.approx(1)
    assert (Weighing().words, Weighing().meaning) == (shares["words"], shares["meaning"])
    assert fused([(1.0, ["a"])]) == {"a": 1 / (shares["constant"] + 1)}
    for name, weight in fit.items():
        assert score(Fit(**{**dict.fromkeys(fit, 0.0), name: 1.0})) == weight


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    own = replace(tuned(), fit=Fit(1.25, 2.5, 0.1, 1 / 3))

    own.write(tmp_path / "own.json")
    tuned().write(tmp_path / "same.json")

    assert Tuned.read(tmp_path / "own.json") == own
    assert (tmp_path / "same.json").read_bytes() == FILE.read_bytes()


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("shares", "words", 0),
        ("shares", "constant", 0),
        ("history", "turns", 0),
        ("history", "goes_on", 1.5),
        ("worth", "least", -0.1),
        ("fit", "lengths", 1.0),
        ("fit", "words", "much"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, part: str, name: str, value: object) -> None:
    ships = json.loads(FILE.read_bytes())
    ships[part][name] = value
    (tmp_path / "own.json").write_text(json.dumps(ships))

    with pytest.raises(ValueError, match=name):
        Tuned.read(tmp_path / "own.json")


def test_a_part_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text("{}")

    with pytest.raises(ValueError, match="shares"):
        Tuned.read(tmp_path / "own.json")
    with pytest.raises(OSError, match="none"):
        Tuned.read(tmp_path / "none.json")
