"""A suite that was made of something else, on its way to disk.

The non-obvious decision: it is written beside its place, read back as any suite is, and only then moved there. So
either there is a whole suite that runs, or nothing, and a folder that has something in it is never touched.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import yaml

from evals.cases import Case
from evals.suite import Suite, SuiteError, read_suite, written

LINEAGE = "import.json"
MOST_BYTES = 64 << 20
"""Of a file that is read whole; a suite that large is no longer something that people can have read."""


class Unusable(ValueError):
    """Nothing can be made of it; the message says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """`left` names each thing that could not be taken over, with its place; `notes` are what a reader must know."""

    name: str
    description: str
    scorers: Sequence[Mapping[str, Any]]
    quality: str
    cases: Sequence[Case]
    groups: Sequence[str] = ()
    left: Sequence[str] = ()
    notes: Sequence[str] = ()
    lineage: Mapping[str, Any] = field(default_factory=dict)
    """Where it is from: sources with their hashes, settings, counts."""


def read_bytes(path: Path) -> bytes:
    """Raises Unusable where that cannot be, or where the file is larger than MOST_BYTES."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}") from error
    if len(data) > MOST_BYTES:
        raise Unusable(f"{path}: larger than {MOST_BYTES >> 20} MiB; take a part of it")
    return data


def read_text(path: Path) -> str:
    """UTF-8, with or without a mark at its beginning. Raises Unusable."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unusable(f"{path}: not UTF-8: {error.reason} at byte {error.start:,}; save it as UTF-8") from error


def source(path: Path) -> dict[str, Any]:
    """A file as the lineage names it: without its folder, which is nobody else's business."""
    return {"name": path.name, "sha256": sha256(read_bytes(path)).hexdigest()}


def write(folder: Path, draft: Draft) -> Suite:
    """The suite in `folder`, with `import.json` beside it. Raises Unusable; `folder` is then as it was."""
    check_free(folder)
    if not draft.cases:
        raise Unusable("\n".join(["There is nothing that could become a case.", *draft.left]))
    new = folder.parent / f".{folder.name}.{os.getpid()}.new"
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir(parents=True)
        (new / "suite.yaml").write_text(_head(draft), encoding="utf-8")
        (new / "cases.jsonl").write_bytes(b"".join(map(written, _named_apart(draft.cases))))
        suite = read_suite(new)
        told = {**draft.lineage, "left": draft.left, "notes": draft.notes, "suite_version": suite.version}
        (new / LINEAGE).write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        new.replace(folder)
    except SuiteError as error:
        problems = [problem.removeprefix(f"{new}/") for problem in error.problems]
        raise Unusable("\n".join(["What was read makes no suite:", *problems])) from error
    except TypeError as error:  # of orjson: half a surrogate pair
        raise Unusable(f"a text has characters that are none ({error})") from error
    except OSError as error:
        raise Unusable(f"{folder}: {error.strerror}") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return read_suite(folder)


def check_free(folder: Path) -> None:
    """Raises Unusable where `folder` is something already, other than an empty folder."""
    if folder.is_symlink() or (folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))):
        raise Unusable(f"{folder} exists already, and nothing is overwritten: name another folder")


def _named_apart(cases: Sequence[Case]) -> Iterator[Case]:
    """Two files of one name, or two prompts of one label, may make two cases of one id."""
    often: Counter[str] = Counter()
    for case in cases:
        often[case.id] += 1
        yield case if often[case.id] == 1 else replace(case, id=f"{case.id} ({often[case.id]})")


def _head(draft: Draft) -> str:
    said: dict[str, Any] = {"name": draft.name, "description": draft.description, "revision": "1"}
    said["scorers"] = [one["kind"] if len(one) == 1 else dict(one) for one in draft.scorers]
    if len(draft.scorers) > 1:
        said["quality"] = draft.quality
    if draft.groups:
        said["groups"] = list(draft.groups)
    told = [*draft.notes, f"{LINEAGE} says where the cases are from. The version is a hash of scorers and cases."]
    remarks = "".join(f"# {line}\n" for note in told for line in note.split("\n"))
    return remarks + yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=110)
