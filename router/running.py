"""A Weir from its start until it is told to end: one house in this process, or one in each of several workers.

The non-obvious decision: with several workers this process holds no house of its own, so that nothing has been
opened, connected or started in it when it forks them, and later when it replaces one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from socket import socket

import uvloop

from router.board import PAGES, take_down
from router.bookkeeping import require_counters
from router.composition import prices_of
from router.config.load import Loaded
from router.main import START_FAILURES, House
from router.permits import SharedPermits, shared_slots
from router.server import Server, allow_open_files, listen
from router.station import Station, doors
from router.workers import Foreman


def run(
    loaded: Loaded,
    config_path: Path,
    *,
    host: str,
    port: int,
    state: Path,
    listening: Callable[[str], None],
    workers: int = 1,
) -> None:
    """Serve until told to end. Raises one of START_FAILURES."""
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise OSError(f"{state} cannot be made: {error.strerror}. Set WEIR_STATE_DIR to another folder.") from error
    if workers == 1:
        with listen(host, port) as door:
            _serve(House(loaded, config_path, state=state, bound_to=host), door, host, listening)
        return
    slots = shared_slots(workers)

    def work(station: Station) -> int:
        worker = station.worker
        permits = SharedPermits(loaded.config.server.max_concurrent, slots, worker)
        try:
            house = House(
                loaded,
                config_path,
                state=state,
                bound_to=host,
                worker=worker,
                workers=workers,
                permits=permits,
                tell=station.tell,
            )
            _serve(house, station.door, host, station.listening, station)
        except START_FAILURES as error:
            station.failed(str(error))
            return 1
        return 0

    def gone(worker: int) -> None:
        slots[worker] = 0
        take_down(state / PAGES, worker)

    prices_of(loaded)  # what is missing is said before anything is begun
    require_counters(loaded.config, workers)
    for worker in range(workers):  # what a Weir that was killed left behind
        gone(worker)
    shutdown_s = loaded.config.server.shutdown_seconds
    Foreman(doors(host, port, workers), work, gone=gone, listening=listening, shutdown_s=shutdown_s).run()


def _serve(
    house: House, door: socket, host: str, listening: Callable[[str], None], station: Station | None = None
) -> None:
    """Open `house` to those who come to `door`, until told to end."""
    allow_open_files()

    async def serve() -> None:
        try:
            server = Server(
                await house.open(),
                host=host,
                shutdown_s=house.shutdown_s,
                listening=listening,
                reload=house.watch.check_soon,
                closing=house.permits.close,
            )
            if station is not None:
                await house.join(station, server.end)
            await server.serve(door)
        finally:
            await house.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
