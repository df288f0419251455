"""What the stages of a recipe depend on: a setting is no reason to do again what it does not matter to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from distill.student.means import Means
from distill.student.mining.mine import INTENTS
from distill.student.recipe import read_recipe, recipe_of
from distill.student.running import DONE, Done, fingerprint_of
from distill.student.searching.measuring import with_choice
from distill.student.searching.search import Choice, Score, Tried
from distill.student.searching.trying import curve_stage, search_stage, traffic_in, with_best
from distill.student.stages import STAGES, stages_of
from router.config.load import load

CONFIG: Mapping[str, Any] = {
    "upstreams": {"stand-in": {"kind": "scripted"}},
    "models": {"large": {"upstream": "stand-in", "name": "echo", "price": {"input": "1", "output": "2"}}},
    "routes": {"support": {"candidates": ["large"], "learning": {"shared": True}}},
    "tenants": {"acme": {"consents": ["training"]}},
}
RECIPE: Mapping[str, Any] = {
    "route": "support",
    "config": "weir.yaml",
    "logs": ["log.jsonl"],
    "teacher": {"model": "large", "cap_usd": 1},
    "search": {"sizes": {"small": {"hidden": 64, "heads": 2}}},
}
WRITTEN = {
    "curate": ("train.jsonl", "tune.jsonl", "data.json"),
    "train": ("model/weights", "train.json"),
}


def unread(texts: object) -> NDArray[np.float32]:
    raise AssertionError("nothing is to be encoded")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """All stages are done, as far as their marks say."""
    (tmp_path / "weir.yaml").write_text(yaml.safe_dump(CONFIG))
    (tmp_path / "log.jsonl").write_text("{}")
    for stage in STAGES:
        (tmp_path / "work" / stage).mkdir(parents=True)
        mark(tmp_path, stage, dict.fromkeys(WRITTEN.get(stage, ("file",)), "as it was"))
    return tmp_path


def mark(home: Path, stage: str, files: Mapping[str, str]) -> None:
    done = Done(fingerprint="", files=files, seconds=1, summary={})
    (home / "work" / stage / DONE).write_bytes(msgspec.json.encode(done))


def means(home: Path, *, version: str = "v1", **settings: Any) -> Means:
    path = home / "recipe.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, **settings}))
    return Means(
        recipe=read_recipe(path),
        loaded=load(home / "weir.yaml"),
        folder=home / "work",
        state=home / "state",
        encode=unread,
        encoder=home,
        version=version,
        by="somebody",
    )


def prints(home: Path, **settings: Any) -> dict[str, str]:
    found = means(home, **settings)
    others = [search_stage(found, {}), curve_stage(found)]
    return {stage.name: fingerprint_of(stage, home / "work") for stage in [*stages_of(found), *others]}


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        ({"name": "another"}, set()),
        ({"train_python": "/opt/other/bin/python"}, set()),
        ({"teacher": {"model": "large", "cap_usd": 1, "concurrency": 2}}, set()),
        ({"mine": {"least_requests": 9}}, {"mine"}),
        ({"curate": {"tune": 0.3}}, {"curate"}),
        ({"train": {"seed": 1}}, {"train", "search", "curve"}),
        ({"compress": {"variants": ["q4_0"]}}, {"compress", "curve"}),
        ({"gate": {"margin": 0.1}}, {"gate"}),
        ({"gate": {"same_words": 0.7}}, {"gate", "search", "curve"}),
        ({"judge": {"model": "large", "cap_usd": 1}}, {"curate", "gate"}),
        ({"student_price": "input=1,output=1"}, {"mine"}),
        ({"licence": "apache-2.0"}, {"card"}),
        ({"teacher": {"model": "large", "cap_usd": 2}}, {"mine", "curate", "gate"}),
        ({"version": "v2"}, {"mine", "curate", "train", "gate", "search", "curve"}),
        ({"curve": {"seeds": 3}}, {"curve"}),
        ({"search": {"p95_ms": 9}}, {"search"}),
    ],
)
def test_a_setting_matters_to_its_own_stages(home: Path, settings: dict[str, Any], changed: set[str]) -> None:
    before, after = prints(home), prints(home, **settings)
    assert {name for name in before if before[name] != after[name]} == changed


@pytest.mark.parametrize(
    ("stage", "file", "changed"),
    [
        ("mine", "file", {"curate"}),
        ("curate", "train.jsonl", {"train", "compress", "gate", "search", "curve"}),
        ("curate", "tune.jsonl", {"gate", "search", "curve"}),
        ("train", "model/weights", {"compress"}),
        ("train", "train.json", {"card"}),
        ("compress", "file", {"gate"}),
        ("gate", "file", {"card"}),
    ],
)
def test_what_a_stage_writes_matters_to_those_that_read_it(
    home: Path, stage: str, file: str, changed: set[str]
) -> None:
    before = prints(home)
    files = dict.fromkeys(WRITTEN.get(stage, ("file",)), "as it was")
    mark(home, stage, {**files, file: "another"})
    after = prints(home)
    assert {name for name in before if before[name] != after[name]} == changed


def test_who_consents_matters_to_mining(home: Path) -> None:
    before = prints(home)
    config = {**CONFIG, "tenants": {"acme": {"consents": ["training"]}, "globex": {"consents": ["training"]}}}
    (home / "weir.yaml").write_text(yaml.safe_dump(config))
    after = prints(home)
    assert {name for name in before if before[name] != after[name]} == {"mine"}


def test_the_students_price_is_the_recipes_or_that_of_the_model_which_is_this_student(home: Path) -> None:
    def price(**settings: Any) -> Decimal | None:
        found = means(home, **settings).student_price
        return None if found is None else found.cost(1_000_000, 0)

    assert price() is None
    assert price(student_price="input=0.02,output=0.08") == Decimal("0.02")
    students = {"pupil": {"kind": "student", "route": "support"}, "theirs": {"kind": "student", "route": "support"}}
    students["theirs"]["tenant"] = "acme"
    models = {
        name: {"upstream": name, "price": {"input": price, "output": "1"}}
        for name, price in (("theirs", "0.5"), ("pupil", "0.3"))
    }
    config = {**CONFIG, "upstreams": {**CONFIG["upstreams"], **students}, "models": {**CONFIG["models"], **models}}
    (home / "weir.yaml").write_text(yaml.safe_dump(config))
    assert price() == Decimal("0.3")
    assert price(tenant="acme") == Decimal("0.5")
    assert price(student_price="input=0.02,output=0.08") == Decimal("0.02")


def test_a_judge_is_asked_where_the_recipe_names_one(home: Path) -> None:
    assert means(home).judge is None
    judge = means(home, judge={"model": "large", "cap_usd": 1}).judge
    assert judge is not None
    assert (judge.name, judge.spent) == ("large", Decimal(0))


def test_what_a_search_found_is_a_recipe_to_run(home: Path) -> None:
    recipe = means(home).recipe
    score = Score(quality=1, teacher=1, p95_ms=1, seconds=1, megabytes=1)

    def with_(base: str, size: str) -> dict[str, Any]:
        choice = Choice(base=base, size=size, precision="q4_0")
        return with_best(recipe, Tried(choice=choice, share=1, score=score, cost_usd=1, why_not=""))

    small = recipe_of(yaml.safe_load(yaml.safe_dump(with_("", "small"))), path=home / "elsewhere" / "recipe.yaml")
    assert (small.training.scratch.hidden, small.compress.variants) == (64, ("q4_0",))
    assert small.logs == (home / "log.jsonl",)
    based = recipe_of(with_("acme/base", ""), path=home / "recipe.yaml")
    assert (based.training.base, based.training.guidance) == ("acme/base", None)
    assert with_choice(recipe, Choice(base="", size="", precision="q8_0")) == {}


@pytest.mark.parametrize(
    ("first", "last", "saved", "expected"),
    [
        ("2026-10-01", "2026-10-10", "2.00", (4.0, Decimal("0.05"))),
        ("", "", "2.00", None),
        ("2026-10-01", "2026-10-10", None, None),
    ],
)
def test_what_an_answer_saves_is_read_from_mining(
    tmp_path: Path, first: str, last: str, saved: str | None, expected: tuple[float, Decimal] | None
) -> None:
    intents = [
        {"intent": "track", "picked": True, "requests": 40, "saved_usd": saved},
        {"intent": "odd", "picked": False, "requests": 9, "saved_usd": "9"},
    ]
    path = tmp_path / INTENTS
    path.write_text(json.dumps({"period": {"first": first, "last": last}, "intents": intents}))
    found = traffic_in(path)
    assert (None if found is None else (found.requests, found.saving)) == expected
