"""Reading suites from disk, their version, and what counts as stating a fact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.suite import Fact, SuiteError, read_suite

HEAD = "name: tiny\ndescription: Two questions.\nrevision: '1'\nscorers: [contains_facts]\n"


def case(**changes: Any) -> dict[str, Any]:
    return {
        "id": "a",
        "messages": [{"role": "user", "content": "How long?"}],
        "expected": {"facts": ["30 minutes|30 minutos"]},
        "segment": "reset",
        "cluster": "reset",
        "metadata": {"lang": "en"},
    } | changes


def suite(folder: Path, *cases: Any, head: str = HEAD) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "suite.yaml").write_text(head, encoding="utf-8")
    lines = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in cases]
    (folder / "cases.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def problems(folder: Path) -> list[str]:
    with pytest.raises(SuiteError) as failure:
        read_suite(folder)
    return [problem.removeprefix(f"{folder}/") for problem in failure.value.problems]


def test_a_suite_is_read_as_it_was_written(tmp_path: Path) -> None:
    read = read_suite(suite(tmp_path, case(), "", case(id="b", metadata={"answerable": False})))
    assert (read.name, read.description, read.revision) == ("tiny", "Two questions.", "1")
    assert read.scorers == ("contains_facts",)
    assert [found.id for found in read.cases] == ["a", "b"]
    first, second = read.cases
    assert first.messages == ({"role": "user", "content": "How long?"},)
    assert first.facts == (Fact(("30 minutes", "30 minutos")),)
    assert (first.segment, first.cluster) == ("reset", "reset")
    assert second.metadata == {"answerable": False}


def test_all_problems_come_at_once_with_their_lines(tmp_path: Path) -> None:
    folder = suite(
        tmp_path,
        case(),
        "{not json",
        case(id="c", messages=[]),
        case(),
        case(id="d", messages=[{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]),
        case(id="e", expected={"facts": ["fine", "a||b"]}),
        case(id="f", cluster=None, colour="red"),
        head=HEAD.replace("[contains_facts]", "[]"),
    )
    found = problems(folder)
    where = [problem.split(": ")[:2] for problem in found]
    assert where == [
        ["suite.yaml", "scorers"],
        ["cases.jsonl:2", where[1][1]],
        ["cases.jsonl:3", "messages"],
        ["cases.jsonl:4", "id"],
        ["cases.jsonl:5", "messages"],
        ["cases.jsonl:6", "expected.facts.1"],
        ["cases.jsonl:7", "cluster"],
        ["cases.jsonl:7", "colour"],
    ]
    assert "JSON" in where[1][1]
    assert "taken by line 1" in found[3]


@pytest.mark.parametrize("missing", ["suite.yaml", "cases.jsonl"])
def test_a_missing_file_is_a_problem(tmp_path: Path, missing: str) -> None:
    folder = suite(tmp_path, case())
    (folder / missing).unlink()
    assert problems(folder) == [f"{missing}: No such file or directory"]


@pytest.mark.parametrize(("name", "content"), [("suite.yaml", b"\xff"), ("cases.jsonl", b"\xff")])
def test_a_file_that_is_not_text_is_a_problem(tmp_path: Path, name: str, content: bytes) -> None:
    folder = suite(tmp_path, case())
    (folder / name).write_bytes(content)
    assert problems(folder) == [f"{name}: not UTF-8: invalid start byte"]


def test_broken_yaml_is_a_problem(tmp_path: Path) -> None:
    (found,) = problems(suite(tmp_path, case(), head="name: [tiny\n"))
    assert found.startswith("suite.yaml: not YAML")


def test_an_empty_suite_is_a_problem(tmp_path: Path) -> None:
    assert problems(suite(tmp_path, "")) == ["cases.jsonl: no cases"]


def test_the_version_is_of_what_was_understood(tmp_path: Path) -> None:
    version = read_suite(suite(tmp_path / "one", case())).version
    shuffled = dict(reversed(case().items()))
    commented = "# a remark\n" + HEAD.replace("Two", "2")
    assert read_suite(suite(tmp_path / "two", "", shuffled, head=commented)).version == version
    assert version.startswith("sha256:")


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [{"role": "user", "content": "How long? "}, {"role": "user", "content": "Well?"}]},
        {"expected": {"facts": ["30 minutes"]}},
        {"segment": "other"},
        {"cluster": "other"},
        {"metadata": {"lang": "es"}},
        {"id": "z"},
    ],
)
def test_the_version_follows_every_part_of_a_case(tmp_path: Path, change: dict[str, Any]) -> None:
    before = read_suite(suite(tmp_path / "one", case())).version
    assert read_suite(suite(tmp_path / "two", case(**change))).version != before


def test_the_version_follows_scorers_and_the_order_of_cases(tmp_path: Path) -> None:
    versions = {
        read_suite(suite(tmp_path / "a", case(), case(id="b"))).version,
        read_suite(suite(tmp_path / "b", case(id="b"), case())).version,
        read_suite(suite(tmp_path / "c", case(), case(id="b"), head=HEAD.replace("contains", "has"))).version,
    }
    assert len(versions) == 3


@pytest.mark.parametrize(
    ("fact", "answer"),
    [
        ("30 minutes", "It is valid for 30 minutes."),
        ("30 minutes|30 minutos", "Vale 30 minutos"),
        ("Turn off", 'Choose "turn  off"\nthere'),
        ("$12", "It costs $12."),
        ("$12", "$12, all in"),
        ("can't help", "I can’t help with that"),
        ("código de respaldo", "CODIGO DE RESPALDO"),
        ("2 años", "garantía de 2 an\u0303os"),
        ("7 days", "within 7\u00a0days"),
        ("20 %", "20 % off"),
        ("?", "Which one do you mean?"),
    ],
)
def test_a_fact_is_found(fact: str, answer: str) -> None:
    assert Fact.parse(fact).stated_in(answer)


@pytest.mark.parametrize(
    ("fact", "answer"),
    [
        ("2 years", "It is 12 years."),
        ("$12", "It costs $12.95."),
        ("$1", "It costs $1,200."),
        ("95", "It costs 12.95"),
        ("confirm", "a confirmation"),
        ("free", "carefree"),
        ("48 hours", "within 24 hours"),
        ("Turn on|Activar", "Turn off"),
        ("30 minutes", ""),
    ],
)
def test_a_fact_is_not_found(fact: str, answer: str) -> None:
    assert not Fact.parse(fact).stated_in(answer)


@pytest.mark.parametrize("text", ["", " ", "a|", "|a", "a| |b", "\u0301"])
def test_an_empty_alternative_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="empty alternative"):
        Fact.parse(text)


words = st.text("abcxyzáñüßç0129", min_size=1)


@given(before=words, fact=words, after=words)
def test_a_word_is_found_among_others(before: str, fact: str, after: str) -> None:
    assert Fact.parse(fact).stated_in(f"{before} {fact} {after}")
    assert Fact.parse(f"{before}|{fact}").stated_in(f"({fact.upper()}).")


@given(before=words, fact=words)
def test_a_word_is_never_found_inside_another(before: str, fact: str) -> None:
    glued = f"x{before}q{fact}z"
    assert not Fact.parse(fact).stated_in(glued)
