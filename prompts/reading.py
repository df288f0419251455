"""Prompt files, as their authors write them.

A `.yaml` or `.yml` file has sections, demonstrations, slots and an output contract; any other is the prompt's text,
in which nothing is a slot. The non-obvious decision: of a text in YAML the last line end is not read, since YAML's
blocks (`text: |`) bring one along that nobody meant.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from prompts.prompt import SLOT, SLOT_NAME, BookedPrompt, Contract, Demonstration, Section
from prompts.render import MergeRule

YAML, TEXT = ".yaml", ".md"
_MOST_BYTES = 1 << 20
"""Of a file; as much as of a configuration. No model reads so long a prompt, and YAML takes seconds for it."""


class PromptUnusable(ValueError):
    """`problems` are all that is wrong with a prompt file, each with its place in it."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def _whole(text: str) -> str:
    """`text`, where it can be sent to anybody: in YAML one can write half a character. Raises ValueError."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        raise ValueError(f"{half} is half a character: write the whole one as it is") from None
    return text


WholeText = Annotated[str, AfterValidator(_whole)]
SlotName = Annotated[str, Field(pattern=f"^{SLOT_NAME}$")]
"""Of a place in a prompt that is filled with a value."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Section(_Part):
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^\S(.*\S)?$")]
    text: WholeText
    locked: bool = False


class _Demonstration(_Part):
    user: WholeText
    assistant: WholeText


class _Contract(_Part):
    text: WholeText = ""
    json_schema: dict[str, Any] | None = None
    matches: WholeText = ""
    never_matches: WholeText = ""
    most_words: Annotated[int, Field(gt=0)] | None = None


class _File(_Part):
    sections: Annotated[list[_Section], Field(min_length=1)]
    demonstrations: list[_Demonstration] = []
    slots: dict[SlotName, WholeText] = {}
    contract: _Contract = _Contract()


def structured(suffix: str) -> bool:
    """Whether a file of that suffix is YAML with parts, and no mere text."""
    return suffix.lower() in (YAML, ".yml")


def read_prompt(path: Path, rule: MergeRule) -> BookedPrompt:
    """The prompt in `path`, merged by `rule`. Raises PromptUnusable, a ValueError, or OSError."""
    return parse_prompt(path.read_bytes(), path.suffix, rule)


def parse_prompt(content: bytes, suffix: str, rule: MergeRule) -> BookedPrompt:
    """The same of a file's content. Raises PromptUnusable."""
    if len(content) > _MOST_BYTES:
        raise PromptUnusable((f"it is larger than {_MOST_BYTES} bytes",))
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise PromptUnusable(("it is not UTF-8 text",)) from error
    if not text.strip():
        raise PromptUnusable(("it is blank",))
    if not structured(suffix):
        return BookedPrompt.plain(text, rule)
    prompt = _structured(text, rule)
    if problems := (*_strange_slots(prompt), *_strange_checks(prompt.contract)):
        raise PromptUnusable(problems)
    return prompt


def _structured(text: str, rule: MergeRule) -> BookedPrompt:
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader that refuses a key given twice
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise PromptUnusable(
            (f"{where}it is not YAML: {getattr(error, 'problem', '') or 'unreadable'}",)
        ) from error
    except (RecursionError, ValueError, TypeError, LookupError, AttributeError) as error:
        # Such as a date on a 31st of February, or a tag on what it does not fit.
        raise PromptUnusable(("it is no YAML that can be a prompt: put dates in quotes, and nest less",)) from error
    try:
        file = _File.model_validate(data)
    except ValidationError as error:
        raise PromptUnusable(tuple(_faults(error))) from error
    contract = file.contract
    try:
        return BookedPrompt(
            sections=tuple(
                Section(name=part.name, text=_unended(part.text), locked=part.locked) for part in file.sections
            ),
            rule=rule,
            demonstrations=tuple(
                Demonstration(_unended(shown.user), _unended(shown.assistant)) for shown in file.demonstrations
            ),
            slots={name: _unended(value) for name, value in file.slots.items()},
            contract=Contract(
                text=_unended(contract.text),
                json_schema=contract.json_schema,
                matches=_unended(contract.matches),
                never_matches=_unended(contract.never_matches),
                most_words=contract.most_words,
            ),
        )
    except ValueError as error:
        raise PromptUnusable((str(error),)) from error


def _faults(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_input=False):
        loc = fault["loc"]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc if part != "[key]")
        match fault["type"]:
            case "extra_forbidden":
                known = _known_at(loc[:-1])
                close = get_close_matches(str(loc[-1]), known, n=1, cutoff=0.6)
                advice = f"Did you mean '{close[0]}'?" if close else f"Known here: {', '.join(known)}."
                told = f"is not known here. {advice}"
            case "missing":
                told = "is missing"
            case "bool_type":
                told = "must be true or false"
            case "string_type":
                told = "must be text: put it in quotes"
            case "string_pattern_mismatch" if loc[-1] == "[key]":
                told = "a slot's name is lower-case letters, digits and _, a letter first"
            case "string_pattern_mismatch" | "string_too_short":
                told = "must be a name without blanks around it"
            case "model_type" | "dict_type":
                told = "must be a mapping of settings"
            case "value_error":
                told = str(fault["ctx"]["error"])
            case "list_type":
                told = "must be a list"
            case "too_short":
                told = "must not be empty"
            case _:
                told = str(fault["msg"]).replace("Input should be", "must be")
        yield f"{place.lstrip('.')}: {told}" if place else f"it {told}"


def _known_at(loc: tuple[int | str, ...]) -> list[str]:
    parts: Mapping[str, type[_Part]] = {
        "sections": _Section,
        "demonstrations": _Demonstration,
        "contract": _Contract,
    }
    return list((parts[str(loc[0])] if loc else _File).model_fields)


def _texts(prompt: BookedPrompt) -> Iterator[tuple[str, str]]:
    """What can hold slots, by place."""
    for index, section in enumerate(prompt.sections):
        yield f"sections[{index}].text", section.text
    for index, shown in enumerate(prompt.demonstrations):
        yield f"demonstrations[{index}].user", shown.user
        yield f"demonstrations[{index}].assistant", shown.assistant
    yield "contract.text", prompt.contract.text


def _strange_slots(prompt: BookedPrompt) -> Iterator[str]:
    used: set[str] = set()
    for place, text in _texts(prompt):
        for name in dict.fromkeys(SLOT.findall(text)):
            used.add(name)
            if name not in prompt.slots:
                close = get_close_matches(name, prompt.slots, n=1, cutoff=0.6)
                advice = f"Did you mean '{close[0]}'?" if close else "Give it a value under `slots`."
                yield f"{place}: no slot is called '{name}'. {advice}"
    yield from (
        f"slots.{name}: no text has {{{{ {name} }}}}. Remove it, or use it."
        for name in prompt.slots
        if name not in used
    )


def _strange_checks(contract: Contract) -> Iterator[str]:
    for name, pattern in (("matches", contract.matches), ("never_matches", contract.never_matches)):
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            yield f"contract.{name}: is no regular expression: {error}"
    if contract.json_schema is not None and (fault := _schema_fault(contract.json_schema)):
        yield f"contract.json_schema: {fault}"


def _schema_fault(schema: Mapping[str, Any]) -> str:
    """Why it can be no JSON schema, as far as can be told without the library that checks answers by it."""
    try:
        if msgspec.json.decode(msgspec.json.encode(schema)) != schema:
            return "holds what JSON has not: put dates and other such values in quotes"
    except (TypeError, ValueError, RecursionError) as error:
        return f"is not JSON: {error}"
    try:
        from jsonschema import Draft202012Validator, SchemaError
    except ImportError:  # a server that checks no answers need not have it
        return ""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"is no JSON schema: {error.message}"
    return ""


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Refuses aliases: a few lines of them can stand for more than any memory holds."""
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, f"write out what *{event.anchor} is", event.start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            name = (key.tag, str(key.value))
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"'{key.value}' is given twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def _unended(text: str) -> str:
    return text.removesuffix("\n")
