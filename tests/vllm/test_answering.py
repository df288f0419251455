"""One student under real vLLM and in llama.cpp: the same greedy answers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from contracts.students import Variant
from distill.student.answering.answers import Answered, answers_of
from distill.student.compressing.gguf_writer import write_gguf
from distill.student.compressing.settings import EngineSettings, VLLMSettings
from distill.student.examples import Example
from tests.distill.student.worked_llama import write_llama

PYTHON = os.environ.get("WEIR_TEST_VLLM_PYTHON", "")
pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not PYTHON, reason="WEIR_TEST_VLLM_PYTHON names no Python of an environment with vLLM"),
]


def test_vllm_and_llama_cpp_answer_the_same(tmp_path: Path) -> None:
    write_llama(tmp_path / "model")
    (tmp_path / "gguf").mkdir()
    write_gguf(tmp_path / "model", tmp_path / "gguf" / "f16.gguf", "f16")
    arguments = ("--dtype", "float32", "--max-num-seqs", "8", "--enforce-eager")
    engines = EngineSettings(vllm=VLLMSettings(python=PYTHON, arguments=arguments))
    texts = ("How do I return my grinder?", "I'LL take 12345, don't you?", "Where is it now")
    examples = [
        Example(
            id=str(place),
            intent="",
            messages=({"role": "system", "content": "Be kind."}, {"role": "user", "content": text}),
            answer="",
            group="",
        )
        for place, text in enumerate(texts)
    ]

    def answered(variant: Variant, folder: Path) -> Answered:
        file = tmp_path / f"{variant.name}.jsonl"
        return answers_of(
            folder, variant, examples, most_tokens=24, engines=engines, file=file, tell=lambda *_: None
        )

    files = tuple(sorted(file.name for file in (tmp_path / "model").iterdir()))
    whole = answered(Variant(name="whole", engine="vllm", files=files, bytes=1), tmp_path / "model")
    small = answered(Variant(name="f16", engine="gguf", files=("f16.gguf",), bytes=1), tmp_path / "gguf")
    assert whole.texts == small.texts
    for place, signals in whole.signals.items():
        assert signals.answer_tokens == small.signals[place].answer_tokens == 24
        assert signals.mean_logp == pytest.approx(small.signals[place].mean_logp, abs=0.02)
        assert signals.margin == pytest.approx(small.signals[place].margin, abs=0.02)
