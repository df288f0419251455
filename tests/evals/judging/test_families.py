"""Which family a model's name tells of, and whom a judge is kept off."""

from __future__ import annotations

import pytest

from evals.judging.families import SameFamily, families, family_note, refuse_family


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-5.1-2026-08-01", "OpenAI"),
        ("openai/gpt-4o-mini", "OpenAI"),
        ("azure/gpt-35-turbo", "OpenAI"),
        ("azure/gpt4o", "OpenAI"),
        ("ft:gpt-4o-mini-2024-07-18:acme::9x", "OpenAI"),
        ("o3", "OpenAI"),
        ("gpt-5.1 (prompt support=prompts/new.md@0123)", "OpenAI"),
        ("o4-mini-2025-04-16", "OpenAI"),
        ("openrouter/openai/o1-preview", "OpenAI"),
        ("chatgpt-4o-latest", "OpenAI"),
        ("gpt-oss-120b", "OpenAI"),
        ("openai/a-tuned-one", "OpenAI"),
        ("claude-opus-4-5-20251101", "Anthropic"),
        ("bedrock/anthropic.claude-3-5-sonnet-20241022-v2:0", "Anthropic"),
        ("us.anthropic.claude-sonnet-4-v1:0", "Anthropic"),
        ("vertex_ai/claude-3-haiku@20240307", "Anthropic"),
        ("vertex_ai/gemini-2.5-pro", "Google"),
        ("models/gemini-2.5-flash", "Google"),
        ("google/gemma-3-27b-it", "Google"),
        ("meta-llama/Llama-3.3-70B-Instruct", "Meta"),
        ("bedrock/meta.llama3-70b-instruct-v1:0", "Meta"),
        ("openai/llama-3.1-8b", "Meta"),
        ("codellama-34b", "Meta"),
        ("ollama/mistral", "Mistral"),
        ("llamafile/mistral-7b", "Mistral"),
        ("mistralai/Mixtral-8x7B", "Mistral"),
        ("codestral-2501", "Mistral"),
        ("Qwen/Qwen2.5-7B-Instruct", "Alibaba Qwen"),
        ("qwq-32b", "Alibaba Qwen"),
        ("deepseek-chat", "DeepSeek"),
        ("xai/grok-4", "xAI"),
        ("command-r-plus-08-2024", "Cohere"),
        ("command", "Cohere"),
        ("microsoft/phi-4", "Microsoft"),
        ("Phi-3.5-mini-instruct", "Microsoft"),
        ("amazon.nova-pro-v1:0", "Amazon"),
        ("eu.amazon.nova-lite-v1:0", "Amazon"),
        ("bedrock/amazon.something-new", "Amazon"),
        ("moonshotai/kimi-k2", "Moonshot"),
        ("z-ai/glm-4.6", "Zhipu"),
    ],
)
def test_a_models_name_tells_its_family(model: str, family: str) -> None:
    assert families(model) == {family}


def test_a_distilled_model_is_of_both_families() -> None:
    assert families("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B") == {"DeepSeek", "Alibaba Qwen"}
    assert families("nvidia/Llama-3.1-Nemotron-70B") == {"Nvidia", "Meta"}


@pytest.mark.parametrize(
    "model",
    [
        "",
        "support",
        "auto",
        "small",
        "gpt-neo-2.7b",
        "gpt-j-6b",
        "tinyllama",
        "ollama/own",
        "foo3",
        "commander",
        "dolphin",
    ],
)
def test_a_name_that_tells_nothing_has_no_family(model: str) -> None:
    assert families(model) == frozenset()


def test_a_judge_is_kept_off_its_own_family_and_both_are_named() -> None:
    with pytest.raises(SameFamily, match=r"gpt-5\.1 .*openai/gpt-4o-mini.*OpenAI.*allow_same_family"):
        refuse_family("gpt-5.1", "openai/gpt-4o-mini")
    refuse_family("claude-opus-4-5", "openai/gpt-4o-mini")
    refuse_family("gpt-5.1", "support")
    refuse_family("gpt-5.1", "")


def test_a_model_of_unknown_family_does_not_judge_itself() -> None:
    with pytest.raises(SameFamily, match="one model"):
        refuse_family("house-model", "House-Model")
    refuse_family("", "")


def test_unknown_families_are_told_of() -> None:
    assert family_note("gpt-5.1", "claude-opus-4-5") == ""
    assert "whose family support is" in family_note("gpt-5.1", "support")
    assert "large and small are" in family_note("large", "small")
    assert family_note("gpt-5.1", "") == ""
