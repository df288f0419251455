"""Tokens as a provider reported them, or as Weir had to estimate them; never one passed off as the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

MOST_TOKENS = 10**9
"""No single answer has more; a larger count is garbage, and might not fit a database's integer."""

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
    number from zero to `MOST_TOKENS`, or a part larger than its whole. Parts may be absent or null.
    """
    if not isinstance(raw, Mapping):
        return None
    prompt_parts = _present(raw.get("prompt_tokens_details"), {})
    completion_parts = _present(raw.get("completion_tokens_details"), {})
    if not isinstance(prompt_parts, Mapping) or not isinstance(completion_parts, Mapping):
        return None
    prompt = _count(raw.get("prompt_tokens"), None)
    completion = _count(raw.get("completion_tokens"))
    cached = _count(prompt_parts.get("cached_tokens"))
    cache_write = _count(
        _present(raw.get("cache_creation_input_tokens"), prompt_parts.get("cache_creation_tokens"))
    )
    reasoning = _count(completion_parts.get("reasoning_tokens"))
    audio_prompt = _count(prompt_parts.get("audio_tokens"))
    audio_completion = _count(completion_parts.get("audio_tokens"))
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


def _present(value: object, otherwise: object) -> object:
    return otherwise if value is None else value


def _count(value: object, absent: int | None = 0) -> int:
    """`value` if it is a count (`absent` where it is null), else -1, which no count can be."""
    value = _present(value, absent)
    return value if type(value) is int and value <= MOST_TOKENS else -1
