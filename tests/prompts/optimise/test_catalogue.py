"""Every optimiser is found by its name, and says what to install where something is missing."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from prompts.optimise.catalogue import optimiser_of
from prompts.optimise.order import OptimiserName


@pytest.mark.parametrize("name", get_args(OptimiserName))
def test_an_optimiser_bears_the_name_that_it_is_found_by(name: OptimiserName) -> None:
    optimiser = optimiser_of(name)
    assert optimiser.name == name
    assert optimiser.tunes


@pytest.mark.parametrize(("missing", "name"), [("dspy", "gepa"), ("numpy", "simba"), ("optuna", "miprov2")])
def test_without_the_extra_it_says_what_to_install(missing: str, name: str) -> None:
    told = _python(
        f"""
import sys
sys.modules[{missing!r}] = None
from prompts.optimise.catalogue import optimiser_of
try:
    optimiser_of({name!r})
except ImportError as error:
    print(error)
"""
    )
    assert told == f"the optimiser '{name}' needs {missing}: pip install 'weir[optimise]'\n"


def test_dspy_is_imported_when_one_of_its_optimisers_is_asked_for_and_litellm_never() -> None:
    told = _python(
        """
import sys
from prompts.optimise.catalogue import optimiser_of
optimiser_of("shorten")
print("dspy" in sys.modules)
for name in ("gepa", "miprov2", "bootstrap", "simba"):
    optimiser_of(name)
print("dspy" in sys.modules, "litellm" in sys.modules)
"""
    )
    assert told == "False\nTrue False\n"


def _python(code: str) -> str:
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    return ran.stdout
