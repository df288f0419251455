"""The guides to students show recipes and configurations, and name settings, limits and stages that exist."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest
import yaml

from distill.student.compressing.catalogue import REFUSED, WHAT
from distill.student.compressing.settings import Form, GGUFSettings, VLLMSettings
from distill.student.gating.settings import GateSettings
from distill.student.gating.weighing import needed
from distill.student.recipe import Recipe, recipe_of
from distill.student.stages import STAGES
from distill.student.training import recipe as training
from router.config import policies, schema, students
from router.config.values import Section

DOCS = Path(__file__).parents[2] / "docs"
LOOP, STAGE, SERVING = (
    (DOCS / "guides" / f"{name}.md").read_text() for name in ("students", "students-stages", "students-serving")
)
ALL = LOOP + STAGE + SERVING
REFERENCE = (DOCS / "reference/recipe.md").read_text()
USUAL = Recipe.model_validate({"name": "n", "route": "r"})
SNIPPETS = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", ALL, re.DOTALL)]
RECIPES = [one for one in SNIPPETS if "route" in one]


@pytest.mark.parametrize("recipe", RECIPES, ids=["own", "base"])
def test_a_recipe_that_is_shown_is_one(recipe: dict[str, object]) -> None:
    assert recipe_of({"name": "shown", **recipe}, path=Path("recipe.yaml")).route == "support"


@pytest.mark.parametrize("config", [one for one in SNIPPETS if "upstreams" in one], ids=["watch", "gguf", "vllm"])
def test_a_configuration_that_is_shown_is_one(config: dict[str, object]) -> None:
    schema.Config.model_validate({"models": {}, "tenants": {}, **config})


def test_all_stages_are_explained_and_no_others() -> None:
    assert re.findall(r"^\| `weir distill (\w+)` \| [^`p]*", LOOP, re.MULTILINE) == list(STAGES)
    assert [name.lower() for name in re.findall(r"^## (\w+)$", STAGE, re.MULTILINE)] == list(STAGES)


def test_every_variant_has_its_row_and_the_refused_ones_their_reason() -> None:
    rows = re.findall(r"^\| ((?:`[\w:]+`(?:, )?)+) \|.*\| ([\w., -]+) \|$", STAGE, re.MULTILINE)
    forms = {form: what for names, what in rows for form in re.findall(r"`([\w:]+)`", names)}
    assert set(forms) == set(get_args(Form)) == set(WHAT) | set(REFUSED)
    assert {form for form, what in forms.items() if "refused" in what} == set(REFUSED)


def test_the_gates_limits_are_those_that_it_has_by_default() -> None:
    limits = {name: float(value) for name, value in re.findall(r"\| `(\w+): ([\d.]+)`", STAGE)}
    assert len(limits) == 5
    assert limits == {name: getattr(GateSettings(), name) for name in limits}
    told = re.search(r"takes (\d+) test questions.* 2 points .* (\d+) for 3 points", STAGE, re.DOTALL)
    assert told is not None
    assert (int(told[1]), int(told[2])) == (needed(0.02, 0.95), needed(0.03, 0.95))


def test_the_settings_that_are_named_with_their_section_exist() -> None:
    named = set(re.findall(r"`(teacher|mine|curate|compress|engines|gate|search|curve)\.(?!md\b)(\w+)", ALL))
    assert {"cap_usd", "regions", "variants", "turns", "horizon_days"} <= {setting for _, setting in named}
    for section, setting in named:
        assert setting in type(getattr(USUAL, section)).model_fields
    for setting in re.findall(r"`train\.(?!jsonl?\b)(\w+)", ALL):
        assert hasattr(USUAL.training, setting), setting
    for setting in re.findall(r"`policy\.check\.(\w+)", SERVING):
        assert setting in policies.StudentCheck.model_fields
    for setting in ("tenant", "artefact", "variant", "alias"):
        assert f"`{setting}" in SERVING
        assert setting in students.StudentUpstream.model_fields


def test_the_reference_has_every_setting_of_a_recipe_in_its_section_with_what_it_says() -> None:
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", REFERENCE, re.MULTILINE | re.DOTALL))
    parts: Mapping[str, type[Section]] = {"gguf.": GGUFSettings, "vllm.": VLLMSettings}
    told = {name: type(getattr(USUAL, name)) for name in sections if name != "train"}
    for section, settings in told.items():
        for name, field in settings.model_fields.items():
            if section != "engines" or f"{name}." not in parts:
                assert re.search(
                    rf"^\| `{name}` \|.*\| {re.escape(field.description)} \|$", sections[section], re.M
                )
    for prefix, engine in parts.items():
        for name in engine.model_fields:
            assert f"| `{prefix}{name}` |" in sections["engines"]
    fields = {field.name for field in dataclasses.fields(training.Recipe)}
    rows = set(re.findall(r"^\| `([\w.]+)` \|", sections["train"], re.MULTILINE))
    groups = {
        name: getattr(training.tiny(), name) for name in ("scratch", "adapter", "logits", "variation", "guidance")
    }
    within = {f"{name}.{each.name}" for name, group in groups.items() for each in dataclasses.fields(group)}
    assert rows == fields - set(groups) | within
    assert set(Recipe.model_fields) <= {*told, "train", *re.findall(r"^\| `(\w+)` \|", REFERENCE, re.MULTILINE)}


def test_the_reference_has_the_defaults_of_a_student_from_scratch() -> None:
    table = REFERENCE.partition("## train")[2].partition("\n## ")[0]
    for name, default in re.findall(r"^\| `([\w.]+)` \| `([^`]+)` \|", table, re.MULTILINE):
        group, _, setting = name.rpartition(".")
        owner = getattr(training.tiny(), group) if group else training.tiny()
        assert str(getattr(owner, setting)).lower() == default.lower(), name
