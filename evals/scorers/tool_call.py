"""`tool_call`: a good answer calls `expected.tool_call`, or all of `expected.tool_calls`, and nothing else.

A call is `{name, arguments}`, with `optional` the names of arguments that may be left out or added;
`arguments: any` compares the name alone. Where `expected.tool_call` is null, nothing may be called. Arguments are
compared as JSON values, not as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from evals.cases import Case
from evals.records import Answer, Score, ToolCall
from evals.scorers.json_fields import same_items, same_json
from evals.scorers.json_schema import json_in
from evals.scorers.port import Instruments, Settings

_REVISION = 1


class ToolCallSettings(Settings):
    kind: Literal["tool_call"] = "tool_call"
    in_order: bool = False
    """Several calls must come in the order of `expected.tool_calls`."""
    ignore_extra: bool = False
    """Arguments that are not expected do no harm."""


class ExpectedCall(BaseModel):
    """A call that a good answer makes. An `optional` argument that has a value here has it or is left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    arguments: dict[str, JsonValue] | Literal["any"]
    optional: tuple[str, ...] = ()

    def fault(self, call: ToolCall, *, ignore_extra: bool) -> str:
        """What is wrong with `call`; empty where it is this one."""
        if call.name != self.name:
            return f"calls {call.name}, not {self.name}"
        if self.arguments == "any":
            return ""
        given = _arguments(call)
        if given is None:
            return f"the arguments of {call.name} are not a JSON object"
        missing = [name for name in self.arguments if name not in given and name not in self.optional]
        extra = [name for name in given if name not in self.arguments and name not in self.optional]
        wrong = [name for name in self.arguments if name in given and not self._same(given, name)]
        told = [("lacks", missing), ("has an extra", [] if ignore_extra else extra), ("has a wrong", wrong)]
        return "; ".join(f"{call.name} {what} {', '.join(names)}" for what, names in told if names)

    def _same(self, given: Mapping[str, Any], name: str) -> bool:
        return self.arguments != "any" and same_json(given[name], self.arguments[name])


class ToolCalls:
    kind: ClassVar[str] = "tool_call"
    model: str = ""
    binary: bool = True

    def __init__(self, settings: ToolCallSettings, instruments: Instruments) -> None:
        self.name = settings.called
        self.version = settings.version(_REVISION)
        self._settings = settings

    def lacks(self, case: Case) -> str:
        if "tool_call" not in case.expected and "tool_calls" not in case.expected:
            return "`expected.tool_call` or `expected.tool_calls`"
        _expected(case)
        return ""

    async def score(self, case: Case, answer: Answer) -> Score:
        why = self._fault(_expected(case), answer.tool_calls)
        return Score(value=float(not why), why=why)

    def _fault(self, wanted: list[ExpectedCall], made: tuple[ToolCall, ...]) -> str:
        if not made:
            return "calls nothing" if wanted else ""
        if not wanted:
            return f"calls {made[0].name}, where nothing should be called"
        if len(made) == len(wanted) == 1:
            return self._between(wanted[0], made[0])
        if same_items(wanted, made, lambda a, b: not self._between(a, b), any_order=not self._settings.in_order):
            return ""
        names = ", ".join(call.name for call in made)
        known = ", ".join(call.name for call in wanted)
        return f"calls {names}, not {known}" if names != known else f"calls {names}, but not as expected"

    def _between(self, wanted: ExpectedCall, made: ToolCall) -> str:
        return wanted.fault(made, ignore_extra=self._settings.ignore_extra)


def _expected(case: Case) -> list[ExpectedCall]:
    """Raises ValueError."""
    if "tool_call" in case.expected and "tool_calls" in case.expected:
        raise ValueError("expected.tool_call: there are `tool_calls` too; one of them must go")
    if "tool_call" in case.expected:
        one = case.expected["tool_call"]
        return [] if one is None else [_call(one, "expected.tool_call")]
    several = case.expected["tool_calls"]
    if not isinstance(several, list):
        raise ValueError("expected.tool_calls: must be a list of calls")  # noqa: TRY004 - a wrong suite
    return [_call(one, f"expected.tool_calls.{place}") for place, one in enumerate(several)]


def _call(said: Any, where: str) -> ExpectedCall:
    if not isinstance(said, dict) or not (
        isinstance(said.get("arguments"), dict) or said.get("arguments") == "any"
    ):
        raise ValueError(f"{where}: must have a `name`, and `arguments` that are an object or `any`")
    try:
        return ExpectedCall.model_validate(said)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join([where, *map(str, fault['loc'])])}: {fault['msg']}") from error


def _arguments(call: ToolCall) -> dict[str, Any] | None:
    """What the model wrote as an object; nothing at all counts as one without arguments."""
    try:
        given = json_in(call.arguments or "{}", strict=True)
    except ValueError:
        return None
    return given if isinstance(given, dict) else None
