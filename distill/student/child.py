"""Runs a stage's heavy part in a Python of its own: torch and its like never get into Weir's.

The child reads what to do from a file, says how far it is as JSON lines on standard output, and what else it or
its libraries say goes to `log.txt`. The non-obvious decision: its environment need not have Weir, nor any of Weir's
libraries. `child_start.py`, run as a file, lends it the module's package and no search path, so that no library of
Weir's environment can take the place of one of its own.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from distill.student import child_start
from distill.student.running import LOG, Tell
from system.files import replace_file

ORDER = "order.json"
_OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""Variables about Weir's environment, which is not the child's."""
_LAST_WORDS = 2_000
"""Bytes at the end of the log that the reason of a failure is looked for in."""


class StageFailed(Exception):
    """A stage could not do its work. The message says why, and what to do; what was done before is kept."""


def run_child(python: Path, module: str, order: Mapping[str, Any], *, folder: Path, tell: Tell) -> None:
    """Run `module`, of Weir's, with `python`; its one argument is the path of a file with `order` as JSON.

    `tell` hears of each line `{"step": 3, "steps": 50}` that it prints; the line may have "what", and "loss". It is
    killed with all that it started when this is left, by Ctrl-C too, and when this process dies, however it dies:
    its standard input ends then, which `child_start.py` watches. Raises StageFailed, OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / ORDER, msgspec.json.encode(order))
    command = [str(python), "-P", child_start.__file__, str(_package_of(module)), module]
    with (folder / LOG).open("wb") as log:
        try:
            process = subprocess.Popen(  # noqa: S603 - the user's own interpreter, and a module of ours
                [*command, str((folder / ORDER).absolute())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for this process, which ends the child
                env={name: value for name, value in os.environ.items() if name not in _OURS},
            )
        except OSError as error:
            raise StageFailed(
                f"{python} cannot be run ({error.strerror}): name the Python of an environment that has what "
                f"{module} imports."
            ) from error
        try:
            _follow(cast("IO[bytes]", process.stdout), module.rpartition(".")[2], log, tell)
            status = process.wait()
        finally:
            _end(process)
    if status != 0:
        raise StageFailed(_why(module, status, folder / LOG))


def _package_of(module: str) -> Path:
    """The folder of the topmost package that the module is in."""
    name = module.partition(".")[0]
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"{name} is no package")
    return Path(next(iter(spec.submodule_search_locations)))


def _follow(stdout: IO[bytes], name: str, log: IO[bytes], tell: Tell) -> None:
    """Until the child has closed its output. What is no progress belongs into the log."""
    for line in stdout:
        try:
            said = msgspec.json.decode(line, type=dict[str, Any])
            done, of = int(said["step"]), int(said["steps"])
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, ValueError):
            log.write(line)
            log.flush()
            continue
        loss = said.get("loss")
        what = str(said.get("what") or name)
        tell(f"{what}, loss {loss:.3f}" if isinstance(loss, int | float) else what, done, of)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the child's group: it has nothing to lose, since it can be killed at any time."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.wait()


def _why(module: str, status: int, log: Path) -> str:
    words = log.read_bytes()[-_LAST_WORDS:].decode("utf-8", "replace").strip().splitlines()
    last = words[-1].strip() if words else "it said nothing"
    if status < 0:
        killed = "; out of memory, perhaps: take a smaller model or batch" if -status == signal.SIGKILL else ""
        return f"{module} was ended by {signal.Signals(-status).name}{killed}. Its last words: {last} ({log})"
    return f"{module} failed: {last} ({log})"
