"""The process that ingests, put together: the storage, the encoder, the queue and the folders of declared stores.

It has an encoder of its own, with a low priority, so that questions never wait for a document. Like the encoder's
process it goes on until its input ends, and of several with one lock one works while the others stand by.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import msgspec
import orjson

from encoder.card import EncoderFault
from rag.ingesting.settings import IngestSettings
from rag.ports import StorageUnusable
from system.files import try_lock

log = logging.getLogger("weir.rag")

_TURN_S = 0.25
_NAME_BYTES = 32
_UNUSABLE = 1
_UPKEEP_S = 60.0
_LONGEST_PAUSE_S = 30.0


def main() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # meant for the server, whose end is this one's too
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)
    told = orjson.loads(sys.stdin.buffer.readline())
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    logging.getLogger("weir").setLevel(told["log_level"])
    settings = msgspec.convert(told, IngestSettings)
    try:
        asyncio.run(_until_input_ends(settings))
    except (EncoderFault, StorageUnusable) as error:
        log.error("nothing can be ingested: %s", error)  # noqa: TRY400 - the message says it all
        sys.exit(_UNUSABLE)


async def _until_input_ends(settings: IngestSettings) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _look, ended)
    Path(settings.lock).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(settings.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while not try_lock(lock):
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), _TURN_S)
        if ended.is_set():
            return
    working = asyncio.create_task(ingest(settings, _name(lock)))
    ending = asyncio.create_task(ended.wait())
    await asyncio.wait([working, ending], return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working


def _look(ended: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        ended.set()
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())


def _name(lock: int) -> str:
    """Of whoever has the lock, now and after a kill: it is written in the file that is locked."""
    name = os.pread(lock, _NAME_BYTES, 0).decode(errors="replace")
    if len(name) != _NAME_BYTES or not name.isalnum():
        name = secrets.token_hex(_NAME_BYTES // 2)
        os.ftruncate(lock, 0)
        os.pwrite(lock, name.encode(), 0)
    return name


async def ingest(settings: IngestSettings, holder: str) -> None:
    """Ingest until it is cancelled. Documents are claimed in the name of `holder`, and what was claimed in it
    before is taken up at once. Raises EncoderFault and StorageUnusable."""
    from encoder.session import Session  # late, for those that stand by: it is most of their memory
    from rag.ingesting.embedding import Embedding
    from rag.ingesting.preparing import Workshop
    from rag.ingesting.queue import Queue
    from rag.ingesting.reading import Reading
    from rag.ingesting.watching import Watching
    from rag.storage.opening import open_storage

    session = await asyncio.to_thread(Session, Path(settings.encoder), cast("Any", settings.backend))
    storage = open_storage(settings.url, Path(settings.folder), settings.limits)
    reading = Reading(settings.limits, context=settings.context)
    card = session.card
    workshop = Workshop(reading, Embedding(storage, session.encode, card.version, card.dimensions))
    try:
        await _prepare(storage)
        async with asyncio.TaskGroup() as group:
            queue = Queue(storage, workshop, lease_s=settings.lease_s, holder=holder)
            group.create_task(queue.keep_draining())
            group.create_task(_keep_up(storage))
            for watched in settings.stores:
                group.create_task(Watching(storage, workshop, watched, settings.limits).keep_in_step())
    finally:
        await reading.close()
        await storage.close()


async def _prepare(storage: Any) -> None:
    """Wait for the storage, as long as waiting can help."""
    from contracts.errors import RetrievalUnavailable

    pause_s = 1.0
    while True:
        try:
            await storage.prepare()
        except RetrievalUnavailable as error:
            log.warning("the storage of documents cannot be reached: %s", error.message)
            await asyncio.sleep(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
        else:
            return


async def _keep_up(storage: Any) -> None:
    from contracts.errors import RetrievalUnavailable

    while True:
        with suppress(RetrievalUnavailable):  # the queue says so
            await storage.upkeep()
        await asyncio.sleep(_UPKEEP_S)


if __name__ == "__main__":
    main()
