"""PDF, by the text that is in it: pages follow each other with a form feed between them, as pdftotext has it.

pypdf raises whatever a damaged file leads it to, so whatever it raises means that the file is at fault.
"""

from __future__ import annotations

import logging
import re
from io import BytesIO

from pypdf import PasswordType, PdfReader
from pypdf.errors import DependencyError

from rag.reading.text import ReadFile, Unreadable, printable

_HYPHEN = re.compile(r"(?<=[a-zà-öø-ÿ])-[ \t]*\n(?=[a-zà-öø-ÿ])")
_LIGATURES = str.maketrans(dict(zip("ﬀﬁﬂﬃﬄﬅﬆ\xad", ("ff", "fi", "fl", "ffi", "ffl", "st", "st", ""), strict=True)))
_MADE_BY = re.compile(r"^(microsoft \w+ - |untitled|\(anonymous\)|unspecified)", re.IGNORECASE)
_PAGE_BREAK = "\n\n\f"


def read_pdf(content: bytes) -> ReadFile:
    """Raises Unreadable for one that is damaged, encrypted, or made of pictures."""
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it warns of each flaw that it gets over
    try:
        reader = PdfReader(BytesIO(content))
        open_to_all = not reader.is_encrypted or reader.decrypt("") != PasswordType.NOT_DECRYPTED
        pages = [_tidied(page.extract_text()) for page in reader.pages] if open_to_all else []
        title = _title(reader) if open_to_all else ""
    except MemoryError:
        raise
    except DependencyError:  # AES, for which pypdf wants another package
        open_to_all = False
    except Exception as error:
        raise Unreadable("invalid_file", f"It cannot be read as PDF ({error}): save it anew as PDF.") from error
    if not open_to_all:
        raise Unreadable("invalid_file", "It is encrypted: save a copy without a password, and upload that.")
    silent = sum(not re.search(r"\w", page) for page in pages)
    if silent == len(pages):
        raise Unreadable(
            "invalid_file", "It holds no text, only pictures of it: run OCR over it, and upload what that makes."
        )
    notes = (f"{silent} of its {len(pages)} pages hold no text.",) if silent else ()
    return ReadFile(text=_PAGE_BREAK.join(pages), kind="plain", title=title, notes=notes)


def _tidied(page: str) -> str:
    return printable(_HYPHEN.sub("", page.translate(_LIGATURES))).replace("\f", "\n").strip()


def _title(reader: PdfReader) -> str:
    told = reader.metadata
    title = " ".join(printable(str((told and told.title) or "")).split())
    return "" if _MADE_BY.match(title) else title[:200]
