"""The server's handle on the process that ingests: of several workers one keeps it."""

from __future__ import annotations

import logging

from msgspec import to_builtins

from rag.ingesting.settings import IngestSettings
from system.kept_process import KeptProcess

_STOP_S = 5.0
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def ingest_process(settings: IngestSettings) -> KeptProcess:
    """What it has in hand when it is stopped, another one takes up; what was encoded by then is kept."""
    return KeptProcess(
        "router.ingest_child",
        to_builtins(settings),
        name="the ingest",
        log=logging.getLogger("weir.rag"),
        stop_s=_STOP_S,
        variables=_ONE_THREAD,
    )
