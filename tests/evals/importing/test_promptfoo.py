"""promptfoo's configurations as suites: what means the same is taken over, and the rest is told."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from evals.importing.draft import Draft, Unusable, write
from evals.importing.promptfoo import read_promptfoo
from evals.records import Answer
from evals.scorers.catalogue import scorer_of
from evals.scorers.port import Instruments
from evals.suite import Suite


def config(folder: Path, **said: Any) -> Path:
    path = folder / "promptfooconfig.yaml"
    folder.mkdir(exist_ok=True)
    whole = {"prompts": ["Translate: {{text}}"], "providers": ["openai:gpt-5.1"], **said}
    path.write_text(yaml.safe_dump(whole, allow_unicode=True), encoding="utf-8")
    return path


def a_test(*asserted: Any, **more: Any) -> dict[str, Any]:
    return {"vars": {"text": "Good day"}, "assert": list(asserted)} | more


def says(kind: str, value: Any = None, **more: Any) -> dict[str, Any]:
    return {"type": kind, **({} if value is None else {"value": value}), **more}


def taken(tmp_path: Path, *asserted: Any, judge: str = "") -> Draft:
    return read_promptfoo(config(tmp_path / "in", tests=[a_test(*asserted)]), judge)


async def _ask(_: Any) -> Answer:
    raise AssertionError


def scores(suite: Suite, answer: str) -> dict[str, float]:
    instruments = Instruments(ask=_ask, encode=lambda _: pytest.fail("no encoder"))
    scorers = [scorer_of(one, instruments) for one in suite.scorers]
    (case,) = suite.cases
    return {
        one.name: asyncio.run(one.score(case, Answer(text=answer))).value for one in scorers if not one.lacks(case)
    }


@pytest.mark.parametrize(
    ("asserted", "good", "bad"),
    [
        ([says("equals", "Bonjour")], ["Bonjour"], ["bonjour", "Bonjour!"]),
        ([says("equals", 7)], ["7"], ["8"]),
        ([says("equals", {"a": [1]})], ['{"a": [1]}'], ['{"a": [1], "b": 2}', "a"]),
        ([says("not-equals", "No")], ["No.", "Yes"], ["No", " No "]),
        ([says("contains", "jour.")], ["Bonjour.", "x\njour.y"], ["jourx", "JOUR."]),
        ([says("icontains", "Été")], ["un été"], ["un ete"]),
        ([says("not-contains", "sorry")], ["fine", "Sorry"], ["so sorry", "a\nsorry"]),
        ([says("not-icontains", "sorry")], ["fine"], ["Sorry", "a\nSORRY"]),
        ([says("contains-all", ["a", "b|c"])], ["b|c and a"], ["a and b", "b|c"]),
        ([says("contains-any", ["x", "y"])], ["only y"], ["neither"]),
        ([says("icontains-any", ["X", "y"])], ["an x"], ["neithe"]),
        ([says("not-contains-any", ["x", "y"])], ["neither"[:-1]], ["an x", "an y"]),
        ([says("not-contains-all", ["x", "y"])], ["an x", "an y"], ["x and y"]),
        ([says("icontains-all", ["A", "B"])], ["b then a"], ["a"]),
        ([says("starts-with", "Well")], ["Well, so"], ["Oh Well"]),
        ([says("regex", r"^\d{3}$")], ["123"], ["1234", "a123"]),
        ([says("regex", r"(?<year>\d{4})")], ["in 2026"], ["in 26"]),
        ([says("contains", "a"), says("not-contains", "b"), says("regex", "c.$")], ["a cd"], ["a b cd", "cd", "a"]),
        ([says("contains", "a"), says("regex", "(?i)C.$")], ["a cd", "a CD"], ["A cd", "a c"]),
        ([says("is-json")], ['{"a": 1}', "[1]"], ["a: 1"]),
        ([says("is-json", {"type": "object", "required": ["a"]})], ['{"a": 1}'], ['{"b": 1}', "no"]),
        ([says("is-json", "{type: array}"), says("is-json", {"minItems": 2})], ["[1, 2]"], ["[1]", "{}"]),
    ],
)
def test_an_assertion_means_what_it_meant(
    tmp_path: Path, asserted: list[Any], good: list[str], bad: list[str]
) -> None:
    draft = taken(tmp_path, *asserted)
    assert draft.left == []
    suite = write(tmp_path / "out", draft)
    for answer in good:
        assert set(scores(suite, answer).values()) == {1.0}, answer
    for answer in bad:
        assert 0.0 in scores(suite, answer).values(), answer


@pytest.mark.parametrize(
    "asserted",
    [
        says("javascript", "output.length > 3"),
        says("python", "len(output) > 3"),
        says("not-is-json"),
        says("contains-json"),
        says("latency", threshold=100),
        says("factuality", "x"),
        says("llm-rubric", "is polite"),
        says("not-similar", "x"),
        says("regex", "(?<=a+)b"),
        says("equals", "{{ text | upper }}"),
        says("contains", "file://secret.txt"),
        says("contains-all", "a", transform="output.trim()"),
        says("assert-set", assert_=[]),
        {"value": "no type"},
        {"$ref": "#/assertionTemplates/none"},
        "text",
    ],
)
def test_what_is_not_taken_over_is_told_with_its_place(tmp_path: Path, asserted: Any) -> None:
    draft = taken(tmp_path, says("contains", "kept"), asserted)
    assert any(one.startswith("tests[0].assert[1]") for one in draft.left), draft.left
    assert len(draft.cases) == 1
    assert "not taken over" in "".join(draft.notes)


def test_a_test_that_nothing_can_judge_is_left_out_and_told(tmp_path: Path) -> None:
    draft = taken(tmp_path, says("javascript", "true"))
    assert draft.cases == []
    assert "tests[0]: left out: nothing can judge it" in draft.left
    with pytest.raises(Unusable, match=r"tests\[0\]: left out"):
        write(tmp_path / "out", draft)


def test_rubrics_go_to_one_judge(tmp_path: Path) -> None:
    draft = taken(tmp_path, says("llm-rubric", "is about {{text}}"), says("llm-rubric", "polite"), judge="gpt-5.1")
    (case,) = write(tmp_path / "out", draft).cases
    assert case.expected == {"rubric": "All of these hold:\n1. is about Good day\n2. polite"}
    assert draft.scorers == [{"kind": "judge", "model": "gpt-5.1"}]
    named = config(
        tmp_path / "b", tests=[a_test(says("llm-rubric", "x"), options={"provider": "openai:chat:gpt-5-mini"})]
    )
    assert read_promptfoo(named).scorers == [{"kind": "judge", "model": "gpt-5-mini"}]


def test_similarity_keeps_its_threshold(tmp_path: Path) -> None:
    draft = taken(tmp_path, says("similar", "Bonjour", threshold=0.8))
    assert draft.scorers == [{"kind": "similarity", "at_least": 0.8}]
    assert draft.cases[0].expected == {"reference": "Bonjour"}


def test_defaults_templates_sets_and_lists_of_values(tmp_path: Path) -> None:
    said = config(
        tmp_path / "in",
        description="What it is",
        assertionTemplates={"polite": says("icontains", "please")},
        defaultTest={"vars": {"lang": "fr"}, "assert": [says("contains", "{{lang}}")], "metadata": {"kind": "x"}},
        prompts=["To {{lang}}: {{text}}"],
        tests=[
            a_test({"$ref": "#/assertionTemplates/polite"}, description="first"),
            {"vars": {"text": ["a", "b"], "lang": "de"}},
            a_test(
                {"type": "assert-set", "assert": [says("contains", "q")]}, options={"disableDefaultAsserts": True}
            ),
        ],
    )
    draft = read_promptfoo(said)
    assert draft.left == []
    assert draft.description == "What it is"
    assert [case.question for case in draft.cases] == ["To fr: Good day", "To de: a", "To de: b", "To fr: Good day"]
    assert [case.id for case in draft.cases] == ["tests[0]", "tests[1]", "tests[1].1", "tests[2]"]
    assert draft.cases[0].metadata == {"kind": "x", "description": "first"}
    assert draft.cases[1].cluster == draft.cases[2].cluster
    assert [case.expected["pattern"] for case in draft.cases[1:]] == ["de", "de", "q"]
    write(tmp_path / "out", draft)


def test_prompts_from_files_chats_and_several_of_them(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    said = config(
        folder,
        prompts=["file://two.txt", {"id": "file://chat.json", "label": "chat"}, "file://chat.yaml"],
        tests=[a_test(says("contains", "x"))],
    )
    (folder / "two.txt").write_text("One {{text}}\n---\nTwo {{text}}\n", encoding="utf-8")
    (folder / "chat.json").write_text(
        '[{"role": "system", "content": "Be brief"}, {"role": "user", "content": "{{ text }}\\n"}]',
        encoding="utf-8",
    )
    (folder / "chat.yaml").write_text("- role: user\n  content: 'Say {{text}}'\n", encoding="utf-8")
    draft = read_promptfoo(said)
    assert [case.question for case in draft.cases] == ["One Good day", "Two Good day", "Good day\n", "Say Good day"]
    assert draft.cases[2].segment == "chat"
    assert len({case.cluster for case in draft.cases}) == 1
    assert len(write(tmp_path / "out", draft).cases) == 4
    sources = [one["name"] for one in draft.lineage["sources"]]
    assert sources == ["promptfooconfig.yaml", "two.txt", "chat.json", "chat.yaml"]


def test_tests_from_csv(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    said = config(folder, tests="file://tests.csv")
    rows = [
        "text,__expected,__expected2,__description,__metadata:topic,__metric",
        '"Good, day",Bonjour: toi,,first,greeting,',
        'Night,contains: nuit,"contains-any: a, b",,,m',
        "Number,is-json,similar(0.9): x,,,",
        "Code,fn: output.length,,,,",
    ]
    (folder / "tests.csv").write_text("\n".join(rows), encoding="utf-8-sig")
    draft = read_promptfoo(said)
    first, second, third = draft.cases
    assert first.question == "Translate: Good, day"
    assert first.expected == {"answer": "Bonjour: toi"}
    assert first.metadata == {"topic": "greeting", "description": "first"}
    assert set(second.expected) == {"pattern"}
    assert third.expected == {"schema": {}, "reference": "x"}
    assert "tests.csv:3.__metric: not taken over" in draft.left
    assert any(one.startswith("tests.csv:5.assert[0] (javascript)") for one in draft.left)
    write(tmp_path / "out", draft)


def test_templates_that_are_programs_are_refused_with_their_lines(tmp_path: Path) -> None:
    said = config(
        tmp_path / "in", prompts=["a\n{% if text %}", "{{ text | upper }}"], tests=[a_test(says("contains", "x"))]
    )
    with pytest.raises(Unusable) as failure:
        read_promptfoo(said)
    assert "prompts[0], line 2: {% if text %}" in str(failure.value)
    assert "prompts[1], line 1: {{ text | upper }}" in str(failure.value)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"prompts": "file://../secret.txt"}, "outside of the configuration's folder"),
        ({"prompts": "file:///etc/hostname"}, "outside of the configuration's folder"),
        ({"prompts": "file://none.txt"}, "none.txt: No such file"),
        ({"prompts": "file://prompt.py"}, "makes prompts by a program"),
        ({"prompts": [3]}, "prompts[0]: no text"),
        ({"tests": ["file://../secret.yaml"]}, "outside of the configuration's folder"),
        ({"tests": "file://*.csv"}, "no file is named"),
        ({"prompts": '[{"role": "user", "content": {{text}}}]'}, "put its variables in quotes"),
        ({"defaultTest": [1]}, "defaultTest: must be a test"),
    ],
)
def test_what_cannot_be_used_is_told(tmp_path: Path, said: dict[str, Any], told: str) -> None:
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    (tmp_path / "secret.yaml").write_text("[]", encoding="utf-8")
    with pytest.raises(Unusable) as failure:
        read_promptfoo(config(tmp_path / "in", **said))
    assert told in str(failure.value)


def test_what_all_tests_share_is_told_once_whatever_its_shape(tmp_path: Path) -> None:
    tests = [a_test(says("contains", "x")), a_test(says("contains", "y"))]
    draft = read_promptfoo(config(tmp_path / "in", tests=tests, defaultTest={"assert": 7}))
    assert draft.left == ["defaultTest.assert[0]: no assertion: it has no type"]
    assert len(draft.cases) == 2


def test_tests_elsewhere_are_told(tmp_path: Path) -> None:
    said = config(
        tmp_path / "in",
        tests=["huggingface://datasets/x", "file://make.js", 3, a_test(says("contains", "x"))],
        scenarios=[{}],
    )
    (tmp_path / "in/make.js").write_text("", encoding="utf-8")
    left = read_promptfoo(said).left
    assert left[0] == "scenarios: not taken over"
    assert [one.partition(":")[0] for one in left[1:]] == ["tests[0]", "make.js", "tests[2]"]


def test_json_is_read_as_json(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    chat = '[{\\n\\t"role": "user", "content": "a\\/{{q}}"}]'
    said = '{"prompts": [CHAT],\n\t"tests": [{"vars": {"q": "b"}, "assert": [{"type": "contains", "value": "x"}]}]}'
    path.write_text(
        said.replace("CHAT", json.dumps(chat.replace("\\n", "\n").replace("\\t", "\t"))), encoding="utf-8"
    )
    assert read_promptfoo(path).cases[0].question == "a/b"


def test_a_variable_that_names_a_file_is_told(tmp_path: Path) -> None:
    draft = read_promptfoo(
        config(tmp_path / "in", tests=[a_test(says("contains", "x"), vars={"text": "file://a.txt"})])
    )
    assert draft.left == ["tests[0].vars.text: left out: it names a file; write its content"]


def test_another_file_is_no_configuration(tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_text("a: 1", encoding="utf-8")
    with pytest.raises(Unusable, match="no promptfoo configuration"):
        read_promptfoo(path)
