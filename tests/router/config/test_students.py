"""What a configuration may say of students, and of models under a vLLM that Weir starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from router.config.load import Loaded, load
from router.config.problems import ConfigError

PRICE = {"input": "1", "output": "2"}
RUNS = {"kind": "vllm", "base_url": "http://gpu:8000/v1", "api_key": "${GPU_KEY}"}


def loaded(folder: Path, **changed: Any) -> Loaded:
    """Everyone's student `small` beside `large`; `changed` are whole sections."""
    sections: dict[str, Any] = {
        "upstreams": {"pupil": {"kind": "student", "route": "auto"}, "scripted": {"kind": "scripted"}},
        "models": {"small": model("pupil"), "large": model("scripted")},
        "routes": {"auto": {"candidates": ["small", "large"], "policy": {"kind": "student"}}},
        "tenants": {"acme": {}},
    }
    path = folder / "weir.yaml"
    path.write_text(yaml.safe_dump({**sections, **changed}))
    return load(path, {"GPU_KEY": "k"})


def model(upstream: str) -> dict[str, Any]:
    return {"upstream": upstream, "price": PRICE}


def upstreams(**pupil: Any) -> dict[str, Any]:
    return {"pupil": {"kind": "student", "route": "auto", **pupil}, "scripted": {"kind": "scripted"}}


def route(*candidates: str, **settings: Any) -> dict[str, Any]:
    return {"auto": {"candidates": list(candidates), **settings}}


STUDENT: dict[str, Any] = {"policy": {"kind": "student"}}


def test_the_only_candidate_that_is_one_is_the_student(tmp_path: Path) -> None:
    config = loaded(tmp_path).config
    assert config.student_of(config.routes["auto"]) == "small"
    assert config.upstreams["pupil"].model_dump()["engine"]["kind"] == "gguf"


def test_one_of_several_is_named(tmp_path: Path) -> None:
    models = {"small": model("pupil"), "tiny": model("pupil"), "large": model("scripted")}
    routes = route("small", "tiny", "large", policy={"kind": "student", "student": "tiny"})
    config = loaded(tmp_path, models=models, routes=routes).config
    assert config.student_of(config.routes["auto"]) == "tiny"


@pytest.mark.parametrize(
    ("changed", "place", "problem"),
    [
        pytest.param({"routes": route("large", **STUDENT)}, "routes.auto.policy", "no candidate", id="no student"),
        pytest.param({"routes": route("small", **STUDENT)}, "routes.auto.policy", "nobody answers", id="it alone"),
        pytest.param(
            {"routes": route("small", "large", policy={"kind": "student", "student": "large"})},
            "routes.auto.policy.student",
            "'large' is no student",
            id="another model is named",
        ),
        pytest.param(
            {
                "models": {"small": model("pupil"), "tiny": model("pupil"), "large": model("scripted")},
                "routes": route("small", "tiny", "large", **STUDENT),
            },
            "routes.auto.policy",
            "several candidates",
            id="none of two is named",
        ),
        pytest.param(
            {"routes": route("large", "small")}, "routes.auto.candidates[1]", "this policy does not", id="fixed"
        ),
        pytest.param(
            {"routes": route("small", "large", **STUDENT, learning={"judge": "small"})},
            "routes.auto.learning.judge",
            "not made to judge",
            id="a judge",
        ),
        pytest.param({"upstreams": upstreams(route="auot")}, "upstreams.pupil.route", "'auot' is not", id="route"),
        pytest.param(
            {"upstreams": upstreams(tenant="amce")}, "upstreams.pupil.tenant", "'amce' is not", id="tenant"
        ),
        pytest.param(
            {"upstreams": upstreams(artefact="x")}, "upstreams.pupil.artefact", "is not there", id="folder"
        ),
        pytest.param(
            {"upstreams": upstreams(engine={"kind": "vllm", "python": "x"})},
            "upstreams.pupil.engine.python",
            "is not there",
            id="no Python",
        ),
        pytest.param(
            {"upstreams": upstreams(engine={"kind": "vllm"})}, "upstreams.pupil.engine", "`python`", id="no vLLM"
        ),
        pytest.param(
            {"upstreams": upstreams(engine={**RUNS, "python": "weir.yaml"})},
            "upstreams.pupil.engine",
            "one of them",
            id="two of them",
        ),
        pytest.param(
            {"upstreams": upstreams(engine={**RUNS, "arguments": ["--enable-lora"]})},
            "upstreams.pupil.engine",
            "only a vLLM",
            id="arguments for one that runs",
        ),
        pytest.param(
            {"upstreams": upstreams(engine={**RUNS, "api_key": "${NO_KEY}"})},
            "upstreams.pupil.engine.api_key",
            "NO_KEY has no value",
            id="no key",
        ),
    ],
)
def test_what_cannot_work_is_told(tmp_path: Path, changed: dict[str, Any], place: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        loaded(tmp_path, **changed)
    told = {each.path: each for each in refusal.value.problems}
    assert problem in told[place].message, refusal.value
    assert place.endswith(("policy.student", "engine")) or told[place].advice


def test_a_python_is_not_read_and_a_changed_one_is_another_configuration(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_bytes(b"\x7fELF")
    engine = {"kind": "vllm", "python": "python"}
    more = {**upstreams(engine=engine), "any": {"kind": "vllm", "python": "python", "model": "Qwen/Qwen3-4B"}}
    before = loaded(tmp_path, upstreams=more)
    assert python in before.files
    python.write_bytes(b"\x7fELF2")
    assert loaded(tmp_path, upstreams=more).digest != before.digest
