"""Recipes as JSON has them: what is left out is as usual, and what cannot be is refused with what may be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from distill.student.training.recipe import Recipe, RecipeFault, of_plain, tiny


def test_a_recipe_comes_back_from_json() -> None:
    told = json.loads(json.dumps(tiny().plain()))
    assert of_plain(told) == tiny()


def test_nothing_said_is_the_tiny_student() -> None:
    assert of_plain({}) == tiny()


def test_what_is_said_of_a_part_leaves_the_rest_of_it() -> None:
    found = of_plain({"scratch": {"layers": 3}, "guidance": {"share": 0.2}, "seed": 4})
    assert (found.scratch.layers, found.scratch.vocab) == (3, tiny().scratch.vocab)
    assert found.guidance is not None
    assert (found.guidance.share, found.guidance.variants) == (0.2, 12_000)
    assert found.seed == 4


def test_a_part_may_be_left_out_by_null() -> None:
    assert of_plain({"guidance": None}).guidance is None


def test_with_a_base_the_usual_is_another() -> None:
    found = of_plain({"base": "some/model", "adapter": {"kind": "lora"}})
    assert found == Recipe(base="some/model", adapter=found.adapter)
    assert (found.steps, found.guidance, found.variation) == (0, None, None)


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ({"layers": 3}, "layers: there is no such setting; there are base, scratch"),
        ({"scratch": {"depth": 3}}, "scratch.depth: there is no such setting; there are vocab"),
        ({"scratch": 3}, "scratch: must hold settings"),
        ({"scratch": None}, "scratch: must hold settings"),
        ({"batch": "48"}, "batch: must be a whole number"),
        ({"batch": True}, "batch: must be a whole number"),
        ({"base": 7}, "base: must be a text"),
        ({"scratch": {"codes": 1}}, "scratch.codes: must be true or false"),
        ({"learning_rate": 5}, "learning_rate: must be from 1e-08 to 1"),
        ({"precision": "int8"}, "precision: must be one of auto, fp32, bf16, fp16"),
        ({"scratch": {"hidden": 96, "heads": 4}}, "scratch.hidden: 96 for 4 heads: a head needs 32"),
        ({"scratch": {"intermediate": 100}}, "scratch.intermediate: must be a multiple of 32"),
        ({"adapter": {"kind": "lora"}}, "adapter.kind: a student from scratch has no weights to adapt"),
        ({"steps": 0}, "steps: a student from scratch needs a number of them"),
        ({"most_tokens": 4000}, "most_tokens: must be at most scratch.positions, which is 512"),
        ({"base": "b", "guidance": {}}, "guidance: is for a student from scratch"),
        ({"logits": {"temperature": 0}}, "logits.temperature: must be from 0.1 to 100"),
        ({"variation": {"fills": 1}}, "variation.fills: must be from 0 to 0.95"),
    ],
)
def test_what_cannot_be_is_refused(said: dict[str, Any], part: str) -> None:
    with pytest.raises(RecipeFault) as caught:
        of_plain(said)
    assert part in str(caught.value)
