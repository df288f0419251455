"""Which reader reads a file: by its name's ending, unless its first bytes say otherwise.

Readers are imported when they are needed. A name whose ending is not known is refused, so that pictures and
archives that happen to decode as Latin-1 do not become documents.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import PurePosixPath

from rag.reading.text import ReadFile, Unreadable

_DOCUMENTS = {
    "markdown": (".md", ".markdown", ".mdx"),
    "plain": (".txt", ".text", ".rst", ".adoc", ".org"),
    "html": (".html", ".htm", ".xhtml"),
    "pdf": (".pdf",),
    "docx": (".docx",),
}
_OTHER_TEXT = re.compile(
    r"\.(c|cc|cfg|conf|cpp|cs|css|csv|go|h|hpp|ini|java|jsonl?|[jt]sx?|kt|log|lua|php|pl|ps1|py|r|rb|rs|scala|scss|sh"
    r"|sql|srt|swift|tex|toml|tsv|vtt|xml|ya?ml)"
)
_READERS = {suffix: reader for reader, suffixes in _DOCUMENTS.items() for suffix in suffixes}
DOCUMENT_SUFFIXES = frozenset(_READERS)
"""Of what is taken out of folders; code and data beside documents are not."""
SUPPORTED = "Markdown, text, HTML, PDF, DOCX, JSON, CSV and source code"


def read(content: bytes, filename: str) -> ReadFile:
    """Raises Unreadable."""
    reader = reader_of(content, filename)
    found: ReadFile = getattr(import_module(f"rag.reading.{reader}"), f"read_{reader}")(content)
    return found


def reader_of(content: bytes, filename: str) -> str:
    """The name of the module here that reads it. Raises Unreadable for what none reads."""
    suffix = PurePosixPath(filename).suffix.lower()
    if b"%PDF-" in content[:1024] and not _OTHER_TEXT.fullmatch(suffix):
        return "pdf"
    if suffix in _READERS:
        return _READERS[suffix]
    if _OTHER_TEXT.fullmatch(suffix):
        return "plain"
    if suffix:
        raise Unreadable(
            "unsupported_file", f"Files of the kind '{suffix}' cannot be read. These can: {SUPPORTED}."
        )
    if content.startswith(b"PK\x03\x04"):
        return "docx"
    if content[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "html"
    return "plain"
