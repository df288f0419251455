"""Upstreams that serve a student, and models under a vLLM that Weir starts: sections of `weir.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from router.config.values import Address, FilePath, FolderPath, Name, Secret, Section

Argument = Annotated[str, Field(min_length=1)]
"""One word of a command line."""


class GGUFEngine(Section):
    """llama.cpp on this machine's CPU, in a child process."""

    kind: Literal["gguf"] = Field(description="Says which kind of engine this is.")
    threads: PositiveInt = Field(1, description="CPU threads; never more than there are idle cores.")
    context: PositiveInt = Field(2048, description="Context window in tokens.")
    start_seconds: PositiveFloat = Field(60, description="How long loading may take.")


class VLLMEngine(Section):
    """vLLM: one that Weir starts with `python`, or one that runs at `base_url` and takes LoRA adapters."""

    kind: Literal["vllm"] = Field(description="Says which kind of engine this is.")
    python: FilePath | None = Field(
        None, description="The Python of an environment with vLLM, relative to this config. Weir starts it then."
    )
    arguments: tuple[Argument, ...] = Field(
        (), description='More arguments of vLLM, a word each, such as "--gpu-memory-utilization", "0.5".'
    )
    start_seconds: PositiveFloat = Field(300, description="How long starting may take.")
    base_url: Address | None = Field(
        None,
        description="Up to and with /v1, of a vLLM that runs with `--enable-lora` and "
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, and sees Weir's files: adapters are loaded into it.",
    )
    api_key: Secret | None = Field(None, description="Sent to `base_url` as a bearer token.")

    @model_validator(mode="after")
    def _one_server(self) -> Self:
        if (self.python is None) == (self.base_url is None):
            raise ValueError("must have `python`, to be started by Weir, or `base_url`, where it runs; one of them")
        if self.base_url is not None and self.arguments:
            raise ValueError("has `arguments`, which only a vLLM is given that Weir starts")
        return self


Engine = Annotated[GGUFEngine | VLLMEngine, Field(discriminator="kind")]


class StudentUpstream(Section):
    """A model that learned from Weir's own traffic; under a route's policy it answers what its gate allowed."""

    kind: Literal["student"] = Field(description="Says which kind of upstream this is.")
    route: Name = Field(description="The route whose traffic it learned from.")
    tenant: Name | None = Field(
        None, description="The tenant whose traffic it learned from: it answers no other. Left out, everyone's."
    )
    alias: Name = Field("production", description="Alias of the artefact in the registry.")
    artefact: FolderPath | None = Field(
        None,
        description="Folder that holds a student, relative to this config. Left out, what `alias` names in the "
        "registry for this route and tenant.",
    )
    variant: Name | None = Field(
        None, description="Which of its weights. Left out, the first that the engine can run: its best."
    )
    engine: Engine = Field(GGUFEngine(kind="gguf"), description="What runs it.")


class VLLMUpstream(Section):
    """Any model, under a vLLM that Weir starts. One that runs already is an upstream of kind `openai`."""

    kind: Literal["vllm"] = Field(description="Says which kind of upstream this is.")
    python: FilePath = Field(description="The Python of an environment with vLLM, relative to this config.")
    model: str = Field(
        min_length=1, description="A folder with the model, relative to this config, or its name on a model hub."
    )
    arguments: tuple[Argument, ...] = Field((), description="More arguments of vLLM, a word each.")
    start_seconds: PositiveFloat = Field(300, description="How long starting may take.")
