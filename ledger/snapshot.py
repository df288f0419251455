"""What was last known of keys, tenants and budgets, in a file: with it a Weir starts while its database is down.

The non-obvious decision: the file is sealed by a key that is made at first start and lies beside it, for the
owner's eyes only. So who can write the file but not read that key cannot give himself access. Who can put back an
older file as it was can bring back what was revoked since, until the database answers.

The file's first line is the HMAC-SHA256 of the rest, in hex; the rest is JSON, with the database's name in it,
since what one database knows says nothing about another.
"""

from __future__ import annotations

import hmac
import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from contracts.access import Known

log = logging.getLogger("weir.ledger")

FILE, KEY_FILE = "access.json", "access.key"
_KEY_BYTES = 32


class _Kept(Struct, frozen=True, kw_only=True):
    database: str
    known: Known


class Snapshot:
    """The file in the folder `state`; `database` is the name of the database that it is a copy of."""

    def __init__(self, state: Path, database: str) -> None:
        self._path = state / FILE
        self._key_path = state / KEY_FILE
        self._database = database

    def read(self) -> Known | None:
        """What was kept; None where there is nothing, or nothing that can be trusted, which the log says."""
        try:
            seal, _, body = self._path.read_bytes().partition(b"\n")
            key = self._key_path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("The last known keys in %s cannot be read: %s", self._path, error)
            return None
        if len(key) < _KEY_BYTES or not hmac.compare_digest(seal, _seal(key, body)):
            log.error("The last known keys in %s are not as Weir wrote them, and are not used.", self._path)
            return None
        try:
            kept = msgspec.json.decode(body, type=_Kept)
        except msgspec.MsgspecError as error:
            log.warning("The last known keys in %s are of another Weir: %s", self._path, error)
            return None
        return kept.known if kept.database == self._database else None

    def write(self, known: Known) -> None:
        """Raises OSError where the disk does not do as asked."""
        body = msgspec.json.encode(_Kept(database=self._database, known=known))
        beside = self._path.with_name(f"{FILE}.{os.getpid()}")
        _write(beside, _seal(self._key(), body) + b"\n" + body)
        beside.replace(self._path)

    def _key(self) -> bytes:
        """The key, made where there is none; of several processes that start together, one makes it."""
        with suppress(FileNotFoundError):
            key = self._key_path.read_bytes()
            if len(key) >= _KEY_BYTES:
                return key
            self._key_path.unlink(missing_ok=True)  # the disk was full when it was to be written
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = self._key_path.with_name(f"{KEY_FILE}.{os.getpid()}")
        _write(beside, secrets.token_hex(_KEY_BYTES).encode())
        with suppress(FileExistsError):
            os.link(beside, self._key_path)
        beside.unlink()
        return self._key_path.read_bytes()


def _seal(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, "sha256").hex().encode()


def _write(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)
