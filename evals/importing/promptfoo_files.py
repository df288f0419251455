"""The files that a promptfoo configuration names: prompts, tests, expectations.

The non-obvious decision: none outside of the configuration's folder is read. The configuration may be a stranger's,
and what it names goes to a model with the first run.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from evals.importing.bounded_yaml import parsed
from evals.importing.draft import Unusable, read_text

_FILE = "file://"
_BARE = re.compile(r"[\w./*-]+\.(?:txt|md|json|jsonl|ya?ml|csv|j2|[cm]?[jt]s|py)")
_APART = re.compile(r"\n---\s*\n")
_EXPECTED = re.compile(r"__expected\d*")
_MOST_FIELD = 1 << 20
_PREFIXED = re.compile(
    r"(?P<type>not-[a-z-]+|[a-z][a-z-]*)(?:\((?P<threshold>[\d.]+)\))?(?::\s*(?P<value>.*))?", re.DOTALL
)
_WITHOUT_VALUE = ("is-json", "contains-json", "is-valid-openai-function-call", "is-valid-openai-tools-call")
_RUBRICS = ("grade", "llm-rubric")
_CODE = ("fn", "eval", "javascript", "python")
_LISTS = ("contains-all", "contains-any", "icontains-all", "icontains-any")
_KNOWN = {
    "equals", "contains", "icontains", "regex", "starts-with", "similar", "levenshtein", "factuality",
    "latency", "cost", "model-graded-closedqa", "answer-relevance", "rouge-n", "bleu",
    "perplexity", "is-html", "is-xml", "is-sql", "webhook",
    *_WITHOUT_VALUE, *_RUBRICS, *_CODE, *_LISTS,
}  # fmt: skip


class Files:
    """Those of one folder. `seen` are those that were read, in order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self.seen: list[Path] = []

    def read(self, path: Path) -> str:
        """Raises Unusable."""
        text = read_text(path)
        if path not in self.seen:
            self.seen.append(path)
        return text

    def load(self, reference: str, place: str) -> Any:
        """The data in a YAML or JSON file. Raises Unusable."""
        return self.data(self._named(reference, place)[0])

    def data(self, path: Path) -> Any:
        """What a YAML or JSON file holds. Raises Unusable."""
        text = self.read(path)
        if path.suffix != ".json":
            return parsed(text, str(path))
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise Unusable(f"{path}: not JSON: {error}") from error

    def prompts(self, said: str, place: str) -> list[tuple[str, str]]:
        """The prompts that `said` is, or that the file has which it names; with their places. Raises Unusable."""
        if not said.startswith(_FILE) and not (_BARE.fullmatch(said.strip()) and "\n" not in said):
            return [(place, said)]
        found: list[tuple[str, str]] = []
        for path in self._named(said, place):
            if path.suffix not in (".txt", ".md", ".json", ".yaml", ".yml", ".j2"):
                raise Unusable(f"{place}: {path.name} makes prompts by a program; write them out")
            text = self.read(path)
            if path.suffix in (".yaml", ".yml", ".json"):
                found.append((path.name, text))
            else:
                found += [(path.name, part.strip()) for part in _APART.split(text) if part.strip()]
        return found

    def tests(self, said: Any, place: str, left: list[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Each test with its place. What cannot be read as one goes to `left`. Raises Unusable."""
        if isinstance(said, str):
            if not said.startswith(_FILE) and not _BARE.fullmatch(said):
                left.append(f"{place}: {said}: not taken over; save it as CSV")
                return
            for path in self._named(said, place):
                yield from self._tests_in(path, left)
        elif isinstance(said, list):
            for at, one in enumerate(said):
                yield from self.tests(one, f"{place}[{at}]", left)
        elif isinstance(said, dict) and not ("path" in said and len(said) <= 2):
            yield place, said
        elif said is not None:
            left.append(f"{place}: not taken over; it is no test")

    def _tests_in(self, path: Path, left: list[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        if path.suffix == ".csv":
            yield from _rows(self.read(path), path.name, left)
        elif path.suffix == ".jsonl":
            for number, line in enumerate(self.read(path).split("\n"), 1):
                if line.strip():
                    try:
                        yield from self.tests(orjson.loads(line), f"{path.name}:{number}", left)
                    except orjson.JSONDecodeError as error:
                        raise Unusable(f"{path.name}:{number}: not JSON: {error}") from error
        elif path.suffix in (".yaml", ".yml", ".json"):
            yield from self.tests(self.data(path), path.name, left)
        else:
            left.append(f"{path.name}: not taken over; it makes tests by a program")

    def _named(self, reference: str, place: str) -> list[Path]:
        name = reference.removeprefix(_FILE).strip()
        try:
            found = sorted(self._folder.glob(name)) if "*" in name else [self._folder / name]
            inside = [path for path in found if path.resolve().is_relative_to(self._folder)]
        except (ValueError, NotImplementedError, OSError) as error:
            raise Unusable(f"{place}: {name!r} names no file: {error}") from error
        if len(inside) < len(found):
            raise Unusable(f"{place}: {name} is outside of the configuration's folder; move it into it")
        if not inside:
            raise Unusable(f"{place}: no file is named {name}")
        return inside


def _rows(text: str, name: str, left: list[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The tests of a CSV file: columns are variables, `__expected` and the like what promptfoo says they are."""
    csv.field_size_limit(_MOST_FIELD)
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        for row in reader:
            place = f"{name}:{reader.line_num}"
            test: dict[str, Any] = {"vars": {}, "metadata": {}, "assert": [], "options": {}}
            for column, value in row.items():
                if column is None or value is None:
                    left.append(f"{place}: has more or fewer values than the file has columns")
                    continue
                _put(test, column.strip(), value, place, left)
            yield place, test
    except csv.Error as error:
        raise Unusable(f"{name}:{reader.line_num}: not CSV: {error}") from error


def _put(test: dict[str, Any], column: str, value: str, place: str, left: list[str]) -> None:
    if not column.startswith("__"):
        test["vars"][column] = value
    elif not value.strip():
        return
    elif _EXPECTED.fullmatch(column):
        test["assert"].append(_assertion(value.strip()))
    elif column.startswith("__metadata:"):
        test["metadata"][column.removeprefix("__metadata:").removesuffix("[]")] = value
    elif column == "__description":
        test["description"] = value
    elif column in ("__prefix", "__suffix"):
        test["options"][column.removeprefix("__")] = value
    else:
        left.append(f"{place}.{column}: not taken over")


def _assertion(text: str) -> dict[str, Any]:
    """`type(threshold): value`; what begins with no type is the answer itself."""
    match = _PREFIXED.fullmatch(text)
    kind = match["type"].removeprefix("not-") if match else ""
    if match is None or kind not in _KNOWN or (match["value"] is None and kind not in _WITHOUT_VALUE):
        return {"type": "equals", "value": text}
    value: Any = match["value"]
    if kind in _LISTS:
        value = [part.strip() for part in value.split(",")]
    named = {"grade": "llm-rubric", "fn": "javascript", "eval": "javascript"}.get(match["type"], match["type"])
    found = {"type": named, "value": value}
    return found | ({"threshold": float(match["threshold"])} if match["threshold"] else {})
