"""A Hugging Face tokenizer as llama.cpp has it: byte-level BPE with one of the ways to split text that both know.

The non-obvious decision: what llama.cpp would do differently is refused, and never written as if it were the same.
A student that reads its questions in other tokens than it learned answers worse, and nothing would say why.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

_LETTERS = r"|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_ENDINGS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)", r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])")
_SPLITS = {
    f"{ending}{_LETTERS}{digits}{_REST}": name
    for ending in _ENDINGS
    for digits, name in ((r"\p{N}{1,3}", "llama-bpe"), (r"\p{N}", "qwen2"))
}
"""What text is split by, and what llama.cpp calls that."""


class NotConvertible(ValueError):
    """A model that cannot be written as GGUF here. The message says why, not what to do."""


class Vocabulary(Struct, frozen=True, kw_only=True):
    """`tokens` and their `kinds` (as llama.cpp numbers them) in order; `ends` are tokens that end an answer."""

    split: str
    tokens: tuple[str, ...]
    kinds: tuple[int, ...]
    merges: tuple[str, ...]
    ends: tuple[int, ...]
    begin: int
    padding: int | None
    template: str


_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5


def read_vocabulary(folder: Path, config: Mapping[str, Any]) -> Vocabulary:
    """Of the model in `folder`. Raises NotConvertible, OSError."""
    tokenizer, settings = read_part(folder / "tokenizer.json"), read_part(folder / "tokenizer_config.json")
    model, added = tokenizer["model"], tokenizer.get("added_tokens") or []
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        raise NotConvertible("its tokenizer is no byte-level BPE")
    if tokenizer.get("normalizer") not in (None, {"type": "NFC"}):  # llama.cpp does none; NFC is as good as none
        raise NotConvertible("its tokenizer changes text before it splits it (`normalizer`)")
    if any(token.get("lstrip") or token.get("rstrip") for token in added):
        raise NotConvertible("its tokenizer takes the blanks around special tokens away")
    ends = _ends(folder, config)
    texts = {place: text for text, place in model["vocab"].items()}
    kinds = dict.fromkeys(texts, _NORMAL)
    for token in added:
        texts[token["id"]] = token["content"]
        kinds[token["id"]] = _CONTROL if token["special"] else _USER_DEFINED
    size = int(config["vocab_size"])
    if max(texts) >= size:
        raise NotConvertible(f"its tokenizer has tokens beyond the {size} of the model")
    begin, padding = config.get("bos_token_id"), config.get("pad_token_id")
    return Vocabulary(
        split=_split(tokenizer.get("pre_tokenizer"), bool(model.get("ignore_merges"))),
        tokens=tuple(texts.get(place, f"[PAD{place}]") for place in range(size)),
        kinds=tuple(kinds.get(place, _UNUSED) for place in range(size)),
        merges=tuple(merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]),
        ends=ends,
        begin=begin if isinstance(begin, int) else ends[0],  # without one, llama.cpp takes the twelfth token
        padding=padding if isinstance(padding, int) and 0 <= padding < size else None,
        template=_template(folder, settings),
    )


def _split(pre_tokenizer: Mapping[str, Any] | None, ignores_merges: bool) -> str:
    steps = list(_steps(pre_tokenizer))
    if [step["type"] for step in steps[-1:]] == ["ByteLevel"] and not steps[-1].get("add_prefix_space"):
        splits = steps[-1].get("use_regex", True)
        match steps[:-1]:
            case [] if splits and not ignores_merges:
                return "gpt-2"
            case [{"type": "Digits", "individual_digits": True}] if splits and not ignores_merges:
                return "smollm"
            case [{"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"}] if not splits:
                name = _SPLITS.get(pattern, "")
                if name and ignores_merges == (name == "llama-bpe"):
                    return name
    raise NotConvertible("its tokenizer splits text in a way that is not known here (`pre_tokenizer`)")


def _steps(pre_tokenizer: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    if pre_tokenizer is not None and pre_tokenizer["type"] == "Sequence":
        for each in pre_tokenizer["pretokenizers"]:
            yield from _steps(each)
    elif pre_tokenizer is not None:
        yield pre_tokenizer


def _ends(folder: Path, config: Mapping[str, Any]) -> tuple[int, ...]:
    """As transformers and vLLM take them: those for generation, else the model's own."""
    path = folder / "generation_config.json"
    told = (read_part(path) if path.exists() else {}).get("eos_token_id", config.get("eos_token_id"))
    ends: Sequence[int] = told if isinstance(told, list) else [] if told is None else [told]
    if not 1 <= len(ends) <= 3:
        raise NotConvertible(f"it has {len(ends)} tokens that end an answer (`eos_token_id`), not 1 to 3")
    return tuple(ends)


def _template(folder: Path, settings: Mapping[str, Any]) -> str:
    path = folder / "chat_template.jinja"
    template = path.read_text() if path.exists() else settings.get("chat_template")
    if not isinstance(template, str) or not template:
        raise NotConvertible("it has no chat template, or several")
    return template


def read_part(path: Path) -> dict[str, Any]:
    """A JSON file of a model. Raises NotConvertible where it is not there, or damaged."""
    try:
        read: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise NotConvertible(f"it has no {path.name}") from error
    except ValueError as error:
        raise NotConvertible(f"its {path.name} is damaged ({error})") from error
    return read
