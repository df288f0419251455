"""Token counts for answers whose provider reported none, always marked as estimates.

They are made with OpenAI's o200k_base where its table is already on this disk, else as one token per four bytes.
The table is read and checked here rather than by tiktoken's own loader, because that one downloads what it does
not find: nothing in this module can reach the network. The first estimate starts reading it in a thread of its
own, so an estimate is never waited for.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import orjson

from contracts.ports import Prompt, TokenCounter
from contracts.usage import TokenUsage

BYTES_PER_TOKEN = 4
"""o200k_base takes 4.0 to 4.9 bytes a token for English, German, French, Chinese and Japanese prose and for Python,
5.5 and 6.6 for Arabic and Russian, 2.3 for dense JSON (measured). Bytes, since characters differ threefold."""
EXACT_CHARACTERS = 20_000
"""Text beyond this is sampled: tokenising it takes at most about 5 ms, and a request may hold 20 MB."""
_SAMPLES = 16

# OpenAI's cookbook, "How to count tokens with tiktoken", for GPT-4o and its kin:
# https://github.com/openai/openai-cookbook/blob/main/examples/How_to_count_tokens_with_tiktoken.ipynb
PER_MESSAGE = 3
PER_NAME = 1
PER_REPLY = 3

# OpenAI's vision guide, for GPT-4o: 85, and 170 for each 512-pixel tile; a square of 1024 pixels has four.
# https://platform.openai.com/docs/guides/images-vision
PICTURE = 765
PICTURE_LOW_DETAIL = 85

_ENCODING = "o200k_base"
_TABLE = "fb374d419588a4632f3f557e76b4b70aebbca790"
"""tiktoken's name for the table in its cache: the SHA-1 of the address it would be fetched from."""
_TABLE_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
_log = logging.getLogger(__name__)


class Encoding(Protocol):
    """What of `tiktoken.Encoding` is needed."""

    def encode_ordinary(self, text: str) -> list[int]: ...


class TokenEstimator:
    """The port `contracts.ports.TokenCounter`. `folders` are searched for the table, in order."""

    def __init__(self, folders: Sequence[Path] | None = None) -> None:
        self._folders = table_folders() if folders is None else folders
        self._encoding: Encoding | None = None
        self._sought = False

    def estimate(self, request_body: Mapping[str, Any], answer_text: str) -> TokenUsage:
        """Tokens of a request of any endpoint and of its answer's text, all choices together. Never raises."""
        if not self._sought:
            self._sought = True
            threading.Thread(target=self.load, name="token table", daemon=True).start()
        asked = _Asked(request_body)
        encoding = self._encoding
        if encoding is None:
            return TokenUsage(
                prompt=asked.flat + _by_bytes(asked.texts),
                completion=_by_bytes([answer_text]),
                source="estimated",
                method=f"bytes/{BYTES_PER_TOKEN}",
            )
        sampled = max(_length(asked.texts), len(answer_text)) > EXACT_CHARACTERS
        return TokenUsage(
            prompt=asked.flat + _by_encoding(encoding, asked.texts),
            completion=_by_encoding(encoding, [answer_text]),
            source="estimated",
            method=f"tiktoken:{_ENCODING}/sampled" if sampled else f"tiktoken:{_ENCODING}",
        )

    def load(self) -> bool:
        """Read the table now (0.3 s). Whether it was found; estimates are made from bytes where it was not."""
        self._sought = True
        for folder in self._folders:
            encoding = _read_table(folder / _TABLE)
            if encoding is not None:
                self._encoding = encoding
                return True
        _log.info("tokens are estimated from bytes: %s is not on this disk", _ENCODING)
        return False


def prompt_tokens(prompt: Prompt, tokens: TokenCounter) -> int:
    """About how many a prompt adds to each request, with its instructions and demonstrations."""
    return tokens.estimate(prompt.apply({"messages": []}, "chat/completions"), "").prompt


def table_folders() -> list[Path]:
    """Where the table may lie: `TIKTOKEN_CACHE_DIR`, and the copy inside litellm, where that is installed."""
    chosen = os.environ.get("TIKTOKEN_CACHE_DIR")
    litellm = importlib.util.find_spec("litellm")  # finds it without importing it
    homes = (litellm.submodule_search_locations or ()) if litellm else ()
    return [
        *([Path(chosen)] if chosen else []),
        *(Path(home) / "litellm_core_utils" / "tokenizers" for home in homes),
    ]


def _read_table(path: Path) -> Encoding | None:
    try:
        table = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(table).hexdigest() != _TABLE_SHA256:
        _log.warning("%s is not the table of %s; it is left unused", path, _ENCODING)
        return None
    import tiktoken

    pairs = (line.split() for line in table.splitlines())
    ranks = {base64.b64decode(token): int(rank) for token, rank in pairs}
    return tiktoken.Encoding(_ENCODING, pat_str=_split_rule(), mergeable_ranks=ranks, special_tokens={})


def _split_rule() -> str:
    """How o200k_base cuts text before merging: words (with what English contracts to them), digits by threes,
    punctuation, line ends, blanks. The encoding is defined by it, so it must match tiktoken's to the letter."""
    upper, lower = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
    before, contracted = r"[^\r\n\p{L}\p{N}]?", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    words = (f"{before}[{upper}]*[{lower}]+{contracted}", f"{before}[{upper}]+[{lower}]*{contracted}")
    return "|".join([*words, r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])


class _Asked:
    """What a request has to be read: its `texts`, and `flat` tokens for what is not text."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.texts: list[str] = []
        self.flat = 0
        messages = body.get("messages")
        if isinstance(messages, list):
            self._add_messages(messages)
        self._add_prompts(body.get("prompt"))
        self._add_prompts(body.get("input"))
        for name in ("tools", "functions", "response_format"):
            self._add_json(body.get(name))

    def _add_messages(self, messages: list[Any]) -> None:
        self.flat += PER_REPLY
        for message in messages:
            if not isinstance(message, Mapping):
                continue
            self.flat += PER_MESSAGE + (PER_NAME if message.get("name") else 0)
            self.texts += [text for text in map(message.get, ("role", "name")) if isinstance(text, str)]
            self._add_content(message.get("content"))
            self._add_json(message.get("tool_calls"))

    def _add_content(self, content: object) -> None:
        if isinstance(content, str):
            self.texts.append(content)
        for part in content if isinstance(content, list) else ():
            if not isinstance(part, Mapping):
                continue
            text = part.get("text")
            if isinstance(text, str):
                self.texts.append(text)
            else:
                picture = part.get("image_url")
                low = isinstance(picture, Mapping) and picture.get("detail") == "low"
                self.flat += PICTURE_LOW_DETAIL if low else PICTURE

    def _add_prompts(self, prompts: object) -> None:
        if isinstance(prompts, str):
            self.texts.append(prompts)
        for prompt in prompts if isinstance(prompts, list) else ():
            if isinstance(prompt, int):
                self.flat += 1
            elif isinstance(prompt, list):
                self.flat += len(prompt)
            elif isinstance(prompt, str):
                self.texts.append(prompt)

    def _add_json(self, value: object) -> None:
        """Providers write tools and schemas into the prompt in forms of their own, about as long as the JSON."""
        if value:
            self.texts.append(orjson.dumps(value).decode())


def _by_bytes(texts: Sequence[str]) -> int:
    size = sum(len(text.encode("utf-8", "replace")) for text in texts)
    return -(-size // BYTES_PER_TOKEN)


def _by_encoding(encoding: Encoding, texts: Sequence[str]) -> int:
    total = _length(texts)
    if total <= EXACT_CHARACTERS:
        return sum(len(encoding.encode_ordinary(text)) for text in texts)
    counted = sum(len(encoding.encode_ordinary(sample)) for sample in _evenly("\n".join(texts)))
    return round(counted * total / EXACT_CHARACTERS)


def _evenly(text: str) -> Iterator[str]:
    """Samples of `text` at even distances, together EXACT_CHARACTERS long."""
    size, step = EXACT_CHARACTERS // _SAMPLES, len(text) / _SAMPLES
    for index in range(_SAMPLES):
        start = int(index * step)
        yield text[start : start + size]


def _length(texts: Sequence[str]) -> int:
    return sum(map(len, texts))
