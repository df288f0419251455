"""Where a server's encoder listens: in its state folder, where nobody else may look.

The system allows a socket's path about a hundred bytes, and a state folder may lie deeper than that. Then the
socket gets a short name in a private folder among the temporary files, made from the state folder's, so that all
workers come to the same.
"""

from __future__ import annotations

import os
import stat
import tempfile
from hashlib import blake2b
from pathlib import Path

from encoder.card import EncoderFault

LONGEST = 103
"""Bytes: Linux takes 107, macOS 103."""
_NAME = "encoder.sock"


def socket_path(state: Path) -> Path:
    """The socket's path for the state folder `state`, whose folder is there. Raises EncoderFault."""
    path = state.resolve() / _NAME
    if len(os.fsencode(path)) <= LONGEST:
        state.mkdir(parents=True, exist_ok=True)
        return path
    folder = Path(tempfile.gettempdir()) / f"weir-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise EncoderFault(f"{folder} is open to others, and no place for a socket: remove it, or set TMPDIR.")
    short = folder / f"{blake2b(os.fsencode(path), digest_size=8).hexdigest()}.sock"
    if len(os.fsencode(short)) > LONGEST:
        raise EncoderFault(f"{short} is too long for a socket: set TMPDIR to a shorter folder.")
    return short
