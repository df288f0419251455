"""Recipes of students: what a file may say, what a command line changes, and how faults are told."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from distill.student.recipe import Recipe, RecipeUnusable, read_recipe, recipe_of, written
from distill.student.training.recipe import tiny


def file_with(folder: Path, **settings: Any) -> Path:
    path = folder / "student" / "recipe.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump({"route": "support", **settings}))
    return path


def test_a_recipe_of_one_line_has_all_defaults(tmp_path: Path) -> None:
    recipe = read_recipe(file_with(tmp_path))
    assert recipe.name == "student"  # of its folder
    assert recipe.training == tiny()
    assert recipe.compress.variants == ("q8_0",)
    assert recipe.teacher.model == ""


def test_paths_are_relative_to_the_file_and_those_of_options_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = file_with(
        tmp_path,
        config="../weir.yaml",
        logs=["../log.jsonl"],
        suite="suite",
        compress={"python": "envs/lc/bin/python", "given": {"q5_k": "q5.gguf"}},
        engines={"vllm": {"python": "/opt/vllm/bin/python"}},
    )
    recipe = read_recipe(path, {"logs": (Path("other.jsonl"),)})
    assert recipe.config.resolve() == tmp_path / "weir.yaml"
    assert recipe.logs == (tmp_path / "other.jsonl",)
    assert recipe.suite == path.parent / "suite"
    assert recipe.compress.python == str(path.parent / "envs/lc/bin/python")
    assert recipe.compress.given == {"q5_k": str(path.parent / "q5.gguf")}
    assert recipe.engines.vllm is not None
    assert recipe.engines.vllm.python == "/opt/vllm/bin/python"


def test_a_base_is_a_folder_beside_the_file_or_a_name(tmp_path: Path) -> None:
    path = file_with(tmp_path, train={"base": "half-b"})
    assert read_recipe(path).training.base == "half-b"
    (path.parent / "half-b").mkdir()
    assert read_recipe(path).training.base == str(path.parent / "half-b")


def test_options_come_before_the_file(tmp_path: Path) -> None:
    path = file_with(tmp_path, teacher={"model": "large", "cap_usd": 5}, train={"seed": 3})
    changes = {
        "teacher.cap_usd": "2.50",
        "train.base": "acme/base",
        "engines.vllm.python": Path("/opt/v/bin/python"),
    }
    recipe = read_recipe(path, changes)
    assert recipe.teacher.model == "large"
    assert recipe.teacher.cap_usd == Decimal("2.50")
    assert (recipe.training.base, recipe.training.seed) == ("acme/base", 3)
    assert recipe.engines.vllm is not None


def test_all_faults_are_told_at_once_with_their_paths(tmp_path: Path) -> None:
    path = file_with(
        tmp_path,
        rout="x",
        mine={"least_distinct": 1},
        gate={"margin": 2},
        train={"steps": -1},
        compress={"variants": ["int3"]},
    )
    with pytest.raises(RecipeUnusable) as fault:
        read_recipe(path)
    told = str(fault.value)
    for place in ("rout", "mine.least_distinct", "gate.margin", "train", "compress.variants"):
        assert f"{path}: {place}" in told
    assert "steps" in told
    assert "must not be empty" not in told  # as pydantic says of a list whose entry is wrong


@pytest.mark.parametrize(
    ("text", "said"), [("- a", "not a recipe"), ("a: [", "not YAML"), ("", "not a recipe"), ("{}", "route")]
)
def test_what_is_no_recipe_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = file_with(tmp_path)
    path.write_text(text)
    with pytest.raises(RecipeUnusable, match=said):
        read_recipe(path)


def test_a_teacher_without_a_cap_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeUnusable, match="cap_usd"):
        read_recipe(file_with(tmp_path, teacher={"model": "large"}))


def test_a_judge_has_a_cap_of_its_own_and_a_student_a_price(tmp_path: Path) -> None:
    judge = {"model": "other", "cap_usd": 1}
    recipe = read_recipe(file_with(tmp_path, judge=judge, student_price="input=0.02,output=0.08"))
    assert (recipe.judge.cap_usd, recipe.judge.max_tokens, recipe.teacher.model) == (Decimal(1), 16, "")
    with pytest.raises(RecipeUnusable, match=r"judge: .*cap_usd"):
        read_recipe(file_with(tmp_path, judge={"model": "other"}))
    with pytest.raises(RecipeUnusable, match=r"student_price: .*output must be stated"):
        read_recipe(file_with(tmp_path, student_price="input=0.02"))


def test_an_adapter_that_is_to_be_served_is_to_be_trained(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"compress": {"variants": ["lora"]}, "train": {"base": "half-b"}}
    with pytest.raises(RecipeUnusable, match=r"set `train\.adapter\.kind: lora`"):
        read_recipe(file_with(tmp_path, **settings))
    settings["train"] |= {"adapter": {"kind": "lora"}}
    assert read_recipe(file_with(tmp_path, **settings)).compress.variants == ("lora",)


def test_a_gate_lets_no_student_answer_turns_that_it_never_saw(tmp_path: Path) -> None:
    with pytest.raises(RecipeUnusable, match="never saw"):
        read_recipe(file_with(tmp_path, gate={"turns": 2}))
    assert read_recipe(file_with(tmp_path, gate={"turns": 2}, curate={"turns": 2})).gate.turns == 2


def test_what_is_written_is_read_again_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file_with(tmp_path, config="../weir.yaml", logs=["log.jsonl"], gate={"margin": 0.05}, suite="suite")
    monkeypatch.chdir(tmp_path)
    recipe = read_recipe(Path("student/recipe.yaml"))
    assert read_recipe(file_with(tmp_path)).config == tmp_path / "student" / "weir.yaml"
    elsewhere = tmp_path / "elsewhere" / "recipe.yaml"
    told = yaml.safe_load(yaml.safe_dump(written(recipe)))
    again: Recipe = recipe_of(told, path=elsewhere)
    assert again == recipe
