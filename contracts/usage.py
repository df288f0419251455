"""Tokens as a provider reported them, or as Weir had to estimate them; never one passed off as the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

MOST_TOKENS = 10**9
"""No single answer has more; a larger count is garbage, and might not fit a database's integer."""

UsageSource = Literal["reported", "estimated", "cache", "none"]
"""`cache`: replayed from a stored answer, nothing was spent. `none`: no tokens were used."""


class TokenUsage(Struct, frozen=True, kw_only=True):
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
    tier: str = ""
    """The provider's service tier where it is not the usual one: `batch`, `flex`, `priority`."""
    raw: Mapping[str, Any] | None = None
    """The provider's own usage object, untouched."""

    @property
    def total(self) -> int:
        return self.prompt + self.completion


def reported_usage(raw: object) -> TokenUsage | None:
    """Read an OpenAI-shaped usage object (chat, completions or embeddings).

    Returns None where it cannot be believed: absent, not an object, a count that is not a whole
    number from zero to `MOST_TOKENS`, or a part larger than its whole. Parts may be absent or null.
    """
    if not isinstance(raw, dict) or raw.get("prompt_tokens") is None:
        return None
    prompt_parts, completion_parts = raw.get("prompt_tokens_details"), raw.get("completion_tokens_details")
    prompt_parts = {} if prompt_parts is None else prompt_parts
    completion_parts = {} if completion_parts is None else completion_parts
    if not isinstance(prompt_parts, dict) or not isinstance(completion_parts, dict):
        return None
    written = raw.get("cache_creation_input_tokens")
    stated = (
        raw["prompt_tokens"],
        raw.get("completion_tokens"),
        prompt_parts.get("cached_tokens"),
        prompt_parts.get("cache_creation_tokens") if written is None else written,
        completion_parts.get("reasoning_tokens"),
        prompt_parts.get("audio_tokens"),
        completion_parts.get("audio_tokens"),
    )
    counts = [0 if count is None else count for count in stated]
    for count in counts:
        if type(count) is not int or not 0 <= count <= MOST_TOKENS:
            return None
    prompt, completion, cached, cache_write, reasoning, audio_prompt, audio_completion = counts
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
