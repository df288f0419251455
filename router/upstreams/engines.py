"""What runs a student's weights, by the settings of its upstream: llama.cpp, Weir's own vLLM, or one that runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from contracts.students import Student, Variant
from router.config import students as settings
from router.config.load import Loaded
from router.upstreams.gguf import GGUFUpstream
from router.upstreams.student import Engine
from router.upstreams.vllm import VLLMUpstream
from router.upstreams.vllm_adapters import VLLMAdapter


def engines_of(
    name: str, upstream: settings.StudentUpstream, loaded: Loaded
) -> Callable[[str, Path, Student], Engine]:
    """Makes the engine of a version in a folder, not started. ValueError where that has no weights for it."""

    def engine(version: str, folder: Path, student: Student) -> Engine:
        chosen = upstream.engine
        variant = student.variant(chosen.kind, upstream.variant or "")
        if variant is None:
            there = ", ".join(f"{each.name} ({each.engine})" for each in student.variants)
            wanted = f"'{upstream.variant}'" if upstream.variant else "any"
            raise ValueError(f"it has not {wanted} for the engine {chosen.kind}; there are: {there or 'none'}")
        served = f"{name}-{version}"
        if isinstance(chosen, settings.GGUFEngine):
            path = folder / variant.files[0]
            return GGUFUpstream(name, path, chosen.threads, chosen.context, chosen.start_seconds, alias=served)
        if chosen.python is not None:
            return VLLMUpstream(
                name,
                loaded.folder / chosen.python,
                model_at(loaded.folder, variant.base) if variant.adapter else folder,
                served=served,
                adapter=folder if variant.adapter else None,
                arguments=chosen.arguments,
                start_s=chosen.start_seconds,
            )
        key = loaded.secret(chosen.api_key) if chosen.api_key else None
        return VLLMAdapter(name, str(chosen.base_url), key, _adapter(variant, folder), served)

    return engine


def model_at(folder: Path, model: str) -> Path | str:
    """A model of that name under `folder`; a name on a model hub where there is none."""
    return folder / model if (folder / model).is_dir() else model


def _adapter(variant: Variant, folder: Path) -> Path:
    if not variant.adapter:
        raise ValueError(
            f"its weights {variant.name} are a whole model, and a running vLLM takes adapters only: have Weir "
            "start one with `python`"
        )
    return folder
