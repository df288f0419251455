"""What may be given a file, a store or a document, by OpenAI's bounds. All of it raises InvalidRequest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.errors import InvalidRequest
from contracts.retrieval import Attributes, ChunkRules, Page

_MOST_PAIRS = 16
_KEY_LENGTH = 64
_VALUE_LENGTH = 512
_NAME_LENGTH = 256
_FILENAME_LENGTH = 1024
_MOST_ON_A_PAGE = 10_001  # OpenAI lists 10,000 files, and one more tells whether more follow
_MOST_DAYS = 3650


def checked_tenant(tenant: str) -> str:
    """What may be the name of a folder."""
    if not tenant or tenant[0] == "." or "/" in tenant or "\0" in tenant:
        raise InvalidRequest(f"'{tenant}' is no tenant's name.")
    return tenant


def checked_filename(filename: str) -> str:
    if not filename or len(filename) > _FILENAME_LENGTH:
        raise InvalidRequest(f"A filename has 1 to {_FILENAME_LENGTH} characters.", param="filename")
    if not _is_plain(filename):
        raise InvalidRequest("A filename holds no control characters.", param="filename")
    return filename


def checked_name(name: str) -> str:
    if len(name) > _NAME_LENGTH or not _is_plain(name):
        raise InvalidRequest(
            f"A store's name has at most {_NAME_LENGTH} characters, none of them a control character.", param="name"
        )
    return name


def checked_metadata(metadata: Mapping[str, Any] | None) -> dict[str, str]:
    found = dict(metadata or {})
    _check_keys(found, "metadata")
    for key, value in found.items():
        if not isinstance(value, str) or len(value) > _VALUE_LENGTH or not _is_text(value):
            raise InvalidRequest(
                f"`metadata.{key}` has to be a string of at most {_VALUE_LENGTH} characters.", param="metadata"
            )
    return found


def checked_attributes(attributes: Attributes | None) -> dict[str, Any]:
    found = dict(attributes or {})
    _check_keys(found, "attributes")
    for key, value in found.items():
        is_text = isinstance(value, str) and len(value) <= _VALUE_LENGTH and _is_text(value)
        is_number = isinstance(value, (bool, int, float)) and abs(value) < 2**53  # which NaN is not either
        if not is_text and not is_number:
            raise InvalidRequest(
                f"`attributes.{key}` has to be a string of at most {_VALUE_LENGTH} characters, a number "
                "(below 2^53) or a boolean.",
                param="attributes",
            )
    return found


def checked_days(days: object) -> int | None:
    if days is None:
        return None
    if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= _MOST_DAYS:
        raise InvalidRequest(f"`expires_after.days` is from 1 to {_MOST_DAYS}.", param="expires_after")
    return days


def checked_rules(rules: ChunkRules | None) -> tuple[int | None, int | None]:
    if rules is None:
        return None, None
    if not 100 <= rules.size <= 4096 or not 0 <= rules.overlap <= rules.size // 2:
        raise InvalidRequest(
            "Chunks have from 100 to 4096 tokens, and overlap by no more than half of that.",
            param="chunking_strategy",
        )
    return rules.size, rules.overlap


def check_page(page: Page) -> None:
    if not 1 <= page.limit <= _MOST_ON_A_PAGE:
        raise InvalidRequest(f"`limit` is from 1 to {_MOST_ON_A_PAGE}.", param="limit")


def _check_keys(pairs: Mapping[str, Any], param: str) -> None:
    if len(pairs) > _MOST_PAIRS:
        raise InvalidRequest(f"`{param}` has at most {_MOST_PAIRS} keys.", param=param)
    for key in pairs:
        if not isinstance(key, str) or not 0 < len(key) <= _KEY_LENGTH or not _is_plain(key):
            raise InvalidRequest(f"Keys of `{param}` have 1 to {_KEY_LENGTH} characters.", param=param)


def _is_text(value: str) -> bool:
    """What both databases can keep: no half of a surrogate pair, and for PostgreSQL no NUL."""
    return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


def _is_plain(value: str) -> bool:
    return _is_text(value) and not any(character < " " or character == "\x7f" for character in value)
