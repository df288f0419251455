"""What is wrong with a configuration, told so that it can be mended: where, what, and what to do.

Pydantic's errors are put into our own words here. Values are never quoted, since any of them may be a secret that
was written in the wrong place; names of settings are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from router.config.schema import Config

Place = tuple[str | int, ...]
"""Where something stands in the file: names of settings and places in lists, from the top."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `path` is empty where it is the file as a whole; lines count from 1."""

    path: str
    line: int | None
    message: str
    advice: str = ""


class ConfigError(Exception):
    """A configuration that cannot be used. str() lists all its problems.

    `files` are the file itself and those it names, as far as they could be told: when one of them changes,
    another try may go better. `unreadable` says that the file itself could not be opened.
    """

    def __init__(
        self,
        path: Path,
        problems: Sequence[Problem],
        *,
        files: Sequence[Path] = (),
        unreadable: bool = False,
    ) -> None:
        super().__init__(path, problems)
        self.path = path
        self.problems = tuple(problems)
        self.files = tuple(files) or (path.absolute(),)
        self.unreadable = unreadable

    def __str__(self) -> str:
        count = "a problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        return "\n".join([f"{self.path} has {count}:", *map(_listed, self.problems)])


def _listed(problem: Problem) -> str:
    where = f"line {problem.line}" if problem.line else "-"
    told = f"{problem.path}: {problem.message}" if problem.path else problem.message
    margin = "\n" + " " * 13
    return f"  {where:<9}  {told}" + (margin + problem.advice if problem.advice else "")


def dotted(place: Place) -> str:
    """`place` for people: `routes.support.candidates[1]`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Advice for a name that is not one of `known`, or "" where none comes close."""
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"Did you mean '{close[0]}'?" if close else ""


def schema_problems(error: ValidationError, data: Any, shape: Any = Config) -> Iterator[tuple[Place, str, str]]:
    """(place, message, advice) of each error that pydantic found in `data`, which should have had this shape."""
    for fault in error.errors(include_url=False, include_input=False):
        place = _place(fault["loc"], data)
        yield place, *_told(fault, place, data, shape)


def _told(fault: Mapping[str, Any], place: Place, data: Any, shape: Any) -> tuple[str, str]:
    kind, context = fault["type"], fault.get("ctx", {})
    if fault["loc"][-1:] == ("[key]",) and kind == "string_type":
        return "a name must be text", "Put it in quotes."
    match kind:
        case "extra_forbidden":
            known = _settings_at(fault["loc"][:-1], shape)
            there = f"Known here: {', '.join(known)}." if known else ""
            return "is not a setting", did_you_mean(str(place[-1]), known) or there
        case "missing":
            return "is missing", ""
        case "union_tag_invalid":
            return f"the kind must be one of {context['expected_tags']}", ""
        case "union_tag_not_found":
            return "must be a mapping that says which `kind` it is", ""
        case "model_type" | "dict_type" | "model_attributes_type" | "tuple_type":
            form = "a list" if kind == "tuple_type" else "a mapping of settings"
            empty = _value_at(place, data) is None
            return f"must be {form}", "It is empty: fill it in, or leave it out." if empty else ""
        case "too_short":
            return "must not be empty", ""
        case "string_too_short":
            return "must not be blank", ""
        case _:
            message = str(fault["msg"]).removeprefix("Value error, ").partition(", unable to parse")[0]
            return message.replace("Input should be", "must be"), ""


def _place(loc: Place, data: Any) -> Place:
    """Where an error stands in the file: `loc` without the tags of unions that pydantic puts in between."""
    place: list[str | int] = []
    node = data
    for depth, part in enumerate(loc):
        last = depth == len(loc) - 1
        if part == "[key]":
            break
        if not last and (part not in node if isinstance(node, dict) else isinstance(part, str)):
            continue
        if isinstance(node, dict) and node.get("kind") == part and not (last and part in node):
            continue
        place.append(part)
        if not last:
            node = node[part]
    return tuple(place)


def _value_at(place: Place, data: Any) -> Any:
    for part in place:
        data = data[part]
    return data


def _settings_at(loc: Place, shape: Any) -> list[str]:
    """The settings of the section at `loc`, which may hold tags of unions."""
    section = _section(shape, loc)
    return [field.alias or name for name, field in section.model_fields.items()] if section else []


def _section(kind: Any, loc: Place) -> type[BaseModel] | None:
    """The section that `loc` leads to from a value of type `kind`, or None."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if loc and loc[0] == _tag(kind):
            loc = loc[1:]
        if not loc:
            return kind
        field = kind.model_fields.get(str(loc[0]))
        return _section(field.annotation, loc[1:]) if field else None
    arguments = get_args(kind)
    match get_origin(kind):
        case origin if origin is Annotated:
            return _section(arguments[0], loc)
        case origin if origin in (dict, Mapping):
            return _section(arguments[1], loc[1:])
        case origin if origin is tuple:
            return _section(arguments[0], loc[1:])
        case origin if origin in (Union, UnionType):
            members = [member for member in arguments if member is not NoneType]
            if len(members) > 1:
                members = [member for member in members if loc and loc[0] == _tag(member)]
            return _section(members[0], loc) if members else None
    return None


def _tag(kind: Any) -> str:
    """What pydantic calls a member of a union in the places of errors."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    named = kind.model_fields.get("kind") if isinstance(kind, type) and issubclass(kind, BaseModel) else None
    tags = get_args(named.annotation) if named else ()
    return str(tags[0]) if tags else kind.__name__
