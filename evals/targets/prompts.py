"""Prompts in the place of those of a configuration: how a person names one, and which prompt that is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from contracts.artefacts import FILE
from evals.targets.port import TargetFailure
from prompts.prompt import BookedPrompt
from prompts.reading import read_prompt
from prompts.render import MergeRule
from registry.faults import RegistryFault
from registry.prompts import content_of
from registry.store import Registry
from router.config.load import Loaded

_PROMPT = re.compile(r"(?P<name>[^=@]+)(?:=(?P<file>.+)|@(?P<version>.+))")


@dataclass(frozen=True, slots=True)
class PromptFile:
    """Another text for a prompt of the configuration. `rule` None: it is merged as the configuration says."""

    file: Path
    rule: MergeRule | None = None


@dataclass(frozen=True, slots=True)
class PromptVersion:
    """A version that was stored: its 16 hex digits, or an alias."""

    asked: str


Replacement = PromptFile | PromptVersion | BookedPrompt
"""What takes the place of one, or names it."""


def prompts_in(texts: Sequence[str]) -> Mapping[str, PromptFile | PromptVersion]:
    """By name, of NAME=FILE, NAME=FILE:RULE and NAME@VERSION, which may be an alias. Raises ValueError."""
    found: dict[str, PromptFile | PromptVersion] = {}
    for text in texts:
        written = _PROMPT.fullmatch(text)
        if written is None or written["name"] in found:
            forms = "NAME=FILE, NAME=FILE:RULE or NAME@VERSION"
            raise ValueError(f"the prompt '{text}' is given twice or not as {forms}")
        name, version, file = written["name"], written["version"], written["file"]
        if version:
            found[name] = PromptVersion(version)
            continue
        path, _, rule = file.rpartition(":")
        known = next((known for known in get_args(MergeRule) if known == rule), None)
        found[name] = PromptFile(Path(path), known) if path and known else PromptFile(Path(file))
    return found


def booked(name: str, loaded: Loaded, registry: Registry, asked: Replacement) -> BookedPrompt:
    """What takes the place of the prompt `name` of `loaded`. Raises TargetFailure, fatal, where there is none."""
    known = loaded.config.prompts
    if name not in known:
        there = f"There are: {', '.join(known)}." if known else "The configuration has none."
        raise _unusable(f"There is no prompt '{name}' to be replaced. {there}")
    try:
        match asked:
            case BookedPrompt():
                return asked
            case PromptFile():
                return read_prompt(asked.file, asked.rule or known[name].merge)
            case PromptVersion():
                written = loaded.prompts[name]
                if asked.asked in (FILE, written.version):  # what it says now, stored or not
                    return written
                return BookedPrompt.stored(content_of(registry, name, asked.asked))
    except (OSError, ValueError, RegistryFault) as error:
        said = f"={asked.file}" if isinstance(asked, PromptFile) else ""
        said = f"@{asked.asked}" if isinstance(asked, PromptVersion) else said
        raise _unusable(f"The prompt {name}{said} cannot be used: {error}") from error


def _unusable(message: str) -> TargetFailure:
    return TargetFailure("misconfigured", message, fatal=True)
