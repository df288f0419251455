"""The suite to begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.gating.rules import read_rules
from evals.importing.draft import Unusable
from evals.importing.scaffold import scaffold
from evals.scorers.catalogue import KINDS
from evals.suite import _Head, _Row, read_suite


def test_it_is_a_suite_of_every_kind_and_its_gate_can_be_read(tmp_path: Path) -> None:
    suite = scaffold(tmp_path / "first")
    assert suite == read_suite(tmp_path / "first")
    assert suite.name == "first"
    assert {scorer.kind for scorer in suite.scorers} >= {"contains_facts", "numeric", "choice", "tool_call"}
    assert sum("facts" in case.expected for case in suite.cases) >= len(suite.cases) - 1
    rules = read_rules(tmp_path / "first/gate.yaml")
    assert rules.quality is not None
    assert rules.quality.need == "not_worse"


def test_its_comments_name_every_scorer_and_every_field(tmp_path: Path) -> None:
    text = (scaffold(tmp_path / "first").folder / "suite.yaml").read_text(encoding="utf-8")
    named = text.replace(",", " ").replace(":", " ").replace("`", " ").split()
    for word in (*KINDS, *_Head.model_fields, *_Row.model_fields):
        assert word in named, word


@pytest.mark.parametrize("name", ["Help: desk # 1", "it's", "ñandú", "yes", "1"])
def test_any_name_will_do(tmp_path: Path, name: str) -> None:
    assert scaffold(tmp_path / "first", name).name == name


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "first/mine").write_text("mine", encoding="utf-8")
    with pytest.raises(Unusable, match="nothing is overwritten"):
        scaffold(tmp_path / "first")
    assert [path.name for path in (tmp_path / "first").iterdir()] == ["mine"]
