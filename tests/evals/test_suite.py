"""Reading suites from disk, and their version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals.suite import SuiteError, read_cases, read_suite, written

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
    assert [scorer.kind for scorer in read.scorers] == ["contains_facts"]
    assert read.quality == "contains_facts"
    assert [found.id for found in read.cases] == ["a", "b"]
    first, second = read.cases
    assert first.messages == ({"role": "user", "content": "How long?"},)
    assert first.expected == {"facts": ["30 minutes|30 minutos"]}
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
        case(id="f", cluster=5, colour="red"),
        head=HEAD.replace("[contains_facts]", "[]"),
    )
    found = problems(folder)
    where = [problem.split(": ")[:2] for problem in found]
    assert where == [
        ["suite.yaml", "scorers"],
        ["cases.jsonl:2", where[1][1]],
        ["cases.jsonl:3", "a case has either `messages` or `input`"],
        ["cases.jsonl:4", "id"],
        ["cases.jsonl:5", "messages"],
        ["cases.jsonl:6", "cluster"],
        ["cases.jsonl:6", "colour"],
    ]
    assert "JSON" in where[1][1]
    assert "taken by line 1" in found[3]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"messages": [{"role": "user"}]}, "messages: the last one has no `content`"),
        ({"messages": [{"role": "user", "content": []}]}, "messages: the last one has no `content`"),
        ({"documents": [{"id": "d", "text": "a"}, {"id": "d", "text": "b"}]}, "documents: two have the id 'd'"),
        ({"documents": [{"id": "2", "text": "a"}, "b"]}, "documents: two have the id '2'"),
    ],
)
def test_what_types_cannot_say_is_looked_at_too(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    assert problems(suite(tmp_path, case(**change))) == [f"cases.jsonl:1: {told}"]


def test_a_case_that_no_scorer_can_judge_is_a_problem(tmp_path: Path) -> None:
    folder = suite(
        tmp_path,
        case(),
        case(id="wrong", expected={"facts": ["fine", "a||b"]}),
        case(id="without", expected={"answer": "x"}),
    )
    assert problems(suite(tmp_path / "alone", case(expected={"facts": 3}))) == [
        "cases.jsonl:1: expected.facts: must be a list of texts"
    ]
    assert problems(folder) == [
        "cases.jsonl:2: expected.facts.1: a fact with an empty alternative: 'a||b'",
        "cases.jsonl:3: no scorer can judge this case: contains_facts needs `expected.facts`",
    ]


def test_faults_are_told_in_words_of_the_format(tmp_path: Path) -> None:
    head = "name: tiny\nscorers: [{kind: exact, colour: red}]\ngroups: lang\n"
    assert problems(suite(tmp_path, case(id=""), head=head)) == [
        "suite.yaml: description: is missing",
        "suite.yaml: scorers[0].colour: is not a setting. Known here: kind, name.",
        "suite.yaml: groups: must be a list",
        "cases.jsonl:1: id: must not be blank",
    ]
    assert problems(suite(tmp_path, case(), head="- name\n")) == ["suite.yaml: must be a mapping of settings"]


def test_of_very_many_problems_the_message_names_some_and_counts_the_rest(tmp_path: Path) -> None:
    with pytest.raises(SuiteError) as failure:
        read_suite(suite(tmp_path, *(case(id=f"c{number}", colour="red") for number in range(100))))
    assert len(failure.value.problems) == 100
    lines = str(failure.value).splitlines()
    assert (len(lines), lines[-1]) == (41, "... and 60 more problems")


def test_names_of_scorers_are_told_apart(tmp_path: Path) -> None:
    twice = HEAD.replace("[contains_facts]", "[contains_facts, {kind: contains_facts, share: true}]")
    assert problems(suite(tmp_path, case(), head=twice + "quality: helpful\n")) == [
        "suite.yaml: scorers: two are called 'contains_facts'; give one of them a `name`",
        "suite.yaml: quality: no scorer is called 'helpful'",
    ]


def test_a_short_case_is_filled_in(tmp_path: Path) -> None:
    short = {
        "id": "a",
        "input": "How long?",
        "expected": {"facts": ["x"]},
        "documents": ["One.", {"id": "z", "text": "Two."}],
    }
    (read,) = read_suite(suite(tmp_path, short)).cases
    assert read.messages == ({"role": "user", "content": "How long?"},)
    assert (read.segment, read.cluster, read.question) == ("all", "a", "How long?")
    assert [document.id for document in read.documents] == ["1", "z"]


def test_a_written_case_is_read_again(tmp_path: Path) -> None:
    full = case(tools=[{"type": "function", "function": {"name": "f"}}], documents=[{"id": "z", "text": "Two."}])
    cases = read_suite(suite(tmp_path, full, case(id="b"))).cases
    (tmp_path / "again.jsonl").write_bytes(b"".join(map(written, cases)))
    assert read_cases(tmp_path / "again.jsonl") == cases


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


def test_the_mark_that_some_editors_begin_a_file_with_is_no_part_of_a_case(tmp_path: Path) -> None:
    plain = read_suite(suite(tmp_path / "plain", case()))
    marked = suite(tmp_path / "marked", case())
    for name in ("suite.yaml", "cases.jsonl"):
        (marked / name).write_bytes(b"\xef\xbb\xbf" + (marked / name).read_bytes())
    assert read_suite(marked).version == plain.version


def test_broken_yaml_is_a_problem(tmp_path: Path) -> None:
    (found,) = problems(suite(tmp_path, case(), head="name: [tiny\n"))
    assert found.startswith("suite.yaml: not YAML")


def test_an_empty_suite_is_a_problem(tmp_path: Path) -> None:
    assert problems(suite(tmp_path, "")) == ["cases.jsonl: no cases"]


def test_numbers_may_be_of_any_length(tmp_path: Path) -> None:
    short, long = (suite(tmp_path / name, case(metadata={"n": 10**at})) for name, at in (("a", 30), ("b", 31)))
    assert read_suite(short).version != read_suite(long).version
    assert read_suite(short).cases[0].asked == read_suite(long).cases[0].asked


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
        read_suite(
            suite(
                tmp_path / "c",
                case(),
                case(id="b"),
                head=HEAD.replace("[contains_facts]", "[{kind: contains_facts, share: true}]"),
            )
        ).version,
    }
    assert len(versions) == 3
