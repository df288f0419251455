"""`json_schema`: a good answer is JSON that fits `expected.schema`, or else the scorer's own `schema`.

JSON Schema of draft 2020-12, whatever `$schema` says; `format` is not checked. A `$ref` leads to somewhere within
the schema or the schema is refused: nothing is ever fetched. A `pattern` in it is searched by Python's `re`, which
nothing can stop: schemas, unlike answers, must be trusted.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, ClassVar, Literal, NoReturn

from pydantic import ConfigDict, Field, JsonValue

from evals.cases import Case, canonical
from evals.records import Answer, Score
from evals.scorers.port import Instruments, Settings

_REVISION = 1
_FENCE = re.compile(r"```[ \t]*(?:json)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL | re.IGNORECASE)
_REFERENCES = ("$ref", "$dynamicRef")
_SCHEMAS = 256
"""Schemas that are kept ready: usually a suite has one, or one for each kind of case."""


class JsonSchemaSettings(Settings):
    model_config = ConfigDict(serialize_by_alias=True)

    kind: Literal["json_schema"] = "json_schema"
    schema_: dict[str, JsonValue] | None = Field(None, alias="schema")
    """For cases without one of their own."""
    strict: bool = False
    """The answer is JSON and nothing else; otherwise it may hold it in one fenced block."""


class JsonSchema:
    kind: ClassVar[str] = "json_schema"
    model: str = ""
    binary: bool = True

    def __init__(self, settings: JsonSchemaSettings, instruments: Instruments) -> None:
        try:
            import jsonschema  # noqa: F401 - found out now rather than amid a run
        except ImportError as error:
            raise ImportError("json_schema needs jsonschema: pip install 'weir[evals]'") from error
        self.name = settings.called
        self.version = settings.version(_REVISION)
        self._settings = settings

    def lacks(self, case: Case) -> str:
        if "schema" not in case.expected and self._settings.schema_ is None:
            return "`expected.schema`"
        try:
            self._validator(case)
        except ValueError as error:
            where = "expected.schema" if "schema" in case.expected else "the scorer's schema"
            raise ValueError(f"{where}: {error}") from error
        return ""

    async def score(self, case: Case, answer: Answer) -> Score:
        fault = fault_in(answer.text, self._validator(case), strict=self._settings.strict)
        return Score(value=0, why=fault) if fault else Score(value=1)

    def _validator(self, case: Case) -> Any:
        return validator_of(case.expected.get("schema", self._settings.schema_))


def validator_of(schema: Any) -> Any:
    """What `fault_in` holds texts against. Raises ValueError where `schema` is none, or refers to elsewhere."""
    return _validator(canonical(schema))


def fault_in(text: str, validator: Any, *, strict: bool = False) -> str:
    """Why the JSON in `text` does not fit; empty where it does. `strict` as `json_in` has it."""
    from jsonschema.exceptions import best_match

    try:
        fault = best_match(validator.iter_errors(json_in(text, strict=strict)))
    except ValueError as error:
        return str(error)
    except RecursionError:
        return "the answer nests too deeply for its schema, or the schema refers to itself"
    return f"{fault.json_path}: {fault.message}" if fault else ""


def json_in(text: str, *, strict: bool = False) -> Any:
    """The JSON that an answer consists of or, unless `strict`, holds in its only fenced block.

    Raises ValueError with a sentence for people.
    """
    fences = [] if strict else _FENCE.findall(text)
    if len(fences) > 1:
        raise ValueError("the answer holds several fenced blocks")
    try:
        return json.loads(fences[0] if fences else text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the answer is not JSON: {error}") from error


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON's")


@lru_cache(_SCHEMAS)
def _validator(schema: bytes) -> Any:
    """Raises ValueError where it is no schema, or refers to something outside."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing import Registry
    from referencing.exceptions import NoSuchResource, Unresolvable
    from referencing.jsonschema import DRAFT202012

    read = json.loads(schema)
    try:
        Draft202012Validator.check_schema(read)
        root = DRAFT202012.create_resource(read)
        registry: Any = Registry().with_resource("", root)
        _resolve(registry.resolver_with_root(root), root)
    except SchemaError as error:
        raise ValueError(f"{error.json_path}: {error.message}") from error
    except (Unresolvable, NoSuchResource) as error:
        raise ValueError(f"$ref {error.ref!r} leads nowhere within the schema, and nothing is fetched") from error
    except RecursionError as error:
        raise ValueError("nests too deeply") from error
    return Draft202012Validator(read, registry=registry)


def _resolve(resolver: Any, schema: Any) -> None:
    """Follow every reference one step. Raises Unresolvable."""
    if isinstance(schema.contents, dict):
        for keyword in _REFERENCES:
            if keyword in schema.contents:
                resolver.lookup(schema.contents[keyword])
    for part in schema.subresources():
        _resolve(resolver.in_subresource(part), part)
