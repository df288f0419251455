"""What a vLLM is started with, and what is made of one that does not start: another program in its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.errors import ConnectionRefused
from router.upstreams.vllm import VLLMUpstream
from tests.tiny_llama import write_tiny_adapter, write_tiny_llama

SAYS = """\
(APIServer pid=1) WARNING 11-26 07:36 [a.py:1] This can cause errors like `OSError: [Errno 24] Too many open files`.
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, max_model_len (512) is greater than what the model can read
    For further information visit https://errors.example/value_error
"""


def program(folder: Path) -> Path:
    """Writes its arguments down, complains, and ends."""
    path = folder / "python"
    (folder / "says").write_text(SAYS)
    path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {folder}/arguments\ncat {folder}/says >&2\nexit 1\n')
    path.chmod(0o755)
    return path


async def arguments_of(folder: Path, adapter: Path | None = None) -> list[str]:
    model = write_tiny_llama(folder / "model")
    upstream = VLLMUpstream("gpu", program(folder), model, served="pupil", adapter=adapter, start_s=20)
    with pytest.raises(ConnectionRefused, match=r": Value error, max_model_len \(512\) is greater"):
        await upstream.start()
    await upstream.close()
    return (folder / "arguments").read_text().splitlines()


@pytest.mark.parametrize(("rank", "room"), [(4, "8"), (8, "8"), (40, "64"), (600, "600")])
async def test_an_adapter_has_the_room_that_its_rank_takes(tmp_path: Path, rank: int, room: str) -> None:
    adapter = write_tiny_adapter(tmp_path / "lora")
    config = adapter / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "r": rank}))
    arguments = await arguments_of(tmp_path, adapter)
    assert arguments[arguments.index("--max-lora-rank") + 1] == room
    assert arguments[arguments.index("--lora-modules") + 1] == f"pupil={adapter}"


async def test_a_whole_model_is_served_by_its_name_and_a_damaged_adapter_left_to_vllm(tmp_path: Path) -> None:
    arguments = await arguments_of(tmp_path)
    assert arguments[arguments.index("--served-model-name") + 1] == "pupil"
    assert "--enable-lora" not in arguments
    damaged = await arguments_of(tmp_path, tmp_path / "nothing")
    assert "--enable-lora" in damaged
    assert "--max-lora-rank" not in damaged
