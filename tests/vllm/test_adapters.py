"""A student that is a LoRA adapter, through a whole Weir: loaded into a running vLLM, and unloaded for the next."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.request
from pathlib import Path

import pytest

from contracts.students import Variant
from router.upstreams.vllm import VLLMUpstream
from tests.e2e.promoting import Promoting, configured
from tests.e2e.running import eventually, running_weir
from tests.tiny_llama import CONTEXT, write_tiny_adapter, write_tiny_llama
from tests.vllm.processes import START_S, address_of, descendants, of_vllm

PYTHON = os.environ.get("WEIR_TEST_VLLM_PYTHON", "")
pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not PYTHON, reason="WEIR_TEST_VLLM_PYTHON names no Python of an environment with vLLM"),
]
ARGUMENTS = ("--dtype", "float32", "--max-model-len", str(CONTEXT), "--max-num-seqs", "8", "--enforce-eager")
LORA = Variant(
    name="lora",
    engine="vllm",
    files=("adapter_config.json", "adapter_model.safetensors"),
    bytes=1,
    adapter=True,
    base="tiny",
)


async def test_a_promoted_adapter_answers_from_a_vllm_that_runs_and_the_next_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "True")
    model = write_tiny_llama(tmp_path / "tiny")
    arguments = (*ARGUMENTS, "--enable-lora", "--max-lora-rank", "8")
    vllm = VLLMUpstream("gpu", Path(PYTHON), model, served="tiny", arguments=arguments, start_s=START_S)
    await vllm.start()
    try:
        (pid,) = of_vllm(descendants(os.getpid()))
        base_url, key = address_of(pid)
        monkeypatch.setenv("FAR_KEY", key)
        await asyncio.to_thread(promote_twice, tmp_path, base_url, key)
    finally:
        await vllm.close()


def promote_twice(folder: Path, base_url: str, key: str) -> None:
    engine = {"kind": "vllm", "base_url": base_url, "api_key": "${FAR_KEY}"}
    with running_weir(configured(folder, engine), folder / "state") as weir:
        students = Promoting(weir, folder)
        said = []
        for seed, name in enumerate(("first", "second")):
            before = served(base_url, key)
            write_tiny_adapter(folder / name, seed=seed)
            students.promote(name, variants=(LORA,), most_tokens=201 + seed)
            # The one before is unloaded once its last answer is out.
            eventually(lambda before=before: len(served(base_url, key) - before) == 1, 60)
            eventually(lambda: len(served(base_url, key)) == 2, 60)
            eventually(lambda: students.answers("small"), 60)
            said.append(students.ask(stream=True)[0])
        assert all(said)
    assert served(base_url, key) == {"tiny"}, "a Weir that ends takes its adapter with it"


def served(base_url: str, key: str) -> set[str]:
    request = urllib.request.Request(f"{base_url}/models", headers={"authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        return {model["id"] for model in json.load(reply)["data"]}
