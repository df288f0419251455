"""What `weir check` warns of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from router.config.load import load
from router.config.smells import smells
from router.estimates import TokenEstimator

SOUND: dict[str, Any] = {
    "upstreams": {
        "u": {"kind": "openai", "base_url": "http://h/v1", "api_key": "${K}", "stand_in": "s"},
        "s": {"kind": "scripted"},
    },
    "models": {"m": {"upstream": "u"}, "n": {"upstream": "u"}},
    "prompts": {"p": {"file": "p.yaml"}},
    "routes": {"r": {"candidates": ["m"], "prompt": "p"}},
    "tenants": {"t": {"routes": ["r"], "models": ["n"]}},
}


def smelt(folder: Path, **changes: Any) -> list[str]:
    """`p.yaml` has the slot `firm` and some 30 tokens, `x.txt` none."""
    (folder / "p.yaml").write_text(
        "sections: [{name: a, text: '{{ firm }}. " + 10 * "Be very brief. " + "'}]\nslots: {firm: A}"
    )
    (folder / "x.txt").write_text("Be kind.")
    path = folder / "weir.yaml"
    path.write_text(yaml.safe_dump({**SOUND, **changes}))
    return list(smells(load(path, {}), TokenEstimator([])))


def test_a_sound_configuration_has_none(tmp_path: Path) -> None:
    assert smelt(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tenants": {}}, ["tenants: there are none, so nobody may call"]),
        ({"tenants": {"t": {"routes": []}}}, ["routes.r: no tenant may use it"]),
        (
            {"tenants": {"t": {"routes": ["r"], "models": []}}},
            ["models.n: no route uses it and no tenant may name it"],
        ),
        (
            {"upstreams": {**SOUND["upstreams"], "x": {"kind": "scripted"}}},
            ["upstreams.x: no model uses it"],
        ),
        ({"prompts": {**SOUND["prompts"], "x": {"file": "x.txt"}}}, ["prompts.x: no route or tenant uses it"]),
        (
            {"routes": {"r": {"candidates": ["m"], "prompt": "p", "attempts": {"deadline_seconds": 10}}}},
            ["routes.r.attempts: an attempt may take longer than the deadline, so no other can follow it"],
        ),
        (
            {"tenants": {"t": {"models": ["n"], "slots": {"firm": "B", "frim": "B"}}}},
            ["tenants.t.slots.frim: no prompt has a slot of this name"],
        ),
        (
            {"prompts": {"p": {"file": "p.yaml", "most_tokens": 30}}},
            ["prompts.p: its file takes about 46 tokens, more than `most_tokens`, 30"],
        ),
    ],
)
def test_each_is_told(tmp_path: Path, changes: dict[str, Any], told: list[str]) -> None:
    assert smelt(tmp_path, **changes) == told


def test_a_tenant_without_limits_may_use_everything(tmp_path: Path) -> None:
    assert smelt(tmp_path, tenants={"t": {"models": []}, "v": {}}) == []


def test_a_tenants_own_prompt_is_in_use(tmp_path: Path) -> None:
    prompts = {**SOUND["prompts"], "x": {"file": "x.txt"}}
    assert smelt(tmp_path, prompts=prompts, tenants={"t": {"models": ["n"], "prompts": {"r": "x"}}}) == []


def test_a_tenant_without_the_store_that_its_route_needs_is_told(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    routes = {"r": {"candidates": ["m"], "prompt": "p", "retrieval": {"stores": ["help", "made-later"]}}}
    stores = {"help": {"folder": "docs", "tenants": ["t"]}}
    tenants = {"t": {"models": ["n"]}, "v": {"routes": ["r"]}, "w": {"routes": [], "models": []}}
    assert smelt(tmp_path, routes=routes, stores=stores, tenants=tenants) == [
        "stores.help.tenants: v has none, and may use the route r, which needs it"
    ]
