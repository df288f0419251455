"""Text as it is: notes, logs, values, source code. Nothing of it is changed, so that offsets are the file's."""

from __future__ import annotations

from rag.reading.text import EMPTY_NOTE, ReadFile, decoded


def read_plain(content: bytes) -> ReadFile:
    text, notes = decoded(content)
    return ReadFile(text=text, kind="plain", notes=notes if text.strip() else (EMPTY_NOTE,))
