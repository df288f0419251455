"""What `weir check` warns of."""

from __future__ import annotations

from typing import Any

import pytest

from router.config.schema import Config
from router.config.smells import smells

SOUND: dict[str, Any] = {
    "upstreams": {
        "u": {"kind": "openai", "base_url": "http://h/v1", "api_key": "${K}", "stand_in": "s"},
        "s": {"kind": "scripted"},
    },
    "models": {"m": {"upstream": "u"}, "n": {"upstream": "u"}},
    "prompts": {"p": {"file": "p.txt"}},
    "routes": {"r": {"candidates": ["m"], "prompt": "p"}},
    "tenants": {"t": {"routes": ["r"], "models": ["n"]}},
}


def smelt(**changes: Any) -> list[str]:
    return list(smells(Config.model_validate({**SOUND, **changes})))


def test_a_sound_configuration_has_none() -> None:
    assert smelt() == []


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
        ({"prompts": {**SOUND["prompts"], "x": {"file": "x.txt"}}}, ["prompts.x: no route uses it"]),
        (
            {"routes": {"r": {"candidates": ["m"], "prompt": "p", "attempts": {"deadline_seconds": 10}}}},
            ["routes.r.attempts: an attempt may take longer than the deadline, so no other can follow it"],
        ),
    ],
)
def test_each_is_told(changes: dict[str, Any], told: list[str]) -> None:
    assert smelt(**changes) == told


def test_a_tenant_without_limits_may_use_everything() -> None:
    assert smelt(tenants={"t": {"models": []}, "v": {}}) == []
