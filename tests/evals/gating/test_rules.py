"""Reading the rules of a gate: everything wrong comes at once, with its path."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.gating.rules import Rules, RulesUnusable, read_rules


def written(folder: Path, text: str) -> Path:
    path = folder / "gate.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str) -> list[str]:
    path = written(folder, text)
    with pytest.raises(RulesUnusable) as failure:
        read_rules(path)
    return [problem.removeprefix(f"{path}: ") for problem in failure.value.problems]


def test_the_rules_in_the_docstring_are_rules(tmp_path: Path) -> None:
    import evals.gating.rules as rules

    lines = [line for line in (rules.__doc__ or "").splitlines() if line.startswith("    ")]
    read = read_rules(written(tmp_path, "\n".join(line[4:] for line in lines)))
    assert set(Rules.model_fields) == read.model_fields_set


def test_all_problems_come_at_once_with_their_paths(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "quality: {need: nicer, least: 80}\nsegments: {floors: {a: -1}}\ngroups: {lang: {}}\ncosts: {}\n"
        "latency: {most_p95_ms: .inf}\n",
    )
    assert [problem.split(": ")[0] for problem in found] == [
        "quality.need",
        "quality.least",
        "segments.floors.a",
        "groups.lang.most_gap",
        "latency.most_p95_ms",
        "costs",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "asks for nothing"),
        ("# only a comment\n", "asks for nothing"),
        ("sure: true\n", "asks for nothing"),
        ("groups: {}\n", "asks for nothing"),
        ("quality: {}\n", "quality: asks for nothing: set need or least"),
        ("segments: {at_least_cases: 5}\n", "segments: asks for nothing"),
        ("quality: {least: 0.5, margin: 0.1}\n", "quality: `margin` says how `need` is meant"),
        ("[1, 2]\n", "must be a mapping of settings"),
        ("quality: {most: 1}\n", "quality.most: is not a setting. Known here: need, margin, least."),
        ("groups: {lang: {most_gab: 0.1, most_gap: 0.1}}\n", "Did you mean 'most_gap'?"),
        ("quality: [\n", "not YAML"),
    ],
)
def test_a_rule_that_asks_for_nothing_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (problem,) = problems(tmp_path, text)
    assert told in problem


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RulesUnusable, match=r"none\.yaml: No such file"):
        read_rules(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"quality: \xff")
    with pytest.raises(RulesUnusable, match="not UTF-8"):
        read_rules(tmp_path / "latin.yaml")
