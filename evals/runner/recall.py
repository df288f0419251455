"""Answers that were paid for once, kept for later runs that ask the same of the same target.

The non-obvious decision: it is a convenience and never a reason to fail. Where the file cannot be used, answers are
asked for as if it were not there, and `fault` says why. It may hold what customers wrote, so only its owner may
read it.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import msgspec

from evals.records import Answer

FILE = "eval-answers.db"
MOST = 200_000
"""Answers kept, about 200 MB of them; the oldest go first."""
LOCKED_S = 1.0
"""How long another process may hold the file before this run does without."""
_AT_ONCE = 64
"""Answers written together, since a transaction costs more than asking a fast target. A killed run loses so many
here, and none of its own."""
_TABLE = "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer BLOB NOT NULL, at REAL NOT NULL)"
_ANSWERS = msgspec.json.Decoder(Answer)
_ENCODER = msgspec.json.Encoder()


class Recall:
    """The answers at `path`, or none. `fault` is why it is not used, or empty.

    `of_weirs`: answers with a Weir's evidence are kept too. Over a base URL they must not be: nobody can tell
    whether that Weir's configuration is still the same.
    """

    def __init__(
        self, path: Path | None, *, of_weirs: bool = False, most: int = MOST, locked_s: float = LOCKED_S
    ) -> None:
        self.fault = ""
        self._of_weirs = of_weirs
        self._most = most
        self._file: sqlite3.Connection | None = None
        self._unwritten: dict[str, Answer] = {}
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            self._file = sqlite3.connect(path, timeout=locked_s, isolation_level=None)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = NORMAL")  # a power cut may lose answers, never the file
            self._file.execute(_TABLE)
            self._file.execute("CREATE INDEX IF NOT EXISTS by_age ON answers (at)")
        except (OSError, sqlite3.Error) as error:
            self._give_up(f"{path}: {error}")

    def get(self, key: str) -> Answer | None:
        if self._file is None:
            return None
        if key in self._unwritten:
            return self._unwritten[key]
        try:
            row = self._file.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
            return _ANSWERS.decode(row[0]) if row else None
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            self._give_up(str(error))
            return None

    def put(self, key: str, answer: Answer) -> None:
        if self._file is None or (answer.evidence and not self._of_weirs):
            return
        self._unwritten[key] = answer
        if len(self._unwritten) >= _AT_ONCE:
            self._write(self._file)

    def close(self) -> None:
        """Drops what is beyond the bound."""
        if self._file is not None:
            self._write(self._file)
        if self._file is None:
            return
        try:
            self._file.execute(
                "DELETE FROM answers WHERE key IN (SELECT key FROM answers ORDER BY at DESC LIMIT -1 OFFSET ?)",
                (self._most,),
            )
        except sqlite3.Error as error:
            self._give_up(str(error))
        else:
            self._file.close()
            self._file = None

    def _write(self, file: sqlite3.Connection) -> None:
        kept = [(key, _ENCODER.encode(answer), time.time()) for key, answer in self._unwritten.items()]
        self._unwritten.clear()
        try:
            file.execute("BEGIN IMMEDIATE")
            file.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", kept)
            file.execute("COMMIT")
        except sqlite3.Error as error:
            self._give_up(str(error))

    def _give_up(self, why: str) -> None:
        self.fault = f"Earlier answers cannot be recalled, so all are asked for: {why}"
        if self._file is not None:
            self._file.close()
            self._file = None
