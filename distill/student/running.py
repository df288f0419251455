"""Stages one after the other in a work folder, of which none is done twice and every one can be killed.

The non-obvious decision: what a stage made is known by what it was made from. `done.json` holds a hash over the
stage's settings and all it read, and one of each file it wrote. So the same command always goes on where it has to:
after a kill within the stage, after a changed setting at the first stage that this matters to, and never on files
that somebody damaged or exchanged.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from system.files import replace_file, try_lock

DONE, BEGUN, MARK, LOCK, LOG = "done.json", "stage.json", "distill.json", ".lock", "log.txt"
_LAYOUT = 1
"""Of `done.json` and of what a fingerprint is taken of; another one is no one's, and the stage is done again."""

Tell = Callable[[str, int, int], object]
"""What is being done, how much of it is done, and of how much; 0 where nobody knows."""
State = Literal["done", "changed", "damaged", "broken off", "new"]


class StageMissing(Exception):
    """A stage before the one that was asked for is not done. The message names it."""


class FolderRefused(Exception):
    """The work folder is somebody else's, or in use. The message says what to do."""


class Done(Struct, frozen=True, kw_only=True):
    """`files` are hashes of what the stage wrote, by path within its folder; `summary` what came of it."""

    fingerprint: str
    files: Mapping[str, str]
    seconds: float
    summary: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """`settings` and `sources` (files, or folders with all that is in them) with what the stages `after` wrote are
    all that its outcome depends on; of a stage that may be one file or folder alone, such as `train/model`. `work`
    fills the folder it is given and says what came of it, as JSON has it; it may be killed whenever, and is called
    again then. `keeps`: it knows by itself what of an earlier work holds.
    """

    name: str
    does: str
    settings: Mapping[str, Any]
    sources: Sequence[Path] = ()
    after: Sequence[str] = ()
    work: Callable[[Path, Tell], Mapping[str, Any]]
    keeps: bool = False


class Outlook(Struct, frozen=True, kw_only=True):
    """What a stage would do now. `done` is what it did, where it did."""

    name: str
    state: State
    done: Done | None = None
    why: str = ""


class Carried(Struct, frozen=True, kw_only=True):
    """A stage that was carried out, or skipped since it was `done` before."""

    name: str
    skipped: bool
    seconds: float
    summary: Mapping[str, Any]


def carry_out(
    stages: Sequence[Stage], folder: Path, tell: Tell, *, only: str = "", say: Callable[[str], object] = print
) -> Iterator[Carried]:
    """Carry out what is not done, in order; with `only` that stage alone.

    Raises FolderRefused, StageMissing (with `only`, also where what the stage reads was changed since it was
    written), and what a stage raises: then what was done before it is kept.
    """
    with held(folder):
        for stage in stages:
            if only and stage.name != only:
                continue
            if only:
                _check_before(stage, folder)
            now = outlook(stage, folder)
            if now.state == "done" and now.done is not None:
                say(f"{stage.name}: nothing to do, since nothing it reads has changed.")
                yield Carried(name=stage.name, skipped=True, seconds=now.done.seconds, summary=now.done.summary)
                continue
            say(f"{stage.name}: {now.why or f'{stage.does}.'}")
            carried = _carried(stage, folder, tell, now.state)
            say(f"{stage.name}: done, in {carried.seconds:,.1f} s.")
            yield carried


def outlook(stage: Stage, folder: Path) -> Outlook:
    """What the stage would do now. Raises StageMissing where one before it has to be done first."""
    here, wanted = folder / stage.name, fingerprint_of(stage, folder)
    done = read_done(here)
    if done is None:
        if _begun(here) == wanted:
            return Outlook(name=stage.name, state="broken off", why="it was broken off, and goes on.")
        why = "it was broken off, but what it reads has changed since: it begins anew." if _begun(here) else ""
        return Outlook(name=stage.name, state="new", why=why)
    if done.fingerprint != wanted:
        why = "what it reads or its settings have changed: it is done again."
        return Outlook(name=stage.name, state="changed", done=done, why=why)
    if damaged := _damaged(done.files, here):
        why = f"{damaged[0]} is not as it was written{_and_more(damaged)}: it is done again."
        return Outlook(name=stage.name, state="damaged", done=done, why=why)
    return Outlook(name=stage.name, state="done", done=done)


def _check_before(stage: Stage, folder: Path) -> None:
    """Raises StageMissing where what it reads of the stages before it is not as they wrote it."""
    for name, files in _before(stage, folder):
        if damaged := _damaged(files, folder / name):
            more = _and_more(damaged)
            raise StageMissing(
                f"{stage.name} needs {name}/{damaged[0]}, which is not as it was written{more}: weir distill {name}"
            )


def _before(stage: Stage, folder: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The stages before it, with hashes of those of their files that it reads. Raises StageMissing."""
    for read in stage.after:
        name, _, part = read.partition("/")
        done = read_done(folder / name)
        if done is None:
            raise StageMissing(f"{stage.name} needs what {name} makes, which is not done yet: weir distill {name}")
        yield (
            name,
            {
                file: digest
                for file, digest in done.files.items()
                if part in ("", file) or file.startswith(f"{part}/")
            },
        )


def _damaged(files: Mapping[str, str], here: Path) -> Sequence[str]:
    return sorted(name for name, digest in files.items() if _digest_of(here / name) != digest)


def fingerprint_of(stage: Stage, folder: Path) -> str:
    """A hash of all that the stage's outcome depends on. Raises StageMissing."""
    before = dict(zip(stage.after, (files for _, files in _before(stage, folder)), strict=True))
    sources = [{str(file.relative_to(each)): _digest_of(file) for file in _files(each)} for each in stage.sources]
    about = [_LAYOUT, stage.name, stage.settings, before, sources]
    return hashlib.sha256(msgspec.json.encode(about, order="deterministic")).hexdigest()


def read_done(here: Path) -> Done | None:
    """None where the stage is not done, or what says so cannot be read."""
    try:
        return msgspec.json.decode((here / DONE).read_bytes(), type=Done)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The work folder, made where it is not there, for this process alone. Raises FolderRefused, OSError.

    It is its owner's alone: what children and answers leave in it is what a tenant's users wrote.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    mark = folder / MARK
    if not mark.exists() and any(entry.name not in (LOCK, f"{MARK}.new") for entry in folder.iterdir()):
        raise FolderRefused(f"{folder} holds other things: name an empty folder, or a new one, with --out.")
    fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not try_lock(fd):
            raise FolderRefused(f"Another `weir distill` works in {folder}: wait for it, or name another --out.")
        if not mark.exists():
            replace_file(mark, msgspec.json.encode({"layout": _LAYOUT}))
        yield
    finally:
        os.close(fd)


def _carried(stage: Stage, folder: Path, tell: Tell, state: State) -> Carried:
    here, fingerprint, begun = folder / stage.name, fingerprint_of(stage, folder), time.monotonic()
    if state != "broken off":
        # In this order: killed between any two of them, the stage is still known to begin anew.
        for name in (BEGUN, DONE):
            (here / name).unlink(missing_ok=True)
        if here.exists() and not (stage.keeps and state != "damaged"):
            shutil.rmtree(here)
    here.mkdir(exist_ok=True)
    replace_file(here / BEGUN, msgspec.json.encode(fingerprint))
    tell(stage.does, 0, 0)
    summary = stage.work(here, tell)
    seconds = round(time.monotonic() - begun, 3)
    files = {str(file.relative_to(here)): _digest_of(file) for file in _files(here)}
    written = Done(fingerprint=fingerprint, files=files, seconds=seconds, summary=summary)
    replace_file(here / DONE, msgspec.json.format(msgspec.json.encode(written, order="deterministic"), indent=1))
    return Carried(name=stage.name, skipped=False, seconds=seconds, summary=summary)


def _begun(here: Path) -> str:
    """The fingerprint of what was begun; empty where nothing was, or it cannot be read."""
    try:
        return msgspec.json.decode((here / BEGUN).read_bytes(), type=str)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return ""


def _files(source: Path) -> list[Path]:
    """The file, or those in the folder, but for what says how far a stage is, and the log, which is for people."""
    if not source.is_dir():
        return [source]
    return sorted(file for file in source.rglob("*") if file.is_file() and file.name not in (DONE, BEGUN, LOG))


def _digest_of(file: Path) -> str:
    """Empty where there is no such file."""
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


def _and_more(names: Sequence[str]) -> str:
    return f", and {len(names) - 1:,} more are not" if len(names) > 1 else ""
