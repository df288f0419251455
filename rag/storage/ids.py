"""Ids as OpenAI's clients expect them: a kind, and 96 random bits, which nobody guesses and no two draws share."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Literal, TypeVar

Kind = Literal["file-", "vs_"]
_Key = TypeVar("_Key", str, bytes)
_IN_A_STATEMENT = 500


def new_id(kind: Kind) -> str:
    return kind + secrets.token_hex(12)


def lots(keys: Sequence[_Key]) -> Iterator[Sequence[_Key]]:
    """`keys` in order, as many at a time as one statement names: databases have a bound on its parameters."""
    return (keys[begin : begin + _IN_A_STATEMENT] for begin in range(0, len(keys), _IN_A_STATEMENT))
