"""OpenAI's evals, as a suite: the open-source framework's, and those of the platform that ends on 30 November 2026.

The non-obvious decision: files are told apart by what is in them, not by their names. A sample with `input` and
`ideal` is the framework's, one with `item` the platform's; what has `testing_criteria` or `data_source` says how
those are judged and asked, and what has a `class` how the framework's are.

Formats: github.com/openai/evals (docs/build-eval.md, evals/elsuite/basic), platform.openai.com/docs/api-reference
(evals, graders).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from evals.cases import Case
from evals.importing.bounded_yaml import parsed
from evals.importing.draft import Draft, Unusable, read_text, source
from evals.importing.expectation import Expectation, scorers_of
from evals.importing.openai_graders import grade, grade_as
from evals.importing.templates import Untranslatable, rendered_in

_QUESTIONS = ("messages", "input", "question", "prompt", "query")
"""Fields of an item that hold what is asked, where no run says what is."""
_ADVICE = (
    "Give the samples (JSON lines with `input` and `ideal`, or with `item`), and beside them what says how they "
    "are judged: the registry's YAML, or the eval's and a run's JSON as the API returns them."
)


@dataclass(slots=True)
class _Read:
    """`samples` with their places. `classes` by the samples' file name, "" where there is only one."""

    samples: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)
    classes: dict[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)
    criteria: list[Mapping[str, Any]] = field(default_factory=list)
    template: list[Any] | None = None
    name: str = ""
    seen: list[Path] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def read_openai_evals(paths: Sequence[Path], judge: str = "") -> Draft:
    """The suite that the files amount to; a registry's YAML finds its samples beside it. Raises Unusable.

    `judge` is the model that judges, instead of the one that an eval names.
    """
    read = _Read()
    for path in paths:
        _read(path, read)
    if not read.samples:
        raise Unusable(f"No samples in {', '.join(path.name for path in paths)}. {_ADVICE}")
    cases, expectations = _made(read, judge)
    scorers, quality, notes = scorers_of(expectations)
    left = list(dict.fromkeys(read.left))
    told = [f"{len(left)} things were not taken over; import.json lists them."] if left else []
    return Draft(
        name=read.name or paths[0].stem,
        description=f"From OpenAI's evals: {', '.join(path.name for path in read.seen)}.",
        scorers=scorers,
        quality=quality,
        cases=cases,
        left=left,
        notes=[*notes, *told],
        lineage={
            "from": "openai-evals",
            "sources": [source(path) for path in read.seen],
            "settings": {"judge": judge},
        },
    )


def _made(read: _Read, judge: str) -> tuple[list[Case], list[Expectation]]:
    cases: list[Case] = []
    expectations: list[Expectation] = []
    several = len({file for _, file, _ in read.samples}) > 1
    for place, file, sample in read.samples:
        expectation = Expectation()
        try:
            if isinstance(sample.get("item"), dict):
                messages = _of_the_platform(read, sample["item"], expectation, judge)
            else:
                messages = _of_the_framework(read, sample, file, expectation)
        except Untranslatable as error:
            read.left.append(f"{place}: left out: {error}")
            continue
        if not expectation.kinds:
            read.left.append(f"{place}: left out: nothing can judge it")
            continue
        cases.append(_case(place, messages, expectation, file if several else "all"))
        expectations.append(expectation)
    return cases, expectations


def _read(path: Path, read: _Read) -> None:
    if path in read.seen:
        return
    read.seen.append(path)
    text = read_text(path)
    if path.suffix in (".yaml", ".yml"):
        _registry(path, parsed(text, str(path)), read)
        return
    try:
        _value(orjson.loads(text), f"{path.name}:1" if path.suffix == ".jsonl" else path.name, path.stem, read)
    except orjson.JSONDecodeError:
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    value = orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    raise Unusable(f"{path}:{number}: not JSON: {error}") from error
                _value(value, f"{path.name}:{number}", path.stem, read)


def _value(value: Any, place: str, file: str, read: _Read) -> None:
    """A sample, an eval, a run, a list of any of them, or an object that holds some of them."""
    if isinstance(value, list):
        for at, one in enumerate(value):
            _value(one, f"{place}[{at}]", file, read)
    elif not isinstance(value, dict):
        raise Unusable(f"{place}: no JSON object. {_ADVICE}")
    elif isinstance(value.get("item"), dict) or ("input" in value and "ideal" in value):
        read.samples.append((place, file, value))
    elif isinstance(value.get("testing_criteria"), list) or isinstance(value.get("data_source"), dict):
        criteria = value.get("testing_criteria") or []
        read.criteria += [one for one in criteria if isinstance(one, dict)]
        read.name = read.name or str(value.get("name") or "")
        asked = value.get("data_source")
        if isinstance(asked, dict):
            _data_source(asked, place, file, read)
    else:
        inner = [(key, one) for key, one in value.items() if key in ("eval", "run", "runs", "data", "items")]
        if not inner:
            read.left.append(f"{place}: neither a sample nor an eval nor a run")
        for key, one in inner:
            _value(one, f"{place}.{key}", file, read)


def _data_source(asked: Mapping[str, Any], place: str, file: str, read: _Read) -> None:
    """What a run asked, and of which items."""
    messages = asked.get("input_messages")
    template = messages.get("template") if isinstance(messages, dict) else None
    if isinstance(template, list):
        read.template = template
    held = asked.get("source")
    content = held.get("content") if isinstance(held, dict) else None
    if isinstance(content, list):
        _value(content, f"{place}.data_source.source.content", file, read)
    elif isinstance(held, dict):
        read.left.append(f"{place}.data_source.source: its items are elsewhere ({held.get('type')}); download them")


def _registry(path: Path, value: Any, read: _Read) -> None:
    if not isinstance(value, dict):
        raise Unusable(f"{path}: no registry of evals. {_ADVICE}")
    for name, spec in value.items():
        args = spec.get("args") if isinstance(spec, dict) else None
        if not isinstance(spec, dict) or not isinstance(spec.get("class"), str):
            continue  # such as the entry that says which of an eval's versions is meant
        args = args if isinstance(args, dict) else {}
        samples = str(args.get("samples_jsonl", ""))
        found = _samples(path, samples)
        kind = spec["class"].rpartition(":")[2]
        if found is None:
            read.left.append(f"{path.name}: {name}: there is no {samples or '`samples_jsonl`'} beside it")
            # Samples that are given as a file of their own.
            read.classes.setdefault(Path(samples).stem, (kind, args))
            read.classes.setdefault("", (kind, args))
            continue
        read.classes[found.stem] = (kind, args)
        read.name = read.name or str(name).partition(".")[0]
        _read(found, read)


def _samples(path: Path, name: str) -> Path | None:
    """Beside the YAML, or where the framework keeps them: in `data` beside the folder of the YAML."""
    for folder in (path.parent, path.parent / "data", path.parent.parent / "data"):
        found = folder / name
        if name and found.is_file() and found.resolve().is_relative_to(folder.resolve()):
            return found
    return None


def _of_the_framework(
    read: _Read, sample: Mapping[str, Any], file: str, expectation: Expectation
) -> list[dict[str, Any]]:
    known = read.classes.get(file) or read.classes.get("")
    if known is None:
        read.left.append(
            f"{file}: no registry's YAML says how it is judged; an answer must begin with an ideal one"
        )
    kind, args = known or ("Match", {})
    if args.get("num_few_shot"):
        read.left.append(f"{file}: num_few_shot: its examples are not put in; write them into `input`")
    if kind == "FuzzyMatch":
        read.left.append(
            f"{file}: FuzzyMatch: an answer that is only a part of the ideal one passed there, not here"
        )
    grade_as(kind, args, sample["ideal"], expectation)
    return _asked(sample["input"])


def _of_the_platform(
    read: _Read, item: Mapping[str, Any], expectation: Expectation, judge: str
) -> list[dict[str, Any]]:
    for at, criterion in enumerate(read.criteria):
        where = f"testing_criteria[{at}]"
        try:
            read.left += [f"{where}{told}" for told in grade(criterion, item, expectation, judge)]
        except Untranslatable as error:
            read.left.append(f"{where} ({criterion.get('type')}): {error}")
    if read.template is not None:
        return _asked(rendered_in(read.template, {"item": item, **item}))
    found = next((item[key] for key in _QUESTIONS if item.get(key)), None)
    if found is None:
        raise Untranslatable(
            f"what is asked? It has none of {', '.join(_QUESTIONS)}; give a run's JSON, which has the template"
        )
    return _asked(found)


def _asked(said: Any) -> list[dict[str, Any]]:
    """Messages. One that ends with instructions, as many of the framework's samples do, is a user's."""
    if isinstance(said, str):
        return [{"role": "user", "content": said}]
    if not isinstance(said, list) or not said:
        raise Untranslatable("it asks nothing")
    messages = []
    for turn in said:
        if not isinstance(turn, dict) or not isinstance(turn.get("role"), str):
            raise Untranslatable("a message has no role")
        messages.append({key: value for key, value in turn.items() if key != "type"} | {"content": _content(turn)})
    if messages[-1]["role"] in ("system", "developer"):
        messages[-1]["role"] = "user"
    if messages[-1]["role"] not in ("user", "tool"):
        raise Untranslatable("it does not end with what a user says")
    return messages


def _content(turn: Mapping[str, Any]) -> str:
    content = turn.get("content")
    parts = content if isinstance(content, list) else [content]
    texts = [one.get("text") if isinstance(one, dict) else one for one in parts]
    if not all(isinstance(text, str) for text in texts):
        raise Untranslatable("a message holds more than text")
    return "\n".join(str(text) for text in texts)


def _case(place: str, messages: Sequence[Mapping[str, Any]], expectation: Expectation, segment: str) -> Case:
    return Case(
        id=place,
        messages=tuple(messages),
        expected=expectation.expected,
        segment=segment,
        cluster=place,
        metadata={},
    )
