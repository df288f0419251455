"""The server's handle on the encoder's process: of several workers one keeps it, and all are its clients."""

from __future__ import annotations

import logging
from pathlib import Path

from system.kept_process import KeptProcess

_STOP_S = 5.0
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def encoder_process(
    folder: Path, socket: Path, *, backend: str = "onnxruntime", batch: int = 16, waiting: int = 256
) -> KeptProcess:
    """`folder` is the built encoder's, `socket` where it is to listen: see `encoder.address`; `backend` runs it.

    It encodes up to `batch` texts at a time, and no more than `waiting` may wait, of all clients together. It takes
    some tenths of a second to start. What it has in hand when it is stopped is lost, and its clients say so.
    """
    settings = {
        "folder": str(folder),
        "socket": str(socket),
        "backend": backend,
        "batch": batch,
        "waiting": waiting,
    }
    log = logging.getLogger("weir.encoder")
    return KeptProcess(
        "encoder.child", settings, name="the encoder", log=log, stop_s=_STOP_S, variables=_ONE_THREAD
    )
