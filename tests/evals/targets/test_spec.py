from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from evals.targets.port import TargetFailure
from evals.targets.spec import TargetSpec, batch_of, is_openai, open_target, target_of
from tests.evals.targets.servers import HELLO, nobody, scripted

EXAMPLE = Path(__file__).parents[3] / "examples/support/weir.yaml"


@pytest.mark.parametrize("name", ["support", "route:support", "model:support"])
def test_a_prefix_says_what_a_name_is_and_is_left_out(name: str) -> None:
    assert TargetSpec().of(name).target == "support"


async def test_a_target_is_open_inside_and_closed_after() -> None:
    async with scripted() as server:
        async with open_target(TargetSpec(base_url=server.base_url).of("echo")) as target:
            assert (await target.ask(HELLO)).text == "Hello there"
        with pytest.raises(AssertionError, match="open it first"):
            await target.ask(HELLO)


async def test_a_configuration_is_opened_in_this_process(tmp_path: Path) -> None:
    spec = TargetSpec(config=EXAMPLE, state=tmp_path).of("support-small")
    async with open_target(spec) as target:
        assert (await target.ask(HELLO)).model == "support-small"
    assert target.version == target_of(spec).version


def test_a_spec_travels_whole_and_shows_no_key() -> None:
    spec = TargetSpec(api_key="sk-very-secret", target="support")
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert "secret" not in repr(spec)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"base_url": "localhost"}, "a base URL is like"),
        ({"price": "input=1"}, "output must be stated"),
        ({"config": Path("absent.yaml")}, "absent.yaml"),
        ({"config": EXAMPLE, "prompts": ("support",)}, "NAME=FILE"),
    ],
)
def test_what_cannot_be_is_said_before_anything_starts(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(TargetFailure, match=says) as caught:
        target_of(TargetSpec(**changes))
    assert caught.value.fatal


@pytest.mark.parametrize(
    ("address", "openai"),
    [
        ("https://api.openai.com/v1", True),
        ("https://api.openai.com.evil.example/v1", False),
        ("http://127.0.0.1:8080/v1", False),
    ],
)
def test_openais_key_belongs_to_openai_alone(address: str, openai: bool) -> None:
    assert is_openai(address) is openai


def test_batches_need_an_address() -> None:
    assert batch_of(TargetSpec(base_url=nobody(), price="input=1,output=2").of("m"))
    for spec in (TargetSpec(config=EXAMPLE), TargetSpec(price="nope"), TargetSpec(base_url="x")):
        with pytest.raises(TargetFailure) as caught:
            batch_of(spec)
        assert caught.value.fatal
