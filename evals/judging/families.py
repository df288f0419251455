"""Which vendor's family a model belongs to: a judge favours answers of its own family, so it must not judge them.

(Panickssery, Bowman and Feng, "LLM Evaluators Recognize and Favor Their Own Generations", NeurIPS 2024.)

The non-obvious decision: a name can belong to several families, such as one vendor's model that was distilled from
another's, and the model's own name counts for more than a provider's in front of it: `openai/llama-3` is a Llama
behind an OpenAI-style server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_MODELS: Mapping[str, str] = {
    "AI21": r"jamba|jurassic",
    "Alibaba Qwen": r"qwen|qwq|qvq",
    "Allen AI": r"olmo|tulu",
    "Amazon": r"nova-(?:micro|lite|pro|premier|2)|titan-(?:text|tg)",
    "Anthropic": r"claude",
    "Baidu": r"ernie",
    "ByteDance": r"doubao|seed-oss",
    "Cohere": r"command(?:-(?:r|a|light|nightly|text|xlarge)\b|$)|c4ai|aya-",
    "DeepSeek": r"deepseek",
    "Google": r"gemini|gemma|palm-?2|(?:text|chat)-bison",
    "IBM": r"granite",
    "Meta": r"(?:meta-?|code-?)?llama(?!file|[-_.]?cpp)|muse-",
    "Microsoft": r"phi-?\d|wizardlm|mai-(?:ds|\d)",
    "MiniMax": r"minimax|abab",
    "Mistral": r"mistral|mixtral|ministral|codestral|magistral|devstral|pixtral|mathstral",
    "Moonshot": r"kimi|moonshot",
    "Nvidia": r"nemotron",
    "OpenAI": r"(?:chat)?gpt-?(?:\d|oss)|chatgpt|o[1-9](?![a-z0-9.])|text-davinci|davinci-00",
    "Perplexity": r"sonar",
    "Tencent": r"hunyuan",
    "TII": r"falcon",
    "xAI": r"grok",
    "Zhipu": r"(?:chat)?glm-?\d",
}
"""How the names of a family's models begin, wherever a name or a part of it begins."""

_VENDORS: Mapping[str, str] = {
    "ai21": "AI21",
    "alibaba": "Alibaba Qwen",
    "allenai": "Allen AI",
    "amazon": "Amazon",
    "anthropic": "Anthropic",
    "cohere": "Cohere",
    "deepseek": "DeepSeek",
    "gemini": "Google",
    "google": "Google",
    "ibm": "IBM",
    "meta": "Meta",
    "microsoft": "Microsoft",
    "mistralai": "Mistral",
    "moonshotai": "Moonshot",
    "nvidia": "Nvidia",
    "openai": "OpenAI",
    "perplexity": "Perplexity",
    "xai": "xAI",
    "x-ai": "xAI",
    "z-ai": "Zhipu",
}
"""Providers in front of a model's name that serve models of their own."""

_NAMES = {family: re.compile(rf"(?<![a-z0-9])(?:{names})") for family, names in _MODELS.items()}


class SameFamily(ValueError):
    """A judge was to judge its own family. The message names both, and says what to do."""


def families(model: str) -> frozenset[str]:
    """The vendors' families that a model's name tells of; none where it is not known.

    What follows the name after a blank is a remark, such as with which prompt.
    """
    *providers, name = _named(model).split("/")
    found = {family for family, names in _NAMES.items() if names.search(name)}
    if found:
        return frozenset(found)
    parts = [*reversed(providers), *re.split(r"[.:]", name)[:-1]]
    return next((frozenset({_VENDORS[part]}) for part in parts if part in _VENDORS), frozenset())


def refuse_family(judge: str, candidate: str) -> None:
    """Raises SameFamily where the two are of one known family, or are one model."""
    shared = families(judge) & families(candidate)
    same = bool(_named(judge)) and _named(judge) == _named(candidate)
    if not (shared or same):
        return
    whose = f"both are of {' and '.join(sorted(shared))}'s family" if shared else "they are one model"
    raise SameFamily(
        f"The judge {judge} must not judge answers of {candidate}: {whose}, and judges favour their own. "
        "Let a judge of another vendor do it, or write `allow_same_family: true` where that does not matter."
    )


def family_note(judge: str, candidate: str) -> str:
    """What a reader must know where it can't be told whether a judge is of its candidate's family, or empty."""
    unknown = [name for name in dict.fromkeys((judge, candidate)) if name and not families(name)]
    if not unknown or not judge or not candidate:
        return ""
    return (
        f"Nobody knows whose family {' and '.join(unknown)} {'is' if len(unknown) == 1 else 'are'} of: make sure "
        f"that {judge} does not judge its own."
    )


def _named(model: str) -> str:
    return next(iter(model.casefold().split()), "")
