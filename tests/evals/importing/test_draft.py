"""A suite on its way to disk: whole, or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.cases import Case
from evals.importing.draft import Draft, Unusable, read_text, write


def draft(**expected: Any) -> Draft:
    case = Case(
        id="a",
        messages=({"role": "user", "content": "How long?"},),
        expected=expected or {"answer": "30"},
        segment="all",
        cluster="a",
        metadata={},
    )
    return Draft(name="t: #", description="d\nd", scorers=[{"kind": "exact"}], quality="exact", cases=[case])


def test_it_is_read_back_as_it_was_meant(tmp_path: Path) -> None:
    suite = write(tmp_path / "deep/er", draft())
    assert (suite.name, suite.description, suite.folder) == ("t: #", "d\nd", tmp_path / "deep/er")
    assert sorted(path.name for path in suite.folder.iterdir()) == ["cases.jsonl", "import.json", "suite.yaml"]
    assert [path.name for path in suite.folder.parent.iterdir()] == ["er"]


def test_an_empty_folder_may_be_there_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty", draft())
    before = (tmp_path / "empty/cases.jsonl").read_bytes()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for taken in ("empty", "link"):
        with pytest.raises(Unusable, match="nothing is overwritten"):
            write(tmp_path / taken, draft(answer="other"))
    assert (tmp_path / "empty/cases.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (draft(number=3), "no scorer can judge this case"),
        (draft(answer="\ud800"), "characters that are none"),
        (replace(draft(), cases=[], left=["tests[0]: left out"]), "tests[0]: left out"),
    ],
)
def test_what_makes_no_suite_leaves_nothing_behind(tmp_path: Path, bad: Draft, told: str) -> None:
    with pytest.raises(Unusable) as failure:
        write(tmp_path / "suite", bad)
    assert told in str(failure.value)
    assert list(tmp_path.iterdir()) == []


def test_two_cases_of_one_id_are_told_apart(tmp_path: Path) -> None:
    twice = replace(draft(), cases=[*draft().cases, *draft(answer="other").cases])
    assert [case.id for case in write(tmp_path / "suite", twice).cases] == ["a", "a (2)"]


def test_a_file_in_another_encoding_is_refused_and_a_mark_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "utf16").write_bytes("héllo".encode("utf-16"))
    with pytest.raises(Unusable, match="not UTF-8"):
        read_text(tmp_path / "utf16")
    (tmp_path / "marked").write_bytes("héllo".encode("utf-8-sig"))
    assert read_text(tmp_path / "marked") == "héllo"
