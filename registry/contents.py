"""A version's folder: its files and its card, named by their hash, there whole or not at all.

The non-obvious decision: the folder is written under another name and renamed, and nothing in it is ever changed.
What is read back is hashed again, so a damaged artefact is found before it decides anything.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex
from typing import Any

from contracts.artefacts import version_of
from registry.faults import NotAccepted
from system.files import sync_folder, write_new

LARGEST = 256 << 20
"""Bytes of an artefact, its files and its card together: it is held in memory to be hashed."""
_NEW, _BROKEN = ".new-", ".broken-"


def stored_version(folder: Path) -> str | None:
    """The hash of what is there; None where it cannot be read or is too large to have been put."""
    try:
        paths = list(folder.iterdir())
        if sum(path.stat().st_size for path in paths) > LARGEST:
            return None
        return version_of({path.name: path.read_bytes() for path in paths})
    except OSError:
        return None


def store(versions: Path, version: str, contents: Mapping[str, bytes]) -> None:
    """Make the version's folder, in the place of a damaged one where there is one. For one process at a time."""
    for left in (*versions.glob(f"{_NEW}*"), *versions.glob(f"{_BROKEN}*")):
        shutil.rmtree(left)  # of a process that was killed: nobody else writes now
    new, target = versions / f"{_NEW}{token_hex(8)}", versions / version
    new.mkdir(mode=0o700)
    try:
        for name, data in contents.items():
            write_new(new / name, data, 0o400)
        sync_folder(new)
        broken = versions / f"{_BROKEN}{token_hex(8)}"
        if target.exists():
            target.rename(broken)
        new.rename(target)
        shutil.rmtree(broken, ignore_errors=True)
    except OSError:
        shutil.rmtree(new, ignore_errors=True)
        raise
    sync_folder(versions)


def canonical(card: Mapping[str, Any]) -> bytes:
    """The same bytes for the same content, whatever the order of the keys. Raises NotAccepted."""
    try:
        return json.dumps(dict(card), sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise NotAccepted(f"A card is plain JSON, without NaN: {error}.") from error
