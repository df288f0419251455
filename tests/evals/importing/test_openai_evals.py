"""OpenAI's evals as suites: the open-source framework's, and the platform's that ends."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from evals.importing.draft import Draft, Unusable, write
from evals.importing.openai_evals import read_openai_evals

ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital of France?"}]
ITEM = {"item": {"ticket": "It does not start.", "label": "Hardware"}}
TEMPLATE = [
    {"type": "message", "role": "developer", "content": {"type": "input_text", "text": "Sort tickets."}},
    {"role": "user", "content": "{{ item.ticket }}"},
]


def lines(path: Path, *values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(value, ensure_ascii=False)}\n" for value in values), encoding="utf-8")
    return path


def framework(folder: Path, kind: str, ideal: Any, **args: Any) -> Draft:
    lines(folder / "data/geo/samples.jsonl", {"input": ASKED, "ideal": ideal})
    registry = folder / "evals/geo.yaml"
    registry.parent.mkdir(parents=True, exist_ok=True)
    spec = {
        "class": f"evals.elsuite.basic.{kind.lower()}:{kind}",
        "args": {"samples_jsonl": "geo/samples.jsonl", **args},
    }
    registry.write_text(yaml.safe_dump({"geo": {"id": "geo.v1"}, "geo.v1": spec}), encoding="utf-8")
    return read_openai_evals([registry])


def platform(folder: Path, *criteria: dict[str, Any], judge: str = "") -> Draft:
    eval_ = {
        "object": "eval",
        "name": "Tickets",
        "data_source_config": {"type": "custom"},
        "testing_criteria": criteria,
    }
    held = {"type": "file_content", "content": [ITEM]}
    run = {
        "object": "eval.run",
        "data_source": {
            "type": "completions",
            "source": held,
            "input_messages": {"type": "template", "template": TEMPLATE},
        },
    }
    return read_openai_evals([lines(folder / "eval.json", eval_), lines(folder / "run.json", run)], judge)


def grader(kind: str, **said: Any) -> dict[str, Any]:
    return {"type": kind, "name": "g", "input": "{{ sample.output_text }}", "reference": "{{item.label}}", **said}


@pytest.mark.parametrize(
    ("kind", "ideal", "args", "good", "bad"),
    [
        ("Match", "Paris", {}, ["Paris", "Paris is it"], ["It is Paris", "paris"]),
        ("Match", ["Paris", "París"], {}, ["París!"], ["Lyon"]),
        ("Includes", ["Paris"], {}, ["It is Paris."], ["paris"]),
        ("Includes", "Paris", {"ignore_case": True}, ["it is paris"], ["Lyon"]),
        ("FuzzyMatch", "the Eiffel Tower", {}, ["It's The Eiffel-Tower!"], ["Tower of Eiffel", "Eiffel Towers"]),
    ],
)
def test_a_class_of_the_framework_judges_as_it_did(
    tmp_path: Path, kind: str, ideal: Any, args: dict[str, Any], good: list[str], bad: list[str]
) -> None:
    draft = framework(tmp_path, kind, ideal, **args)
    differs = [told for told in draft.left if "passed there, not here" in told]
    assert (draft.left, len(differs)) == (differs, kind == "FuzzyMatch")
    (case,) = write(tmp_path / "out", draft).cases
    assert case.messages == tuple(ASKED)
    assert all(re.search(case.expected["pattern"], answer) for answer in good)
    assert not any(re.search(case.expected["pattern"], answer) for answer in bad)


def test_json_must_be_equal(tmp_path: Path) -> None:
    draft = framework(tmp_path, "JsonMatch", ['{"a": 1}', '{"a": 2}'])
    assert draft.cases[0].expected == {"schema": {"enum": [{"a": 1}, {"a": 2}]}}
    assert draft.scorers == [{"kind": "json_schema"}]
    assert "is no JSON" in "".join(framework(tmp_path, "JsonMatch", "a:1").left)


@pytest.mark.parametrize("kind", ["ModelBasedClassify", "MyOwn"])
def test_other_classes_are_told(tmp_path: Path, kind: str) -> None:
    draft = framework(tmp_path, kind, "Paris")
    assert draft.cases == []
    assert draft.left[0].startswith("samples.jsonl:1: left out: ")


def test_samples_alone_are_matched_and_that_is_told(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "samples.jsonl",
        {"input": "Capital of France?", "ideal": "Paris"},
        {"input": [{"role": "system", "content": "Say a\u2028b"}], "ideal": ["a"]},
        {"input": [{"role": "assistant", "content": "Hello"}], "ideal": "a"},
        {"input": [], "ideal": "a"},
    )
    draft = read_openai_evals([path])
    assert [case.question for case in draft.cases] == ["Capital of France?", "Say a\u2028b"]
    assert "no registry's YAML" in draft.left[0]
    assert [one.partition(":")[2][:1] for one in draft.left[1:]] == ["3", "4"]
    write(tmp_path / "out", draft)


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        (grader("string_check", operation="eq"), {"answer": "Hardware"}),
        (grader("string_check", operation="like"), {"pattern": "Hardware"}),
        (grader("string_check", operation="ilike"), {"pattern": "(?i:Hardware)"}),
        (grader("text_similarity", evaluation_metric="bleu", pass_threshold=0.4), {"reference": "Hardware"}),
    ],
)
def test_graders_of_the_platform_are_taken_over(
    tmp_path: Path, criterion: dict[str, Any], expected: dict[str, Any]
) -> None:
    draft = platform(tmp_path, criterion)
    (case,) = write(tmp_path / "out", draft).cases
    assert case.expected == expected
    assert [turn["role"] for turn in case.messages] == ["developer", "user"]
    assert [turn["content"] for turn in case.messages] == ["Sort tickets.", "It does not start."]
    assert draft.name == "Tickets"


def test_what_must_not_be_equal_is_a_pattern(tmp_path: Path) -> None:
    pattern = platform(tmp_path, grader("string_check", operation="ne")).cases[0].expected["pattern"]
    assert re.search(pattern, "Software") and re.search(pattern, "Hardware?")
    assert not re.search(pattern, " Hardware\n")


def test_models_that_label_or_score_become_judges(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "Label {{ sample.output_text }} for {{ item.ticket }}"}]
    label = {
        "type": "label_model",
        "model": "gpt-5",
        "input": said,
        "labels": ["ok", "no"],
        "passing_labels": ["ok"],
    }
    score = {"type": "score_model", "model": "gpt-5", "input": said, "pass_threshold": 0.5}
    draft = platform(tmp_path, label, score)
    rubric = draft.cases[0].expected["rubric"]
    assert draft.scorers == [{"kind": "judge", "model": "gpt-5"}]
    assert "for It does not start." in rubric and "one of: ok." in rubric and "at least 0.5" in rubric
    assert any("where the grader gave a number" in one for one in draft.left)
    assert platform(tmp_path, label, judge="other").scorers == [{"kind": "judge", "model": "other"}]


def test_what_a_grader_cannot_be_is_told(tmp_path: Path) -> None:
    draft = platform(
        tmp_path,
        grader("string_check", operation="eq"),
        grader("python", source="def grade(): ..."),
        grader("string_check", operation="eq", input="{{ sample.output_json.a }}"),
        grader("string_check", operation="eq", reference="{{ item.other }}"),
    )
    assert [one.partition(" ")[0] for one in draft.left] == [f"testing_criteria[{at}]" for at in (1, 2, 3)]


def test_items_without_a_run_are_asked_by_their_own_field(tmp_path: Path) -> None:
    eval_ = lines(tmp_path / "eval.json", {"testing_criteria": [grader("string_check", operation="eq")]})
    items = lines(tmp_path / "items.jsonl", {"item": {"input": "Which?", "label": "a"}}, ITEM)
    draft = read_openai_evals([eval_, items])
    assert [case.question for case in draft.cases] == ["Which?"]
    assert "items.jsonl:2: left out: what is asked?" in draft.left[0]


def test_items_that_are_elsewhere_are_told(tmp_path: Path) -> None:
    run = {"data_source": {"source": {"type": "file_id", "id": "file-1"}}, "testing_criteria": []}
    items = lines(tmp_path / "items.jsonl", {"input": "Which?", "ideal": "a"})
    draft = read_openai_evals([lines(tmp_path / "run.json", run), items])
    assert any("elsewhere (file_id)" in one for one in draft.left)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{}", "No samples"),
        ("[1]", "no JSON object"),
        ('{"input": "a", "ideal": "b"}\n{broken', "samples.jsonl:2: not JSON"),
        ("[" * 100_000, "not JSON"),
        ("", "No samples"),
    ],
)
def test_hostile_files_are_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Unusable) as failure:
        read_openai_evals([path])
    assert told in str(failure.value)
