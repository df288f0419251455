"""promptfoo's configuration, as a suite: prompts and tests become cases, assertions what scorers compare with.

The non-obvious decision: what is taken over means here what it meant there, and everything else is named with its
place. `contains` is thus a pattern and no fact, since facts match whole words in either case. Providers are left
aside: which model is asked is not the suite's to say, but the run's (`--target`). The dashboard of OpenAI's Evals,
which end on 30 November 2026, exports to this form ("Download runnable Promptfoo config").

Formats: promptfoo.dev/docs/configuration (reference, test-cases, expected-outputs).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import orjson

from evals.cases import Case
from evals.importing.bounded_yaml import parsed
from evals.importing.draft import Draft, Unusable, source
from evals.importing.expectation import Expectation, scorers_of
from evals.importing.promptfoo_assertions import expect
from evals.importing.promptfoo_files import Files
from evals.importing.templates import Untranslatable, rendered, rendered_in

_MOST_EXPANDED = 1_000
"""Cases of one test whose variables have lists of values."""
_ASIDE = ("scenarios", "derivedMetrics", "extensions", "transform", "nunjucksFilters")
_TEST_ASIDE = ("provider", "providers", "threshold", "providerOutput", "assertScoringFunction")
_OPTIONS_ASIDE = ("prefix", "suffix", "transform", "postprocess", "storeOutputAs")

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class _Prompt:
    name: str
    place: str
    messages: Messages


@dataclass(slots=True)
class _Cases:
    judge: str
    left: list[str] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)
    expectations: list[Expectation] = field(default_factory=list)


def read_promptfoo(path: Path, judge: str = "") -> Draft:
    """The suite that a promptfooconfig.yaml (or .json) and the files beside it amount to.

    `judge` is the model for `llm-rubric`; left out, the one that the file names for it. Files outside of the
    configuration's folder are not read. Raises Unusable, with all templates that are no plain variables.
    """
    files = Files(path.parent)
    config = files.data(path)
    if not isinstance(config, dict) or "prompts" not in config:
        raise Unusable(f"{path}: no promptfoo configuration: it has no `prompts`")
    made = _Cases(judge)
    made.left += [f"{key}: not taken over" for key in _ASIDE if config.get(key)]
    default = _default(config.get("defaultTest"), files)
    prompts = [prompt for each in _listed(config["prompts"], "prompts") for prompt in _prompts(*each, files)]
    tests = list(files.tests(config.get("tests"), "tests", made.left))
    templates = config.get("assertionTemplates")
    faults: list[str] = []
    for place, test in tests:
        _add(made, prompts, place, _merged(default, test), templates, faults)
    if faults:
        raise Unusable("\n".join([f"{path}: templates that are more than variables:", *dict.fromkeys(faults)]))
    scorers, quality, notes = scorers_of(made.expectations)
    left = list(dict.fromkeys(made.left))
    return Draft(
        name=path.parent.resolve().name or "imported",
        description=str(config.get("description") or f"From {path.name}."),
        scorers=scorers,
        quality=quality,
        cases=made.cases,
        left=left,
        notes=[*notes, *([f"{len(left)} things were not taken over; import.json lists them."] * bool(left))],
        lineage={"from": "promptfoo", "sources": [source(one) for one in files.seen], "settings": {"judge": judge}},
    )


def _default(said: Any, files: Files) -> Mapping[str, Any]:
    if isinstance(said, str):
        said = files.load(said, "defaultTest")
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise Unusable("defaultTest: must be a test, or a file with one")
    return said


def _listed(said: Any, place: str) -> list[tuple[str, Any]]:
    if isinstance(said, dict):  # an older form: file names and what they are called
        return [(f"{place}.{key}", {"id": key, "label": value}) for key, value in said.items()]
    return [(f"{place}[{at}]", one) for at, one in enumerate(said)] if isinstance(said, list) else [(place, said)]


def _prompts(place: str, said: Any, files: Files) -> list[_Prompt]:
    name = ""
    if isinstance(said, dict):
        name = str(said.get("label") or "")
        said = said.get("raw") or said.get("id")
    if not isinstance(said, str) or not said.strip():
        raise Unusable(f"{place}: no text, nor a file")
    found = files.prompts(said, place)
    numbered = len(found) > 1
    return [
        _Prompt(f"{name or place}{f' {at}' if numbered else ''}", where, _messages(text, where))
        for at, (where, text) in enumerate(found, 1)
    ]


def _messages(text: str, place: str) -> Messages:
    """A chat where the text is one, written as JSON or YAML; else what a user says."""
    if re.match(r"\s*(\[\s*\{|-\s+['\"]?(role|content)\b)", text):
        try:
            chat = orjson.loads(text)
        except orjson.JSONDecodeError:
            try:
                chat = parsed(text, place)
            except Unusable as error:
                raise Unusable(f"{error}\nA chat must be one as it stands: put its variables in quotes") from error
        if isinstance(chat, list) and all(isinstance(turn, dict) and "role" in turn for turn in chat):
            return chat
    return [{"role": "user", "content": text}]


def _merged(default: Mapping[str, Any], test: Mapping[str, Any]) -> dict[str, Any]:
    whole = {**default, **test}
    for key in ("vars", "metadata", "options"):
        parts = [part for part in (default.get(key), test.get(key)) if isinstance(part, dict)]
        whole[key] = {name: value for part in parts for name, value in part.items()}
    shared = {} if whole["options"].get("disableDefaultAsserts") else default
    whole["assert"] = [*_asserted("defaultTest.assert", shared), *_asserted("assert", test)]
    return whole


def _asserted(place: str, test: Mapping[str, Any]) -> list[tuple[str, Any]]:
    said = test.get("assert") or []
    return [(f"{place}[{at}]", one) for at, one in enumerate(said if isinstance(said, list) else [said])]


def _add(
    made: _Cases,
    prompts: Sequence[_Prompt],
    place: str,
    test: Mapping[str, Any],
    templates: Any,
    faults: list[str],
) -> None:
    made.left += [f"{place}.{key}: not taken over" for key in _TEST_ASIDE if test.get(key) is not None]
    made.left += [f"{place}.options.{key}: not taken over" for key in _OPTIONS_ASIDE if test["options"].get(key)]
    grader = made.judge or _model(test["options"].get("provider"))
    for number, variables in enumerate(_expanded(place, test, made.left)):
        told: list[str] = []
        expectation = Expectation()
        for at, assertion in test["assert"]:
            where = at if at.startswith("defaultTest") else f"{place}.{at}"
            told += expect(expectation, assertion, where, variables, grader, templates)
        made.left += [one for one in told if number == 0 or one not in made.left]
        if not expectation.kinds:
            made.left.append(f"{place}: left out: nothing can judge it")
            continue
        for prompt in prompts:
            try:
                messages = [dict(turn) for turn in rendered_in(list(prompt.messages), variables)]
            except Untranslatable as error:
                faults.append(f"{prompt.place}, {error}")
                continue
            if messages[-1]["role"] not in ("user", "tool"):
                made.left.append(f"{prompt.place}: left out: it does not end with what a user says")
                continue
            id_ = f"{place}{f'.{number}' if number else ''}" + (f"@{prompt.name}" if len(prompts) > 1 else "")
            made.cases.append(_case(id_, messages, expectation, test, prompt if len(prompts) > 1 else None, place))
            made.expectations.append(expectation)


def _model(provider: Any) -> str:
    """The model of a provider as promptfoo names it: `openai:chat:gpt-5.1` is gpt-5.1."""
    if isinstance(provider, dict):
        provider = provider.get("id") or provider.get("text")
        if isinstance(provider, dict):
            provider = provider.get("id")
    return provider.rsplit(":", 1)[-1] if isinstance(provider, str) else ""


def _expanded(place: str, test: Mapping[str, Any], left: list[str]) -> list[dict[str, Any]]:
    """The test's variables; each combination where some have lists of values."""
    variables = dict(test["vars"])
    lists = {key: value for key, value in variables.items() if isinstance(value, list)}
    if test["options"].get("disableVarExpansion"):
        lists = {}
    combinations = 1
    for values in lists.values():
        combinations *= len(values)
    if combinations > _MOST_EXPANDED:
        left.append(f"{place}: left out: its lists make {combinations:,} cases of one test")
        return []
    found = []
    for chosen in product(*lists.values()):
        one = variables | dict(zip(lists, chosen, strict=True))
        named = [key for key, value in one.items() if isinstance(value, str) and value.startswith("file://")]
        if named:
            left.append(f"{place}.vars.{named[0]}: left out: it names a file; write its content")
            continue
        try:
            found.append({key: rendered(v, one) if isinstance(v, str) else v for key, v in one.items()})
        except Untranslatable as error:
            left.append(f"{place}.vars: left out: {error}")
    return found


def _case(
    id_: str,
    messages: Messages,
    expectation: Expectation,
    test: Mapping[str, Any],
    prompt: _Prompt | None,
    place: str,
) -> Case:
    metadata = orjson.loads(orjson.dumps(test["metadata"], default=str, option=orjson.OPT_NON_STR_KEYS))
    if test.get("description"):
        metadata["description"] = str(test["description"])
    return Case(
        id=id_,
        messages=tuple(messages),
        expected=expectation.expected,
        segment=prompt.name if prompt else "all",
        cluster=place,  # the same test under several prompts is not independent
        metadata=metadata,
    )
