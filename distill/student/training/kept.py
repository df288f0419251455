"""What is kept of a training: weights as Hugging Face stores them, its figures, and a plot of its loss."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from distill.student.training.learning import Learned
from distill.student.training.losses import GUIDE_HEAD
from distill.student.training.plot import loss_svg
from distill.student.training.train import ADAPTER, CHECKPOINTS, LOSS, MODEL, PART, TOLD, Order, write_whole

_CORE_W = 15.0
"""Of a busy core with its share of memory and fans: a server of 64 cores takes about a kilowatt."""
_DEVICE_W = 400.0
"""Where a GPU does not tell its limit."""
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def keep(order: Order, learned: Learned) -> None:
    """Write all of it into the order's folder, `train.json` last; checkpoints are removed. Raises OSError."""
    model, out = learned.model, order.out
    if hasattr(model, GUIDE_HEAD):
        delattr(model, GUIDE_HEAD)
    model = model.to("cpu")
    if order.recipe.adapter.kind == "lora":
        _keep_folder(out / ADAPTER, model, learned.tokenizer)
        model = model.merge_and_unload()
    parameters = sum(each.numel() for each in model.parameters())
    _keep_folder(out / MODEL, model.to(_DTYPES[learned.precision]), learned.tokenizer)
    write_whole(out / LOSS, loss_svg(learned.points))
    write_whole(out / TOLD, json.dumps(_told(order, learned, parameters), indent=1))
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)


def _keep_folder(folder: Path, model: Any, tokenizer: Any) -> None:
    part = folder.with_name(f"{folder.name}{PART}")
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(part)
    tokenizer.save_pretrained(part)
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)


def _told(order: Order, learned: Learned, parameters: int) -> dict[str, Any]:
    hours = learned.seconds / 3600
    watts, assumed = _power(order.threads)
    return {
        "steps": learned.steps,
        "seconds": round(learned.seconds, 1),
        "tokens": learned.tokens,
        "loss": learned.loss,
        "points": learned.points,
        "parameters": parameters,
        "device": learned.device,
        "device_hours": round(hours, 4),
        "precision": learned.precision,
        "memory_mb": round(learned.memory_mb),
        "energy_wh": round(hours * watts, 2),
        "energy_assumes": assumed,
        "guided": order.guides is not None and order.recipe.guidance is not None,
        "recipe": order.recipe.plain(),
        "versions": {name: version(name) for name in ("torch", "transformers", "trl", "peft")},
    }


def _power(threads: int) -> tuple[float, str]:
    if not torch.cuda.is_available():
        return _CORE_W * threads, f"{_CORE_W:g} W for each of {threads} busy cores"
    try:
        asked = ["nvidia-smi", "--query-gpu=power.limit", "--format=csv,noheader,nounits"]
        said = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout  # noqa: S603
        limit = float(said.split()[0])
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return _DEVICE_W, f"{_DEVICE_W:g} W, a usual limit of such a GPU, all the time"
    return limit, f"{limit:g} W, the GPU's limit, all the time"
