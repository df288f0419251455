"""A run on disk: what it is, the cases as they were asked, and a line for each answer.

The non-obvious decision: the cases are copied into the run, so that it can be read, compared and shown when the
suite has changed, by somebody who does not have it.

    run.json        the manifest
    cases.jsonl     the suite's cases at that time
    results.jsonl   a `Row` each, only ever appended to; the last one of a key counts
    summary.json    figures and intervals, once it has ended
    report.html     the same for people
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from evals.cases import Case
from evals.records import Manifest, Row
from evals.suite import SuiteError, read_cases, written
from system.files import replace_file

MANIFEST, CASES, RESULTS, SUMMARY, PAGE = "run.json", "cases.jsonl", "results.jsonl", "summary.json", "report.html"

SHARED = 0o666
"""Runs and suites are for others to read, as far as their owner's umask goes."""

_ROWS = msgspec.json.Decoder(Row)
_ENCODER = msgspec.json.Encoder()


class RunUnusable(Exception):
    """A folder that holds no run, or a damaged one. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it was read. `rows` hold the last row of each key, in the order of the cases."""

    folder: Path
    manifest: Manifest
    cases: Mapping[str, Case]
    rows: Sequence[Row]

    @property
    def complete(self) -> bool:
        """Whether each case was asked as often as it should be."""
        return len(self.rows) == self.manifest.cases * self.manifest.repeats

    def is_in(self, folder: Path) -> bool:
        """Whether `folder` is this run's, whatever way it is written."""
        return self.folder.resolve() == folder.resolve()


def read_run(folder: Path) -> Run:
    """Raises RunUnusable."""
    manifest = read_manifest(folder)
    try:
        cases = {case.id: case for case in read_cases(folder / CASES)}
        found = {(row.case, row.repeat): row for row in rows_in(folder)}
    except SuiteError as error:
        raise RunUnusable(f"{folder} is damaged: {error}") from error
    order = {case: place for place, case in enumerate(cases)}
    known = [row for row in found.values() if row.case in order]
    return Run(folder, manifest, cases, sorted(known, key=lambda row: (order[row.case], row.repeat)))


def read_manifest(folder: Path) -> Manifest:
    """Raises RunUnusable."""
    path = folder / MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError as error:
        raise RunUnusable(f"{folder} holds no run: there is no {MANIFEST}. `weir eval run` makes one.") from error
    except OSError as error:
        raise RunUnusable(f"{path} cannot be read: {error}") from error
    except msgspec.MsgspecError as error:
        raise RunUnusable(
            f"{path} is damaged: {error}. Put a copy in its place, or begin anew: `weir eval run --fresh-start`."
        ) from error


def begin(folder: Path, manifest: Manifest, cases: Sequence[Case]) -> None:
    """Make the folder and write down what the run is. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / CASES, b"".join(map(written, cases)), SHARED)
    write_manifest(folder, manifest)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    replace_file(folder / MANIFEST, msgspec.json.format(_ENCODER.encode(manifest), indent=1) + b"\n", SHARED)


def rows_in(folder: Path) -> Iterator[Row]:
    """All lines, one at a time. The last line of a run that was killed may be torn: it is left out."""
    path = folder / RESULTS
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield _ROWS.decode(line)
            except msgspec.MsgspecError as error:
                if line.strip():
                    raise RunUnusable(
                        f"{path}, line {number}, is damaged: {error}. Delete the line, and resume the run."
                    ) from error


class Results:
    """`results.jsonl` open for appending; a torn last line is cut off first. One writer at a time."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / RESULTS).open("a+b")
        self._mend()

    def append(self, row: Row) -> None:
        """On disk, as far as the operating system is concerned, when this returns. Raises OSError."""
        self._file.write(_ENCODER.encode(row) + b"\n")
        self._file.flush()

    def close(self) -> None:
        os.fsync(self._file.fileno())
        self._file.close()

    def _mend(self) -> None:
        end = self._file.seek(0, os.SEEK_END)
        place = end
        while place:
            step = min(place, 1 << 16)
            self._file.seek(place - step)
            at = self._file.read(step).rfind(b"\n")
            if at >= 0:
                place = place - step + at + 1
                break
            place -= step
        if place != end:
            self._file.truncate(place)
            self._file.seek(0, os.SEEK_END)
