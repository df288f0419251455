"""Prompts as files that their authors could have written, which read back to the same version.

The non-obvious decision: where the text of a prompt is all of it, it is written as text. A person reviews that more
easily than YAML, which is for what a text cannot say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import yaml

from prompts.prompt import BookedPrompt
from prompts.reading import TEXT, YAML, parse_prompt

_WIDTH = 112


def write_prompt(prompt: BookedPrompt) -> tuple[str, str]:
    """(suffix, text) of a file that reads back to the same version: Markdown where that has room for all of it."""
    plain = prompt.text
    try:
        if parse_prompt(plain.encode(), TEXT, prompt.rule) == prompt:
            return TEXT, plain + "\n"
    except ValueError:  # such as lone surrogates: YAML can write them
        pass
    told = _told(msgspec.to_builtins(prompt))
    told.pop("rule")
    order = ("sections", "slots", "demonstrations", "contract")
    ordered = {name: told[name] for name in order if name in told}
    return YAML, yaml.dump(ordered, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=_WIDTH)


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, which a person can read and change."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_text(self, text: str) -> yaml.ScalarNode:
        lines = text.split("\n")
        block = len(lines) > 1 and bool(lines[0]) and all(map(_shows, lines))
        style = "|" if block else None if _shows(text) else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)


def _shows(line: str) -> bool:
    """Whether it stands in a block as it is: YAML's writers and readers differ about blanks at its end."""
    return line.isprintable() and line == line.rstrip()


def _told(value: Any) -> Any:
    """Texts with the line end that reading takes away, wherever they have several lines."""
    if isinstance(value, str):
        return value + "\n" if "\n" in value else value
    if isinstance(value, Mapping):
        return {name: value[name] if name == "json_schema" else _told(value[name]) for name in value}
    return [_told(item) for item in value] if isinstance(value, (list, tuple)) else value
