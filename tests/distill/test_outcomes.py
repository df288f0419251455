"""Outcomes are read whole, or the fault and its line are named."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from distill.outcomes import Outcome, OutcomeFault, parsed, read_outcomes

LINE = '{"query": "how?", "model": "small", "score": 0.5, "cost_usd": 0.01, "source": "chat", "unheard_of": 1}\n'


def test_a_line_is_an_outcome(tmp_path: Path) -> None:
    expected = Outcome(query="how?", model="small", score=0.5, cost_usd=0.01, source="chat")
    plain, packed = tmp_path / "some.jsonl", tmp_path / "some.jsonl.gz"
    plain.write_text(LINE + "\n" + LINE, encoding="utf-8")
    packed.write_bytes(gzip.compress(LINE.encode()))
    assert read_outcomes(plain) == [expected, expected]
    assert read_outcomes(packed) == [expected]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "line 2"),
        ('{"query": "q", "model": "m"}', "score"),
        ('{"query": "q", "model": "m", "score": 1.5}', "not in 0..1"),
        ('{"query": "q", "model": "m", "score": "good"}', "score"),
        ('{"query": "q", "model": "m", "score": 1, "weight": 0}', "weight"),
        ('{"query": "q", "model": "m", "score": 1, "cost_usd": -1}', "cost"),
        ('{"query": "q", "model": "", "score": 1}', "no name"),
    ],
)
def test_a_fault_is_named_with_its_line(line: str, fault: str) -> None:
    with pytest.raises(OutcomeFault, match=f"notes, line 2.*{fault}|{fault}"):
        list(parsed([LINE, line], "notes"))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutcomeFault, match=r"none\.jsonl"):
        read_outcomes(tmp_path / "none.jsonl")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(LINE.encode() * 100)[:-20])
    with pytest.raises(OutcomeFault, match=r"cut\.gz"):
        read_outcomes(tmp_path / "cut.gz")
    (tmp_path / "empty.jsonl").write_text("\n", encoding="utf-8")
    with pytest.raises(OutcomeFault, match="holds no outcomes"):
        read_outcomes(tmp_path / "empty.jsonl")
