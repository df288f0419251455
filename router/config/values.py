"""The kinds of values that settings have, and what all sections of a configuration have in common."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
_SECRETIVE = re.compile(r"(^|_)(key|secret|token|password|credentials)$")
_ADDRESS = re.compile(r"https?://[^\s/?#]+[^\s?#]*")


def _secret(value: str) -> str:
    if not REFERENCE.fullmatch(value):
        raise ValueError("write secrets as environment references, such as ${OPENAI_API_KEY}, never in the file")
    return value


def _key_hash(value: str) -> str:
    if not _HASH.fullmatch(value):
        raise ValueError("must be 'sha256:' and 64 hex digits; `weir keys hash` prints it for a key")
    return value


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("must be 1 to 128 letters, digits or . _ : / -, and start with a letter or digit")
    return value


def _address(value: str) -> str:
    if not _ADDRESS.fullmatch(value):
        raise ValueError("must start with http:// or https:// and name a host, without query or fragment")
    if "@" in value.split("/", 3)[2]:
        raise ValueError("must hold no user or password; write the secret as `api_key`, by reference")
    return value.rstrip("/")


def _option_name(value: str) -> str:
    if _SECRETIVE.search(value):
        raise ValueError("leave this secret to the environment, where litellm looks for it; never write it here")
    return value


def _day(value: Any) -> date:
    """YAML reads a date itself; pydantic alone would take any number for seconds since 1970."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("must be a date such as 2027-01-14") from None


def _shown_as(form: str, pattern: re.Pattern[str]) -> WithJsonSchema:
    """How the JSON schema shows a string that is checked here, with a better message than a pattern gives."""
    return WithJsonSchema({"type": "string", "format": form, "pattern": f"^{pattern.pattern}$"})


Secret = Annotated[str, AfterValidator(_secret), _shown_as("reference", REFERENCE)]
KeyHash = Annotated[str, AfterValidator(_key_hash), _shown_as("hash", _HASH)]
Name = Annotated[str, AfterValidator(_name), _shown_as("name", _NAME)]
OptionName = Annotated[str, AfterValidator(_option_name)]
Address = Annotated[str, AfterValidator(_address), _shown_as("address", _ADDRESS)]
FolderPath = Annotated[
    str, Field(min_length=1), WithJsonSchema({"type": "string", "format": "folder", "minLength": 1})
]
FilePath = Annotated[str, Field(min_length=1), WithJsonSchema({"type": "string", "format": "path", "minLength": 1})]
Day = Annotated[date, BeforeValidator(_day)]


Phrase = Annotated[str, Field(pattern=r"\S")]
"""A word or several, not blank."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
