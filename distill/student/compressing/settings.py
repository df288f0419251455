"""What is made of a student's weights, and what runs them: the settings of these two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from distill.student.compressing.catalogue import ADAPTED, engine_of
from router.config.values import FilePath, Section

Form = Literal["f16", "q8_0", "q4_0", "bf16", "fp8", "w8a8", "w4a16", "lora", "2:4", "structured"]
GivenName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,31}$")]


class CompressSettings(Section):
    """Which forms of the weights are made, and with what."""

    variants: Annotated[tuple[Form, ...], Field(min_length=1)] = Field(
        ("q8_0",),
        description="Forms of the weights that are made, and tried by the gate: `f16`, `q8_0` and `q4_0` for "
        "llama.cpp; `bf16`, `fp8`, `w8a8` and `w4a16` for vLLM, or `lora`, the adapter alone. `2:4` and "
        "`structured` are refused, with the reason.",
    )
    given: Mapping[GivenName, FilePath] = Field(
        {},
        description="GGUF files of this very model that llama.cpp's own programs made, by the name that each gets: "
        "for other architectures than Llama, and for K-quants.",
    )
    python: FilePath | None = Field(
        None,
        description="The Python of an environment with `llmcompressor`, which makes `fp8`, `w8a8` and `w4a16`. It "
        "is another one than vLLM's: the two want different libraries.",
    )
    calibration: int = Field(
        256,
        ge=8,
        le=4096,
        description="Examples of the train part that `w8a8` and `w4a16` are fitted to; llm-compressor's own "
        "examples take 512 of a far more varied text.",
    )

    @model_validator(mode="after")
    def _names_are_one(self) -> CompressSettings:
        if len(set(self.variants)) < len(self.variants):
            raise ValueError("name each variant once")
        if twice := sorted(set(self.variants) & set(self.given)):
            raise ValueError(f"{twice[0]} is given: leave it out of `variants`")
        # Of one engine the smallest that passes is kept, and an adapter has no size beside whole models.
        if ADAPTED in self.variants and [engine_of(one) for one in self.variants].count("vllm") > 1:
            raise ValueError(
                "`lora` and another variant for vLLM: a student keeps one for vLLM, so name one of them"
            )
        return self


class GGUFSettings(Section):
    """llama.cpp, as it runs a variant that is tried."""

    threads: int = Field(
        1, ge=1, le=256, description="CPU threads of llama.cpp; free cores only, or it slows down."
    )
    context: int = Field(
        1024, ge=128, le=131072, description="Tokens of one request and its answer together, at most."
    )
    start_seconds: float = Field(60.0, gt=0, le=3600, description="How long it may take to load the model.")


class VLLMSettings(Section):
    """vLLM, as it is started for a variant that is tried."""

    python: FilePath = Field(description="The Python of an environment with vLLM.")
    arguments: tuple[str, ...] = Field(
        (), description="More arguments for vLLM's server, such as `--gpu-memory-utilization`, `0.5`."
    )
    start_seconds: float = Field(300.0, gt=0, le=3600, description="How long it may take to load the model.")


class EngineSettings(Section):
    """What runs the variants while they are measured. Without `vllm` none for vLLM is made."""

    gguf: GGUFSettings = Field(GGUFSettings(), description="llama.cpp, for variants of one file.")
    vllm: VLLMSettings | None = Field(None, description="vLLM, for the others; left out, none of them is made.")
    concurrency: int = Field(
        8, ge=1, le=256, description="Questions that vLLM is asked at a time. llama.cpp is asked one at a time."
    )
    answer_seconds: float = Field(120.0, gt=0, le=3600, description="How long one answer may take.")
