"""What kinds, artefacts, files, aliases and versions may be called, and the folder that a name gets."""

from __future__ import annotations

import re
from hashlib import blake2b

from registry.faults import NotAccepted

_KIND = re.compile(r"[a-z][a-z0-9-]{0,31}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,299}")
_FILE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_VERSION = re.compile(r"[0-9a-f]{16}")
_NOT_IN_SLUGS = re.compile(r"[^a-z0-9_-]+")
_SLUG = 60


def is_version(text: str) -> bool:
    return _VERSION.fullmatch(text) is not None


def check_kind(kind: str) -> None:
    """Raises NotAccepted, as the others do."""
    _check("a kind", "lower-case letters, digits and -", _KIND, kind)


def check_name(name: str) -> None:
    _check("an artefact", "up to 300 letters, digits or . _ : / -", _NAME, name)


def check_file(name: str) -> None:
    _check("a file", "lower-case letters, digits, . _ and -", _FILE, name)


def check_alias(alias: str) -> None:
    _check("an alias", "up to 32 lower-case letters, digits, _ and -", _ALIAS, alias)
    if is_version(alias):
        raise NotAccepted(f"'{alias}' looks like a version. Choose another alias.")


def slug(name: str) -> str:
    """A folder's name that no two names share, not even where capitals do not count."""
    told_apart = blake2b(name.encode(), digest_size=8).hexdigest()
    return f"{_NOT_IN_SLUGS.sub('-', name.lower())[:_SLUG]}.{told_apart}"


def _check(what: str, form: str, pattern: re.Pattern[str], name: str) -> None:
    if not pattern.fullmatch(name):
        raise NotAccepted(f"{name!r} is no name for {what}: use {form}, and begin with a letter or digit.")
