"""Optimisers by name. Each is imported when it is asked for: dspy takes a second, and is an extra."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from prompts.optimise.order import OptimiserName
from prompts.optimise.ports import Optimiser

_CLASSES = {
    "gepa": "prompts.optimise.optimisers.gepa:Gepa",
    "miprov2": "prompts.optimise.optimisers.miprov2:MiproV2",
    "bootstrap": "prompts.optimise.optimisers.bootstrap:Bootstrap",
    "simba": "prompts.optimise.optimisers.simba:Simba",
    "shorten": "prompts.optimise.shorten:Shorten",
}
_EXTRA = ("dspy", "gepa", "optuna", "numpy")


def optimiser_of(name: OptimiserName) -> Optimiser:
    """Raises ImportError, which says what to install, where the extra is missing."""
    module, _, of = _CLASSES[name].partition(":")
    try:
        found = getattr(import_module(module), of)
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in _EXTRA:
            raise
        message = f"the optimiser '{name}' needs {missing.name}: pip install 'weir[optimise]'"
        raise ImportError(message, name=missing.name) from missing
    return cast("Optimiser", found())
