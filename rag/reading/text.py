"""What readers return, what they raise, and how bytes become characters.

Offsets of passages count in `ReadFile.text`, so nothing changes it afterwards; text and Markdown keep their
characters as they are in the file, byte order mark apart.
"""

from __future__ import annotations

import codecs
import re
from datetime import datetime
from typing import Literal

from msgspec import Struct

Kind = Literal["markdown", "plain"]
Code = Literal["unsupported_file", "invalid_file", "server_error"]

LATIN_NOTE = "It is not UTF-8 and was read as Latin-1."
EMPTY_NOTE = "It holds no text."
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_MOST_CONTROL = 0.01  # of a text's characters; a log with colours has fewer


class ReadFile(Struct, frozen=True, kw_only=True):
    """A file's text. `kind` says how it is structured; what comes before `body` tells about the document and is not
    searched. `updated_at` is what the document says of itself. `notes` are sentences for its owner."""

    text: str
    kind: Kind
    title: str = ""
    body: int = 0
    updated_at: datetime | None = None
    notes: tuple[str, ...] = ()


class Unreadable(Exception):
    """A file that cannot become a document. `code` is one of OpenAI's, the message says what its owner can do."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message


def decoded(content: bytes) -> tuple[str, tuple[str, ...]]:
    """Characters and notes: by byte order mark, else as UTF-8, else as Latin-1. Raises Unreadable for what is no
    text."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            try:
                return _checked(content[len(mark) :].decode(encoding)), ()
            except UnicodeDecodeError as error:
                raise Unreadable("invalid_file", f"It begins as {encoding.upper()} and is not: {error}.") from error
    try:
        return _checked(content.decode()), ()
    except UnicodeDecodeError:
        return _checked(content.decode("latin-1")), (LATIN_NOTE,)


def _checked(text: str) -> str:
    if "\0" in text or len(_CONTROL.findall(text)) > _MOST_CONTROL * len(text):
        raise Unreadable("invalid_file", "It is not text, whatever its name says: upload the file it was made of.")
    return text


def printable(text: str) -> str:
    """Without the characters that no text has and PostgreSQL does not take."""
    return _CONTROL.sub("", text)
