"""The server's handle on the ledger's writer, which is a process of its own."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from ledger.spool import Fsync
from ledger.writer_report import FRESH_S, WriterReport, read_report
from system.kept_process import KeptProcess

_STOP_S = 60.0


class WriterProcess(KeptProcess):
    """`folder` is the spool's. While there is no writer, events wait on disk.

    `tags`: what roll-ups tell apart. `keep_days`: after which single events are deleted, or None.
    Told to end, it ships what is left; what the database does not take now is shipped at the next start. It is told
    in words: where its input ends without any, it waits for this server to have died.
    """

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        flush_s: float,
        batch: int,
        fsync: Fsync,
        tags: Sequence[str] = (),
        keep_days: int | None = None,
    ) -> None:
        settings = {"url": url, "spool": str(folder), "flush_s": flush_s, "batch": batch, "fsync": fsync}
        settings |= {"tags": list(tags), "keep_days": keep_days}
        super().__init__(
            "ledger.writer_child",
            {**settings, "server": os.getpid()},
            name="the ledger's writer",
            log=logging.getLogger("weir.ledger"),
            stop_s=_STOP_S,
            farewell=b"\n",
            at_stake="; what waits stays on disk",
        )
        self._folder = folder
        self._began = time.monotonic()

    @property
    def report(self) -> WriterReport:
        """What the folder's writer says, be it of this server or of another; a new one is given time to speak."""
        beginning = time.monotonic() - self._began < FRESH_S
        return read_report(self._folder) or WriterReport(database_up=beginning)

    def start(self) -> None:
        self._began = time.monotonic()
        super().start()
