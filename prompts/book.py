"""The prompts of a configuration, read once and never changed; a reload makes a new book.

A prompt's version is a hash of what it does, its text and merge rule, not of its name or file: a prompt that is
renamed or moved keeps its version, and answers stored under that version stay good.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from contracts.records import Endpoint
from prompts.render import MergeRule, render


@dataclass(frozen=True, slots=True)
class BookedPrompt:
    """Implements `contracts.ports.Prompt`. Raises ValueError for a blank text or an unknown rule."""

    text: str
    rule: MergeRule
    version: str = field(init=False)

    def __post_init__(self) -> None:
        if self.rule not in get_args(MergeRule):
            raise ValueError(f"'{self.rule}' is not a merge rule")
        text = self.text.strip()
        if not text:
            raise ValueError("a prompt must say something")
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "version", blake2b(f"{self.rule}\n{text}".encode(), digest_size=8).hexdigest())

    def apply(self, body: Mapping[str, Any], endpoint: Endpoint) -> Mapping[str, Any]:
        """`body` with this prompt merged in, by the rules of `prompts.render`.

        Completions and embeddings have no place for a system prompt: their body is returned as it is.
        """
        if endpoint != "chat/completions":
            return body
        messages = body["messages"]
        rendered = render(messages, self.text, self.rule)
        return body if rendered is messages else {**body, "messages": rendered}


class PromptBook(Mapping[str, BookedPrompt]):
    """Prompts by name. `files` gives each one's text file (UTF-8) and merge rule.

    Raises OSError or ValueError where a file cannot be read, is not UTF-8, or is blank.
    """

    def __init__(self, files: Mapping[str, tuple[Path, MergeRule]]) -> None:
        self._prompts = MappingProxyType(
            {name: BookedPrompt(file.read_text(encoding="utf-8-sig"), rule) for name, (file, rule) in files.items()}
        )

    def __getitem__(self, name: str) -> BookedPrompt:
        return self._prompts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._prompts)

    def __len__(self) -> int:
        return len(self._prompts)
