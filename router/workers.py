"""Several workers, one Weir: the parent that forks them, replaces those that die, and ends them together.

The parent serves nothing and has neither event loop nor threads nor database, so that a fork copies nothing that
two processes would then share by accident. It keeps every worker's door open: while a worker is being replaced, its
share of new connections waits instead of being refused.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import NoReturn

import orjson

from router.station import Station

log = logging.getLogger("weir")

_STEADY_S = 10.0
"""A worker that lived this long is replaced at once."""
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_MOST_FALSE_STARTS = 5
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class WorkersFailed(Exception):
    """The workers could not serve, or did not end in good order."""


@dataclass(eq=False, slots=True)
class _Worker:
    """A worker as the parent sees it. `pid` is 0 between two lives; `due` is when the next one begins."""

    index: int
    door: socket.socket
    due: float = inf
    pid: int = 0
    line: socket.socket | None = None
    heard: bytes = b""
    began: float = 0.0
    listens: bool = False
    lives: int = 0
    short_lives: int = 0
    false_starts: int = 0


class Foreman:
    """The parent. Each worker does `work`, in a process of its own whose status it returns.

    `gone` is told which one has ended, `listening` the URL once all of them take requests. Told to end, they have
    `shutdown_s` for open answers and `grace_s` to close the ledger; then they are killed.
    """

    def __init__(
        self,
        doors: Sequence[socket.socket],
        work: Callable[[Station], int],
        *,
        gone: Callable[[int], None],
        listening: Callable[[str], None],
        shutdown_s: float,
        grace_s: float = 10.0,
    ) -> None:
        self._workers = [_Worker(index, door) for index, door in enumerate(doors)]
        self._work = work
        self._gone = gone
        self._listening = listening
        self._patience_s = shutdown_s + grace_s
        self._grace_s = grace_s
        self._selector = selectors.DefaultSelector()
        self._wake = socket.socketpair()
        self._up = False
        self._kill_at = inf
        self._problem = ""

    def run(self) -> None:
        """Keep the workers at work until told to end. Raises WorkersFailed.

        The first one starts alone: it makes what all of them share, such as the database's tables.
        """
        multiprocessing.current_process().name = "parent"  # heads its lines in the log
        gc.collect()
        gc.freeze()  # collections in the workers leave it alone, so that its memory stays shared
        self._workers[0].due = monotonic()
        with self._selector, self._wake[0], self._wake[1], self._signals():
            while not self._ending or any(worker.pid for worker in self._workers):
                self._begin_those_due()
                for ready, _ in self._selector.select(self._patience()):
                    ready.data()
                self._bury()
                if monotonic() > self._kill_at:
                    self._kill()
        if self._problem:
            raise WorkersFailed(self._problem)

    @property
    def _ending(self) -> bool:
        return self._kill_at < inf

    def _patience(self) -> float | None:
        """Seconds until something has to be done unasked."""
        soonest = min(self._kill_at, *(worker.due for worker in self._workers))
        return None if soonest == inf else max(0.0, soonest - monotonic())

    # --- signals

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Signals wake the loop, which does what they ask. Their handlers do nothing."""
        heard, wakes = self._wake
        heard.setblocking(False)
        wakes.setblocking(False)
        self._selector.register(heard, selectors.EVENT_READ, lambda: self._heed(heard.recv(4096)))
        before = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _heed(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGHUP:
                self._tell("reload")
            elif number in (signal.SIGTERM, signal.SIGINT):
                if self._ending:
                    self._kill()
                else:
                    self._end()

    def _end(self, problem: str = "") -> None:
        """Have the workers finish what they are at. Nobody else is let in: new connections are refused."""
        self._problem = problem
        self._kill_at = monotonic() + self._patience_s
        for worker in self._workers:
            worker.due = inf
            worker.door.close()
            if worker.pid:
                os.kill(worker.pid, signal.SIGTERM)

    def _kill(self) -> None:
        self._kill_at = monotonic() + self._grace_s
        for worker in self._workers:
            if worker.pid:
                os.kill(worker.pid, signal.SIGKILL)

    # --- births

    def _begin_those_due(self) -> None:
        for worker in self._workers:
            if worker.due <= monotonic():
                worker.due = inf
                self._begin(worker)

    def _begin(self, worker: _Worker) -> None:
        ours, theirs = socket.socketpair()
        worker.lives += 1
        worker.began = monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal right after the fork would find the parent's handling still in force in the child.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        worker.pid = os.fork()
        if worker.pid == 0:
            ours.close()
            self._become(worker, theirs, mask)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()
        ours.setblocking(False)
        worker.line, worker.heard = ours, b""
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._hear(worker))

    def _become(self, worker: _Worker, line: socket.socket, mask: set[int | signal.Signals]) -> NoReturn:
        """A worker's whole life, in its own process. It lets go of what is the parent's or another worker's."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it can reload
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            others = [other for other in self._workers if other is not worker]
            for theirs in (self._selector, *self._wake, *(other.line for other in others)):
                if theirs is not None:
                    theirs.close()
            for other in others:
                if other.door is not worker.door:
                    other.door.close()
            multiprocessing.current_process().name = f"worker {worker.index}"
            workers, replaces = len(self._workers), worker.lives > 1
            status = self._work(Station(worker.index, workers, worker.door, line, replaces))
        except BaseException:
            log.exception("worker %d failed", worker.index)
        finally:
            logging.shutdown()
            sys.stdout.flush()
            os._exit(status)

    # --- lines

    def _hear(self, worker: _Worker) -> None:
        """Do what a worker says."""
        while worker.line is not None:
            try:
                heard = worker.line.recv(65536)
            except BlockingIOError:
                break
            except ConnectionResetError:
                heard = b""
            worker.heard += heard
            if not heard:
                self._hang_up(worker)
        *messages, worker.heard = worker.heard.split(b"\n")
        for message in messages:
            self._obey(worker, *orjson.loads(message))

    def _hang_up(self, worker: _Worker) -> None:
        if worker.line is not None:
            self._selector.unregister(worker.line)
            worker.line.close()
            worker.line = None

    def _obey(self, worker: _Worker, word: str, text: str) -> None:
        if word == "listening":
            worker.listens = True
            self._welcome(text)
        elif word != "failed":
            self._tell(word, but=worker)
        elif self._up:
            log.error("worker %d cannot serve: %s", worker.index, text)
        elif not self._ending:
            self._end(text)

    def _welcome(self, url: str) -> None:
        """Go on with the start: the others follow the first one, and the news follows the last."""
        if self._up or self._ending:
            return
        for worker in self._workers:
            if not worker.lives:
                worker.due = monotonic()
        if all(worker.listens for worker in self._workers):
            self._up = True
            self._listening(url)

    def _tell(self, word: str, *, but: _Worker | None = None) -> None:
        for worker in self._workers:
            if worker.line is not None and worker is not but:
                with suppress(OSError):  # it hangs, or is dying
                    worker.line.send(f"{word}\n".encode())

    # --- deaths

    def _bury(self) -> None:
        """Reap whoever has ended; as the first process of a container, also children of workers that died."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                for worker in self._workers:
                    if worker.pid == ended[0]:
                        self._lost(worker, os.waitstatus_to_exitcode(ended[1]))

    def _lost(self, worker: _Worker, status: int) -> None:
        self._hear(worker)  # its last words
        self._hang_up(worker)
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        steady = monotonic() - worker.began >= _STEADY_S
        worker.short_lives = 0 if steady else worker.short_lives + 1
        worker.false_starts = 0 if worker.listens else worker.false_starts + 1
        worker.pid, worker.listens = 0, False
        self._gone(worker.index)
        if self._ending:
            if status not in (0, -signal.SIGTERM) and not self._problem:
                self._problem = f"Worker {worker.index} did not end in good order ({how})."
        elif worker.false_starts > _MOST_FALSE_STARTS:
            self._end(f"Worker {worker.index} ended {worker.false_starts} times before it could serve ({how}).")
        else:
            pause_s = 0 if steady else min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(worker.short_lives - 1, 16))
            worker.due = monotonic() + pause_s
            log.error("worker %d ended (%s); another takes its place", worker.index, how)
