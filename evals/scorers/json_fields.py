"""`json_fields`: the share of the fields of `expected.fields` that the answer's JSON has, with the same values.

A field within another counts by itself and is named with dots ("customer.city"), and so may be written that way in
`expected.fields`. A list is one field; a place in it can be named too ("items.0.price").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Literal

from pydantic import Field

from evals.cases import Case
from evals.records import Answer, Score
from evals.scorers.json_schema import json_in
from evals.scorers.port import Instruments, Settings

_REVISION = 1
_ABSENT = object()


class JsonFieldsSettings(Settings):
    kind: Literal["json_fields"] = "json_fields"
    ignore_extra: bool = True
    """Fields that are not expected do no harm; otherwise each counts as one that is wrong."""
    tolerance: Decimal = Field(Decimal(0), ge=0, allow_inf_nan=False)
    """How far off a number may be."""
    any_order: bool = False
    """Lists are equal whatever the order of their items."""
    strict: bool = False
    """The answer is JSON and nothing else; otherwise it may hold it in one fenced block."""


class JsonFields:
    kind: ClassVar[str] = "json_fields"
    model: str = ""
    binary: bool = False

    def __init__(self, settings: JsonFieldsSettings, instruments: Instruments) -> None:
        self.name = settings.called
        self.version = settings.version(_REVISION)
        self._settings = settings

    def lacks(self, case: Case) -> str:
        if "fields" not in case.expected:
            return "`expected.fields`"
        if not isinstance(case.expected["fields"], dict) or not case.expected["fields"]:
            raise ValueError("expected.fields: must be an object with one field at least")
        return ""

    async def score(self, case: Case, answer: Answer) -> Score:
        try:
            said = json_in(answer.text, strict=self._settings.strict)
        except ValueError as error:
            return Score(value=0, why=str(error))
        expected = dict(_leaves(case.expected["fields"]))
        wrong = [name for name, value in expected.items() if not self._same(_at(said, name), value)]
        extra = [] if self._settings.ignore_extra else [n for n, _ in _leaves(said) if not _covered(n, expected)]
        right = len(expected) - len(wrong)
        told = [f"not as expected: {', '.join(wrong)}"] if wrong else []
        told += [f"not asked for: {', '.join(name or 'all of it' for name in extra)}"] if extra else []
        return Score(value=right / (len(expected) + len(extra)), why="; ".join(told))

    def _same(self, one: Any, other: Any) -> bool:
        return same_json(one, other, tolerance=self._settings.tolerance, any_order=self._settings.any_order)


def same_json(one: Any, other: Any, *, tolerance: Decimal = Decimal(0), any_order: bool = False) -> bool:
    """Whether two JSON values are equal: 1 and 1.0 are, 1 and true or "1" are not.

    Numbers anywhere within may differ by `tolerance`; lists have the same items, in their order unless `any_order`.
    """

    def same(a: Any, b: Any) -> bool:
        if _is_number(a) and _is_number(b):
            return abs(Decimal(str(a)) - Decimal(str(b))) <= tolerance
        if type(a) is not type(b):
            return False
        if isinstance(a, dict):
            return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
        if isinstance(a, list):
            return same_items(a, b, same, any_order=any_order)
        return bool(a == b)

    return same(one, other)


def same_items(
    ones: Sequence[Any], others: Sequence[Any], same: Callable[[Any, Any], bool], *, any_order: bool
) -> bool:
    """Whether each of `ones` is the `same` as one of `others` and none is left, in their order unless `any_order`.

    In any order it is a perfect matching that is looked for (Kuhn's augmenting paths), since two that are the same
    as a third within a tolerance may differ from each other.
    """
    if len(ones) != len(others):
        return False
    if not any_order:
        return all(map(same, ones, others))
    fits = [[place for place, other in enumerate(others) if same(one, other)] for one in ones]
    holder: dict[int, int] = {}

    def seated(one: int, tried: set[int]) -> bool:
        for place in fits[one]:
            if place not in tried:
                tried.add(place)
                if place not in holder or seated(holder[place], tried):
                    holder[place] = one
                    return True
        return False

    return all(seated(one, set()) for one in range(len(ones)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Names with dots and values of all that is no object, or an empty one."""
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _leaves(part, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _at(value: Any, name: str) -> Any:
    """What is found under `name`, whose dots may also be part of a key; _ABSENT where there is nothing."""
    if isinstance(value, Mapping) and name in value:
        return value[name]
    head, dot, rest = name.partition(".")
    while dot:
        found = _step(value, head)
        if found is not _ABSENT and (inner := _at(found, rest)) is not _ABSENT:
            return inner
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"
    return _step(value, name)


def _step(value: Any, key: str) -> Any:
    if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
        return value[int(key)]
    return value.get(key, _ABSENT) if isinstance(value, dict) else _ABSENT


def _covered(name: str, expected: Mapping[str, Any]) -> bool:
    """Whether a field of the answer is an expected one, lies within one, or is a list in which places are named."""
    return any(name == known or name.startswith(f"{known}.") or known.startswith(f"{name}.") for known in expected)
