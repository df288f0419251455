"""Tokens as a provider reported them, or as Weir had to estimate them; never one passed off as the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

UsageSource = Literal["reported", "estimated", "cache", "none"]
"""`cache`: replayed from a stored answer, nothing was spent. `none`: no tokens were used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUsage:
    """Counts of one answer. `cached` and `cache_write` are parts of `prompt`; `reasoning` of `completion`."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    audio_prompt: int = 0
    audio_completion: int = 0
    source: UsageSource = "reported"
    method: str = ""
    """How an estimate was made, such as `tiktoken:o200k_base` or `bytes/4`."""
    raw: Mapping[str, Any] | None = field(default=None, compare=False)
    """The provider's own usage object, untouched."""

    @property
    def total(self) -> int:
        return self.prompt + self.completion


def reported_usage(raw: object) -> TokenUsage | None:
    """Read an OpenAI-shaped usage object (chat, completions or embeddings).

    Returns None where it cannot be believed: absent, not an object, a count that is not a whole
    number of at least zero, or a part larger than its whole.
    """
    if not isinstance(raw, Mapping):
        return None
    prompt_parts = raw.get("prompt_tokens_details") or {}
    completion_parts = raw.get("completion_tokens_details") or {}
    if not isinstance(prompt_parts, Mapping) or not isinstance(completion_parts, Mapping):
        return None
    prompt = _count(raw.get("prompt_tokens"))
    completion = _count(raw.get("completion_tokens") or 0)
    cached = _count(prompt_parts.get("cached_tokens") or 0)
    cache_write = _count(raw.get("cache_creation_input_tokens") or prompt_parts.get("cache_creation_tokens") or 0)
    reasoning = _count(completion_parts.get("reasoning_tokens") or 0)
    audio_prompt = _count(prompt_parts.get("audio_tokens") or 0)
    audio_completion = _count(completion_parts.get("audio_tokens") or 0)
    if min(prompt, completion, cached, cache_write, reasoning, audio_prompt, audio_completion) < 0:
        return None
    if cached + cache_write > prompt or reasoning > completion:
        return None
    if audio_prompt > prompt or audio_completion > completion:
        return None
    return TokenUsage(
        prompt=prompt,
        completion=completion,
        cached=cached,
        cache_write=cache_write,
        reasoning=reasoning,
        audio_prompt=audio_prompt,
        audio_completion=audio_completion,
        raw=raw,
    )


def _count(value: object) -> int:
    """`value` if it is a whole number, else -1, which no count can be."""
    return value if type(value) is int else -1
