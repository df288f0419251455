"""How OpenAI's evals judge, in the words of Weir's scorers.

The platform's graders refer to `{{ item.field }}` and to `{{ sample.output_text }}`, the answer: string_check (eq,
ne, like: contains, ilike: contains in either case), text_similarity, label_model and score_model. The framework's
classes are Match (the answer begins with an ideal one), Includes, FuzzyMatch, JsonMatch and ModelBasedClassify.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from evals.importing.expectation import Expectation
from evals.importing.templates import Untranslatable, rendered

_ANSWER = re.compile(r"\{\{\s*sample\.output_text\s*\}\}")
_OUTPUT = "(the answer that you are judging)"


def grade(criterion: Mapping[str, Any], item: Mapping[str, Any], expectation: Expectation, judge: str) -> list[str]:
    """Have `expectation` expect what one of `testing_criteria` does. Returns what changes on the way.

    Raises Untranslatable.
    """
    kind = criterion.get("type")
    if kind in ("label_model", "score_model"):
        model = judge or str(criterion.get("model") or "")
        expectation.please(_rubric(criterion, item, kind), model)
        return [": a judge says pass or not, where the grader gave a number"] if kind == "score_model" else []
    if kind not in ("string_check", "text_similarity"):
        raise Untranslatable("not taken over; Weir has no such scorer")
    if not _ANSWER.fullmatch(str(criterion.get("input", "")).strip()):
        raise Untranslatable("not taken over; it judges something other than {{ sample.output_text }} as it is")
    reference = rendered(str(criterion.get("reference", "")), {"item": item})
    if kind == "text_similarity":
        limit = criterion.get("pass_threshold")
        expectation.resemble(reference, float(limit) if isinstance(limit, int | float) and 0 < limit <= 1 else None)
        metric = criterion.get("evaluation_metric")
        return [f".evaluation_metric: {metric} compares wording, similarity compares meaning"]
    operation = criterion.get("operation")
    if operation == "eq":
        expectation.equal(reference)
    elif operation == "ne":
        expectation.match(rf"\A\s*{re.escape(reference.strip())}\s*\Z", wanted=False)
    elif operation in ("like", "ilike"):
        expectation.contain([reference], case=operation == "like")
    else:
        raise Untranslatable(f"there is no operation {operation}")
    return []


def _rubric(criterion: Mapping[str, Any], item: Mapping[str, Any], kind: str) -> str:
    messages = criterion.get("input")
    if not isinstance(messages, list):
        raise Untranslatable("it has no `input`")
    said = []
    for turn in messages:
        content = turn.get("content") if isinstance(turn, Mapping) else None
        text = content.get("text") if isinstance(content, Mapping) else content
        if not isinstance(text, str):
            raise Untranslatable("its `input` holds more than text")
        said.append(rendered(text, {"item": item, "sample": {"output_text": _OUTPUT}}))
    task = "\n\n".join(said)
    if kind == "label_model":
        passing = ", ".join(map(str, criterion.get("passing_labels") or ()))
        return f"{task}\n\nThe answer passes where its label is one of: {passing}."
    return (
        f"{task}\n\nThe answer passes where its score is at least {criterion.get('pass_threshold', 'the highest')}."
    )


def grade_as(kind: str, args: Mapping[str, Any], ideal: Any, expectation: Expectation) -> None:
    """Have `expectation` expect what a class of the framework does of an answer whose `ideal` is given.

    Raises Untranslatable.
    """
    ideals = [one if isinstance(one, str) else orjson.dumps(one).decode() for one in _listed(ideal)]
    if not ideals:
        raise Untranslatable("it has no `ideal`")
    if kind == "Match":
        expectation.match(rf"\A(?:{'|'.join(re.escape(one) for one in ideals)})")
    elif kind == "Includes":
        expectation.contain(ideals, case=not args.get("ignore_case"), any_of=True)
    elif kind == "FuzzyMatch":
        expectation.match(f"(?i:{'|'.join(map(_loosely, ideals))})")
    elif kind == "JsonMatch":
        expectation.schema({"enum": [_json(one) for one in ideals]})
    elif kind == "ModelBasedClassify":
        said = args.get("modelgraded_spec", "")
        raise Untranslatable(f"it is graded by a prompt of the registry ({said}); write it as a judge's rubric")
    else:
        raise Untranslatable(f"Weir has no counterpart of the class {kind}")


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def _loosely(text: str) -> str:
    words = re.findall(r"\w+", text)
    return r"\b" + r"\W+(?:(?:a|an|the)\W+)*".join(map(re.escape, words)) + r"\b" if words else re.escape(text)


def _json(ideal: str) -> Any:
    try:
        return orjson.loads(ideal)
    except orjson.JSONDecodeError as error:
        raise Untranslatable(f"its `ideal` is no JSON: {error}") from error
