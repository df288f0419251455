"""The same student under a real vLLM, in a running Weir: killed under load, and gone with its Weir."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.e2e.promoting import Promoting, configured
from tests.e2e.running import eventually, running_weir
from tests.vllm.processes import START_S, descendants, of_vllm

PYTHON = os.environ.get("WEIR_TEST_VLLM_PYTHON", "")
pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not PYTHON, reason="WEIR_TEST_VLLM_PYTHON names no Python of an environment with vLLM"),
]


def test_killed_under_load_the_large_model_answers_and_nothing_outlives_its_weir(tmp_path: Path) -> None:
    arguments = ["--dtype", "float32", "--max-model-len", "512", "--max-num-seqs", "8", "--enforce-eager"]
    engine = {"kind": "vllm", "python": PYTHON, "arguments": arguments, "start_seconds": START_S}
    with running_weir(configured(tmp_path, engine), tmp_path / "state") as weir:
        students = Promoting(weir, tmp_path)
        students.promote("sure")
        assert students.ask()[1]["x-weir-model"] == "large", "until vLLM has started"
        eventually(lambda: students.answers("small"), START_S)
        assert students.ask(stream=True)[1]["x-weir-model"] == "small"
        health = weir.get("/readyz", None)[1]
        assert health["upstreams"]["pupil"] == "ok", health

        def killed() -> None:
            os.kill(of_vllm(descendants(weir.process.pid))[0], signal.SIGKILL)
            eventually(lambda: students.answers("large"))
            eventually(lambda: students.answers("small"), START_S)

        assert asyncio.run(students.under_load(killed)) == {"small", "large"}
        family = descendants(weir.process.pid).keys()
        assert of_vllm(descendants(weir.process.pid))
        weir.kill()
        eventually(lambda: not any(map(is_alive, family)))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
