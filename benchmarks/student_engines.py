"""One student under vLLM and in llama.cpp: how many greedy answers to a suite are the same.

    python benchmarks/student_engines.py --work .weir/distill/student --vllm-python .venv-vllm/bin/python --json

`--work` is what `weir distill run` left: its `train/model` runs under vLLM, in each of the `--dtype`s, and as
`compress/f16` in llama.cpp. Asked are the suite's cases of one turn, one at a time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from contracts.students import Variant
from distill.student.answering.answers import Answered, answers_of
from distill.student.compressing.settings import EngineSettings, VLLMSettings
from distill.student.examples import Example
from evals.suite import read_suite

_TOKENS = 160
_CONTEXT = 512
"""Tokens: the tiny student's own."""


def questions(suite: Path) -> list[Example]:
    """The cases of one turn, as a student is asked them."""
    return [
        Example(id=case.id, intent="", messages=case.messages, answer="", group=case.cluster)
        for case in read_suite(suite).cases
        if len(case.messages) == 1
    ]


def alike(one: Answered, other: Answered) -> dict[str, Any]:
    """The same texts, and by how much the mean log probabilities of those differ."""
    same = [name for name, text in one.texts.items() if other.texts.get(name) == text]
    apart = [abs((one.signals[name].mean_logp or 0.0) - (other.signals[name].mean_logp or 0.0)) for name in same]
    return {
        "questions": len(one.texts),
        "same": len(same),
        "mean_logp_apart": {"median": float(np.median(apart)), "most": max(apart)} if apart else None,
    }


def measure(work: Path, suite: Path, vllm: Path, dtypes: Sequence[str]) -> dict[str, Any]:
    asked, whole = questions(suite), work / "train" / "model"
    files = tuple(sorted(file.name for file in whole.iterdir()))
    with tempfile.TemporaryDirectory() as folder, Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=None)

        def answered(name: str, model: Path, variant: Variant, arguments: Sequence[str]) -> Answered:
            told = ("--max-model-len", str(_CONTEXT), "--enforce-eager", *arguments)
            engines = EngineSettings(vllm=VLLMSettings(python=str(vllm), arguments=told), concurrency=1)
            return answers_of(
                model,
                variant,
                asked,
                most_tokens=_TOKENS,
                engines=engines,
                file=Path(folder) / f"{name}.jsonl",
                tell=lambda _, done, of: progress.update(task, description=name, completed=done, total=of),
            )

        f16 = Variant(name="f16", engine="gguf", files=("f16.gguf",), bytes=0)
        base = answered("f16", work / "compress" / "f16", f16, ())
        return {
            dtype: alike(base, answered(dtype, whole, _whole(dtype, files), ("--dtype", dtype))) for dtype in dtypes
        }


def _whole(dtype: str, files: tuple[str, ...]) -> Variant:
    return Variant(name=dtype, engine="vllm", files=files, bytes=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="a finished work folder with the variant f16")
    parser.add_argument("--suite", type=Path, default=Path("examples/support/suite"))
    parser.add_argument("--vllm-python", type=Path, required=True)
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    found = measure(args.work, args.suite, args.vllm_python.absolute(), args.dtype)
    if args.json:
        print(json.dumps(found))
        return
    for dtype, figures in found.items():
        print(f"vLLM in {dtype}: {figures['same']} of {figures['questions']} answers as in llama.cpp (F16)")


if __name__ == "__main__":
    main()
