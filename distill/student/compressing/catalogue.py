"""Which forms of weights there are, what runs each, and why some are not made."""

from __future__ import annotations

from typing import get_args

from contracts.students import Engine
from distill.student.compressing.gguf_writer import Precision

GGUF: tuple[str, ...] = get_args(Precision)
QUANTISED: tuple[str, ...] = ("fp8", "w8a8", "w4a16")
"""Made by llm-compressor."""
FITTED: tuple[str, ...] = ("w8a8", "w4a16")
"""Of these, those that are fitted to examples (GPTQ)."""

ADAPTED = "lora"
"""What was trained on top of a base, by itself."""

WHAT: dict[str, str] = {
    "f16": "16-bit floats",
    "q8_0": "8 bits a weight, one scale for 32",
    "q4_0": "4 bits a weight, one scale for 32",
    "bf16": "bfloat16",
    "fp8": "8-bit floats, those of the text too while it runs",
    "w8a8": "8-bit integers, those of the text too while it runs (GPTQ)",
    "w4a16": "4-bit integers, the text in bfloat16 (GPTQ)",
    ADAPTED: "the LoRA adapter alone, on its base",
}
REFUSED: dict[str, str] = {
    "2:4": "Two weights of each four at zero save time only in kernels made for that. vLLM and llm-compressor have "
    "dropped theirs and llama.cpp has none, so it would be worse and no faster: take `w4a16` or `q4_0`.",
    "structured": "Cut unevenly, its layers have sizes that vLLM does not load; cut evenly, it is a smaller model "
    "that needs training again: have `weir distill search` try smaller sizes instead.",
}


def engine_of(form: str) -> Engine:
    """What runs it."""
    return "vllm" if form in ("bf16", ADAPTED, *QUANTISED) else "gguf"
