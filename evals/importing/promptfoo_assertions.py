"""promptfoo's assertions in the words of Weir's scorers, one table: what is not in it is told, never dropped."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from evals.importing.bounded_yaml import parsed
from evals.importing.draft import Unusable
from evals.importing.expectation import Expectation
from evals.importing.templates import Untranslatable, rendered_in

SIMILAR = 0.75
"""promptfoo's threshold of `similar` where none is given."""
_ASIDE = {"weight": "every condition counts alike", "metric": "rates are by scorer", "transform": "not taken over"}
_KNOWN = frozenset(("type", "value", "threshold", "provider", "rubricPrompt", "config", *_ASIDE))


def expect(
    expectation: Expectation,
    assertion: Any,
    place: str,
    variables: Mapping[str, Any],
    grader: str,
    templates: Any,
) -> list[str]:
    """Have `expectation` expect what `assertion` says. Returns what could not be taken over, each with `place`."""
    if isinstance(assertion, Mapping) and "$ref" in assertion:
        name = str(assertion["$ref"]).rpartition("/")[2]
        known = templates.get(name) if isinstance(templates, Mapping) else None
        if not isinstance(known, Mapping):
            return [f"{place}: there is no template {name}"]
        assertion = {**known, **{key: value for key, value in assertion.items() if key != "$ref"}}
    if not isinstance(assertion, Mapping) or not isinstance(assertion.get("type"), str):
        return [f"{place}: no assertion: it has no type"]
    kind = assertion["type"]
    if kind == "assert-set":
        return _set(expectation, assertion, place, variables, grader, templates)
    left = [f"{place}.{key}: {why}" for key, why in _ASIDE.items() if assertion.get(key) is not None]
    left += [f"{place}.{key}: not taken over" for key in assertion if key not in _KNOWN]
    try:
        judge = grader or str(assertion.get("provider") or "").rsplit(":", 1)[-1]
        _apply(expectation, kind, assertion, variables, judge)
    except (Untranslatable, Unusable) as error:
        left.append(f"{place} ({kind}): {error}")
    return left


def _apply(
    expectation: Expectation, kind: str, assertion: Mapping[str, Any], variables: Mapping[str, Any], judge: str
) -> None:
    value = rendered_in(assertion.get("value"), variables)
    if isinstance(value, str) and value.startswith("file://"):
        raise Untranslatable("not taken over; write the file's content into the configuration")
    bare = kind.removeprefix("not-")
    if bare in _EITHER_WAY:
        _EITHER_WAY[bare](expectation, value, bare == kind)
    elif kind == "is-json":
        _json(expectation, value)
    elif kind == "similar":
        _similar(expectation, value, assertion.get("threshold", SIMILAR))
    elif kind == "llm-rubric" and assertion.get("rubricPrompt") is None:
        expectation.please(_plain(value), judge)
    else:
        raise Untranslatable("not taken over; Weir has no such scorer")


def _set(
    expectation: Expectation,
    assertion: Mapping[str, Any],
    place: str,
    variables: Mapping[str, Any],
    grader: str,
    templates: Any,
) -> list[str]:
    """All of a set must hold; one that may hold in part has no counterpart."""
    parts = assertion.get("assert")
    if assertion.get("threshold") not in (None, 1) or not isinstance(parts, list):
        return [f"{place} (assert-set): not taken over; a part of it would do"]
    return [
        told
        for at, one in enumerate(parts)
        for told in expect(expectation, one, f"{place}.assert[{at}]", variables, grader, templates)
    ]


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Untranslatable("its value is no text")
    return str(value)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    if not isinstance(value, list) or not value:
        raise Untranslatable("its value is no list of texts")
    return [_plain(one) for one in value]


def _contains(*, case: bool, any_of: bool | None = None) -> Callable[[Expectation, Any, bool], None]:
    def apply(expectation: Expectation, value: Any, wanted: bool) -> None:
        texts = [_plain(value)] if any_of is None else _texts(value)
        expectation.contain(texts, case=case, any_of=bool(any_of), wanted=wanted)

    return apply


def _equals(expectation: Expectation, value: Any, wanted: bool) -> None:
    if not wanted:
        expectation.match(rf"\A\s*{re.escape(_plain(value).strip())}\s*\Z", wanted=False)
    elif isinstance(value, dict):
        expectation.schema({"const": value})
    else:
        expectation.equal(_plain(value))


def _starts(expectation: Expectation, value: Any, wanted: bool) -> None:
    expectation.match(rf"\A{re.escape(_plain(value))}", wanted=wanted)


def _regex(expectation: Expectation, value: Any, wanted: bool) -> None:
    expectation.match(_plain(value), wanted=wanted)


def _json(expectation: Expectation, value: Any) -> None:
    schema = parsed(value, "value") if isinstance(value, str) and value.strip() else value
    if schema not in (None, "") and not isinstance(schema, dict):
        raise Untranslatable("its value is no JSON schema")
    expectation.schema(orjson.loads(orjson.dumps(schema or {}, default=str)))


def _similar(expectation: Expectation, value: Any, limit: Any) -> None:
    if not isinstance(limit, int | float) or not 0 < limit <= 1:
        raise Untranslatable("its threshold is not between 0 and 1")
    expectation.resemble(_plain(value), float(limit))


_EITHER_WAY: dict[str, Callable[[Expectation, Any, bool], None]] = {
    "equals": _equals,
    "contains": _contains(case=True),
    "icontains": _contains(case=False),
    "contains-all": _contains(case=True, any_of=False),
    "contains-any": _contains(case=True, any_of=True),
    "icontains-all": _contains(case=False, any_of=False),
    "icontains-any": _contains(case=False, any_of=True),
    "starts-with": _starts,
    "regex": _regex,
}
