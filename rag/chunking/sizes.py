"""How many tokens a text has, estimated.

The non-obvious decision: it is a count of pieces that no tokenizer is asked for. Sizes bound chunks and budgets,
for any model, and are taken of whole files; words of up to eight letters, three digits, and each sign are near
enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_NO_SPACES = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(rf"[A-Za-z\u00c0-\u024f]{{1,8}}|\d{{1,3}}|[{_NO_SPACES}]|[^\W\d_]{{1,4}}|\S")


def tokens_in(text: str, start: int = 0, end: int | None = None) -> int:
    """Of characters `start` to `end`."""
    return sum(1 for _ in _TOKEN.finditer(text, start, len(text) if end is None else end))


def token_starts(text: str, start: int, end: int) -> Iterator[int]:
    """Where each token begins."""
    return (match.start() for match in _TOKEN.finditer(text, start, end))
