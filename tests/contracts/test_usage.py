"""Reported usage is believed or not, and never stops anything."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.usage import MOST_TOKENS, TokenUsage, reported_usage

FULL: dict[str, Any] = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 5, "cache_creation_tokens": 30},
    "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 6},
}


def test_every_part_is_read() -> None:
    usage = reported_usage(FULL)
    assert usage == TokenUsage(
        prompt=100,
        completion=50,
        cached=40,
        cache_write=30,
        reasoning=20,
        audio_prompt=5,
        audio_completion=6,
        raw=FULL,
    )
    assert usage.source == "reported"
    assert usage.raw is FULL
    assert usage.total == 150


def test_embeddings_report_a_prompt_only() -> None:
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    assert reported_usage(usage) == TokenUsage(prompt=3, raw=usage)


def test_nulls_are_absent_parts() -> None:
    usage = {
        "prompt_tokens": 3,
        "completion_tokens": None,
        "prompt_tokens_details": None,
        "completion_tokens_details": {"reasoning_tokens": None},
    }
    assert reported_usage(usage) == TokenUsage(prompt=3, raw=usage)


def test_cache_writes_are_read_where_anthropic_puts_them() -> None:
    usage = {"prompt_tokens": 9, "cache_creation_input_tokens": 4, "prompt_tokens_details": {"cached_tokens": 5}}
    assert reported_usage(usage) == TokenUsage(prompt=9, cached=5, cache_write=4, raw=usage)
    usage = {**usage, "cache_creation_input_tokens": 0, "prompt_tokens_details": {"cache_creation_tokens": 4}}
    assert reported_usage(usage) == TokenUsage(prompt=9, raw=usage)


@pytest.mark.parametrize(
    "change",
    [
        {"prompt_tokens": None},
        {"prompt_tokens": -1},
        {"prompt_tokens": 1.0},
        {"prompt_tokens": True},
        {"prompt_tokens": "100"},
        {"prompt_tokens": MOST_TOKENS + 1},
        {"completion_tokens": 2**64 - 1},
        {"completion_tokens": -5},
        {"completion_tokens": False},
        {"completion_tokens": ""},
        {"completion_tokens": []},
        {"prompt_tokens_details": []},
        {"prompt_tokens_details": 0},
        {"completion_tokens_details": "none"},
        {"prompt_tokens_details": {"cached_tokens": 101}},
        {"prompt_tokens_details": {"cached_tokens": -1}},
        {"prompt_tokens_details": {"cached_tokens": 60}, "cache_creation_input_tokens": 41},
        {"prompt_tokens_details": {"audio_tokens": 101}},
        {"completion_tokens_details": {"reasoning_tokens": 51}},
        {"completion_tokens_details": {"audio_tokens": 51}},
        {"cache_creation_input_tokens": float("nan")},
    ],
    ids=repr,
)
def test_what_cannot_be_true_is_not_believed(change: dict[str, Any]) -> None:
    assert reported_usage({**FULL, **change}) is None


names = st.sampled_from(
    [
        *FULL,
        "cache_creation_input_tokens",
        "cached_tokens",
        "cache_creation_tokens",
        "reasoning_tokens",
        "audio_tokens",
    ]
)
garbage = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(0, 5) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=6),
    max_leaves=15,
)


@given(garbage)
def test_garbage_is_read_or_refused(raw: object) -> None:
    usage = reported_usage(raw)
    if usage is None:
        return
    assert usage.raw is raw
    assert 0 <= usage.cached + usage.cache_write <= usage.prompt <= MOST_TOKENS
    assert 0 <= usage.reasoning <= usage.completion <= MOST_TOKENS
    assert 0 <= usage.audio_prompt <= usage.prompt
    assert 0 <= usage.audio_completion <= usage.completion


counts = st.integers(0, MOST_TOKENS)


@given(counts, counts, st.data())
def test_consistent_usage_is_always_believed(prompt: int, completion: int, data: st.DataObject) -> None:
    cached = data.draw(st.integers(0, prompt))
    reasoning = data.draw(st.integers(0, completion))
    raw = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
        "vendor_field": "kept",
    }
    expected = TokenUsage(prompt=prompt, completion=completion, cached=cached, reasoning=reasoning, raw=raw)
    assert reported_usage(raw) == expected
