"""Every kind of scorer is found by its name, in a file of its own."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest
from pydantic import ValidationError

from evals.scorers.catalogue import KINDS, SETTINGS


def test_kinds_are_told_apart() -> None:
    assert len(set(KINDS)) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_a_file_of_its_name(kind: str) -> None:
    module = import_module(f"evals.scorers.{kind}")
    assert f"`{kind}`" in (module.__doc__ or "")
    assert any(getattr(found, "kind", "") == kind for found in vars(module).values())


def test_an_unknown_kind_or_setting_is_refused() -> None:
    for wrong in ({"kind": "magic"}, {"kind": "exact", "speed": 5}):
        with pytest.raises(ValidationError):
            SETTINGS.validate_python(wrong)


def test_only_what_a_scorer_needs_is_imported_with_the_catalogue() -> None:
    heavy = "numpy", "jsonschema", "scipy"
    seen = f"import sys, evals.scorers.catalogue; print([name for name in {heavy} if name in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"
