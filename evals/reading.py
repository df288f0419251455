"""Files that people write, read with what is wrong with them told in the words of configurations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import yaml
from pydantic import BaseModel, ValidationError

from router.config.problems import dotted, schema_problems


class Unreadable(ValueError):
    """The message names the file, and says why."""


def text_in(path: Path) -> str:
    """UTF-8, with or without a mark of bytes at its head. Raises Unreadable."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path}: not UTF-8: {error.reason}") from error


def yaml_in(path: Path) -> Any:
    """Raises Unreadable."""
    try:
        return yaml.safe_load(text_in(path))
    except yaml.YAMLError as error:
        raise Unreadable(f"{path}: not YAML: {error}") from error


def lines_in(path: Path) -> Iterator[tuple[str, str]]:
    """Each line that is not blank, after where it is: `path:number`. Raises Unreadable."""
    # Not splitlines(): a JSON string may hold U+2028 and its like.
    for number, line in enumerate(text_in(path).split("\n"), 1):
        if line.strip():
            yield f"{path}:{number}", line


def faults_in(error: ValidationError, data: Any, shape: type[BaseModel], where: str) -> Iterator[str]:
    """A line for each thing that pydantic found in `data`, which should have had this `shape`.

    `data` may be the text of a JSON object.
    """
    if isinstance(data, str):
        try:
            data = orjson.loads(data)
        except orjson.JSONDecodeError:
            data = None
    found = list(schema_problems(error, data, shape))
    deeper = {place[:depth] for place, _, _ in found for depth in range(1, len(place))}
    for place, message, advice in found:
        if place in deeper:
            continue  # of a list whose entries are wrong pydantic says that it is empty, too
        yield ": ".join(filter(None, (where, dotted(place), f"{message}. {advice}" if advice else message)))
