"""Prompts in the place of a configuration's, as they are written on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.targets.prompts import PromptFile, PromptVersion, prompts_in


def test_prompts_are_files_with_and_without_a_rule_or_stored_versions() -> None:
    assert prompts_in(
        ["a=x.md", "b=C:/y.md:append", "c=odd:name.md", "d=at@x.md", "e@0123456789abcdef", "f@canary"]
    ) == {
        "a": PromptFile(Path("x.md")),
        "b": PromptFile(Path("C:/y.md"), "append"),
        "c": PromptFile(Path("odd:name.md")),
        "d": PromptFile(Path("at@x.md")),
        "e": PromptVersion("0123456789abcdef"),
        "f": PromptVersion("canary"),
    }
    for wrong in (["a"], ["=x"], ["a="], ["@x"], ["a@"], ["a=x", "a=y"], ["a=x", "a@y"]):
        with pytest.raises(ValueError, match="NAME=FILE"):
            prompts_in(wrong)
