"""What is put, written as a version's folder: its files and its card, there whole or not at all.

The non-obvious decision: it is written into a folder of another name, which is renamed once it is whole, and never
changed after that. Gigabytes take minutes to copy, and nobody shall wait for them: so that is done without the
registry's lock, and a lock on the folder itself tells what is being written from what a killed process left.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from secrets import token_hex
from typing import Any, TypeAlias

from contracts.artefacts import CARD, version_of_chunks
from registry.faults import NotAccepted
from registry.reading import chunks
from system.files import sync_folder, try_lock

Content: TypeAlias = bytes | Path
"""A file's bytes, or a file to copy, of which memory holds a few bytes at a time."""
LARGEST = 256 << 20
"""Bytes of an artefact that are held in memory: what is given as bytes, and the card."""
_NEW, _BROKEN = ".new-", ".broken-"


def contents_of(files: Mapping[str, Content], card: Mapping[str, Any]) -> dict[str, Content]:
    """Files and card, as they will lie in the version's folder. Raises NotAccepted."""
    if CARD in files or not files:
        raise NotAccepted(f"Put at least one file, and none that is called {CARD}: that is written from the card.")
    contents = {**files, CARD: canonical(card)}
    if sum(len(content) for content in contents.values() if isinstance(content, bytes)) > LARGEST:
        raise NotAccepted(f"The artefact has more than {LARGEST >> 20} MB in memory. Put its large files by path.")
    for content in contents.values():
        if isinstance(content, Path) and not content.is_file():
            raise NotAccepted(f"{content} is no file that could be put. Name one that is there.")
    return contents


def require_room(folder: Path, contents: Mapping[str, Content]) -> None:
    """Raises NotAccepted where the disk of `folder`, which need not exist yet, has no room for them."""
    needed = sum(_size(content) for content in contents.values())
    free = shutil.disk_usage(next(path for path in (folder, *folder.absolute().parents) if path.exists())).free
    if needed > free:
        raise NotAccepted(
            f"The artefact needs {needed / 1e9:.3g} GB, and the disk of {folder} has {free / 1e9:.3g} GB left. "
            "Make room there, or put a smaller one."
        )


def version_of_contents(contents: Mapping[str, Content]) -> str:
    """Reads the files. Raises NotAccepted where one is being written to, and OSError."""
    return _version({name: (_size(content), _chunks(content)) for name, content in contents.items()})


class Draft:
    """A folder in `folder` that is being written, gone at the end of its `with` unless it was placed.

    To be made under the registry's lock.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"{_NEW}{token_hex(8)}"
        self._path.mkdir(mode=0o700)
        self._fd = _opened(self._path)
        try_lock(self._fd)

    def __enter__(self) -> Draft:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path, ignore_errors=True)
        os.close(self._fd)

    def write(self, contents: Mapping[str, Content], version: str) -> None:
        """Copy and sync them. Raises NotAccepted where they are `version` no more, and OSError."""
        copies = {name: (_size(one), _copied(one, self._path / name)) for name, one in contents.items()}
        if _version(copies) != version:
            raise NotAccepted(_CHANGING)
        sync_folder(self._path)

    def place(self, target: Path) -> None:
        """Let it be `target`, instead of a damaged one where there is one. Under the registry's lock."""
        broken = self._path.with_name(f"{_BROKEN}{token_hex(8)}")
        if target.exists():
            target.rename(broken)
        self._path.rename(target)
        sync_folder(target.parent)
        shutil.rmtree(broken, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what processes left that were killed. Under the registry's lock."""
    for left in (*folder.glob(f"{_NEW}*"), *folder.glob(f"{_BROKEN}*")):
        fd = _opened(left)
        try:
            if try_lock(fd):
                shutil.rmtree(left)
        finally:
            os.close(fd)


def canonical(card: Mapping[str, Any]) -> bytes:
    """The same bytes for the same content, whatever the order of the keys. Raises NotAccepted."""
    try:
        return json.dumps(dict(card), sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise NotAccepted(f"A card is plain JSON, without NaN: {error}.") from error


_CHANGING = "A file changed while it was being put. Put it again once nobody writes to it."


def _version(contents: Mapping[str, tuple[int, Iterator[bytes]]]) -> str:
    try:
        return version_of_chunks(contents)
    except ValueError as error:
        raise NotAccepted(_CHANGING) from error


def _copied(content: Content, target: Path) -> Iterator[bytes]:
    """The bytes, each once it was written."""
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
    with os.fdopen(fd, "wb") as file:
        for chunk in _chunks(content):
            file.write(chunk)
            yield chunk
        file.flush()
        os.fsync(fd)


def _chunks(content: Content) -> Iterator[bytes]:
    return chunks(content) if isinstance(content, Path) else iter((content,))


def _size(content: Content) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


def _opened(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
