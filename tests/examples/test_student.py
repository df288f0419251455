"""The student that the example ships: small, made by the recipe beside it, and saying what the business says."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from contracts.students import CHECK, CONTENT, INTENTS, read_student
from distill.student.recipe import read_recipe
from registry.routers import artefact_name

SUPPORT = Path(__file__).parents[2] / "examples/support"
FOLDER = SUPPORT / "student"
STUDENT = read_student((FOLDER / CONTENT).read_bytes())
MOST_BYTES = 3_000_000


def test_it_is_small_and_whole() -> None:
    (variant,) = STUDENT.variants
    assert variant.engine == "gguf"
    assert {path.name for path in FOLDER.iterdir()} >= {*variant.files, CHECK, INTENTS, "recipe.yaml", "CARD.md"}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < MOST_BYTES


def test_its_answers_are_those_of_the_business_and_say_nothing_of_a_stand_in() -> None:
    rows = [json.loads(line) for line in (SUPPORT / "intents.jsonl").read_text(encoding="utf-8").splitlines()]
    canonical = {row["intent"]: {row["answer"], row["answer_es"]} for row in rows}
    assert STUDENT.intents
    for intent in STUDENT.intents:
        assert STUDENT.usual[intent]
        assert set(STUDENT.usual[intent]) <= canonical[intent]


def test_the_recipe_beside_it_is_the_one_of_its_route() -> None:
    recipe = read_recipe(FOLDER / "recipe.yaml")
    assert (recipe.route, recipe.tenant, recipe.teacher.model) == (STUDENT.route, STUDENT.owner, STUDENT.teacher)
    assert recipe.gate.most_tokens == STUDENT.most_tokens
    upstream = yaml.safe_load((SUPPORT / "weir.yaml").read_text())["upstreams"]["student"]
    assert upstream["artefact"] == FOLDER.name
    assert upstream["engine"]["context"] >= STUDENT.most_tokens


def test_its_card_says_that_it_passed() -> None:
    card = (FOLDER / "CARD.md").read_text(encoding="utf-8")
    assert f"# student {artefact_name(STUDENT.route, STUDENT.owner)}" in card
    assert "passed: yes" in card
    assert f"{len(STUDENT.intents)} intents" in card
