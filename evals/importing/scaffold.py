"""A first suite: small, whole, and with a case of each kind, so that it runs before anything is written.

The non-obvious decision: it is read back as any suite is before it is handed over, so a scaffold that the reader
has outgrown is found out here and not by whoever begins with it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

import orjson
import yaml

from evals.importing.draft import Unusable, check_free
from evals.suite import Suite, SuiteError, read_suite

GATE = "gate.yaml"

_HEAD = """\
# An eval suite: this file says what it is, cases.jsonl beside it holds the cases, one JSON object a line.
#
#   weir eval run {folder} --target support --out runs/first     # ask a route or a model, and score the answers
#   weir eval show runs/first
#   weir eval run {folder} --target support-small --out runs/second
#   weir eval compare runs/first runs/second                     # is the difference real?
#   weir eval gate runs/second --baseline runs/first --rules {folder}/gate.yaml
#   weir eval import --as traffic --config weir.yaml --out suites/traffic
#
# A case has
#   id         its name, once in the file
#   messages   the conversation up to a user's turn; or `input`, which is a single question
#   expected   what scorers compare the answer with, see below; a bare text is `expected.answer`
#   segment    what results are broken down by, such as the intent (left out: all)
#   cluster    cases that resemble each other share one, and are not counted as independent (left out: its id)
#   metadata   whatever you like; `groups` below are fields of it
#   tools      what the model may call, as in the API
#   documents  passages to answer from: texts, or {{id, text}}
name: {name}
description: >
  A first suite: what it asks, and of whom, in a sentence or two.
# Yours, for people. What results belong to is a hash of scorers and cases.
revision: "1"

# A scorer judges the cases that have what it needs, and leaves the others alone. There are, by what they need:
#   contains_facts  expected.facts, a list: each is stated, "30 minutes|half an hour" in either wording; share: true
#   exact, normalised
#                   expected.answer, or a list of right ones; normalised overlooks case, accents and signs
#   numeric         expected.number; tolerance: 0.01, relative: 0.05
#   choice          expected.choice, a letter or an option's text, and expected.options
#   regex           expected.pattern; or `pattern` here, for all cases
#   json_schema     expected.schema; or `schema` here
#   json_fields     expected.fields, the values that a JSON answer must have: the share of them
#   tool_call       expected.tool_call {{name, arguments}}, or tool_calls, a list; null where nothing may be called
#   similarity      expected.reference: how near in meaning; at_least: 0.8 (needs the encoder: weir encoder build)
#   grounded        documents: the share of sentences that the passages support; against: citations for those cited
#   citations       expected.documents, names of files that a Weir should cite; of: recall, precision or both
#   refusal         expected.refuse: true where a good answer says that it does not know
#   judge           a model: gpt-5.1, and a rubric here or in expected.rubric; weir eval calibrate tells its errors
#   pairwise        a model: which is better, this answer or another run's (--against DIR)
scorers:
  - contains_facts
  - numeric
  - choice
  - json_schema
  - tool_call
  - grounded
# The scorer that stands for quality where runs are compared and gated. Cases that it cannot judge do not count
# there: best each case has what it needs.
quality: contains_facts

# Fields of metadata whose values are held against each other: does one language fare worse?
groups: [lang]
# Fields of each request.
request:
  temperature: 0
# How often each case is asked. More than once where answers vary.
repeats: 1
# By how much quality may fall and still be called not worse: 0.02 are two points.
margin: 0.02
"""

_GATE = """\
# What a change must keep: `weir eval gate DIR --baseline DIR --rules gate.yaml`. Delete what you do not ask for.
quality:
  # Beside the baseline, within the suite's margin. It takes some hundred cases to show that.
  need: not_worse
  # At least this rate, whatever the baseline.
  least: 0.8
errors:
  most_share: 0.01
# Once there are enough cases:
# segments: {floor: 0.6, at_least_cases: 10}
# groups: {lang: {most_gap: 0.1, at_least_cases: 30}}
# cost: {most_usd_per_answer: 0.01, most_ratio: 1.2}
# latency: {most_p95_ms: 5000}
"""

_WEATHER: Mapping[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city, now.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
_CASES: tuple[Mapping[str, Any], ...] = (
    {
        "id": "fact",
        "input": "Which planet is the largest of the solar system, and which is nearest to the sun?",
        "expected": {"facts": ["Jupiter|Júpiter", "Mercury|Mercurio"]},
        "segment": "facts",
        "metadata": {"lang": "en"},
    },
    {
        "id": "fact-es",
        "input": "¿Cuál es la capital de Australia?",
        "expected": {"facts": ["Canberra|Camberra"]},
        "segment": "facts",
        "metadata": {"lang": "es"},
    },
    {
        "id": "follow-up",
        "messages": [
            {"role": "user", "content": "How many days has April?"},
            {"role": "assistant", "content": "April has 30 days."},
            {"role": "user", "content": "And the month after it?"},
        ],
        "expected": {"facts": ["31"]},
        "segment": "facts",
        "metadata": {"lang": "en"},
    },
    {
        "id": "from-a-document",
        "input": "How long can I return a grinder?",
        "documents": [
            {"id": "returns", "text": "Grinders can be returned within 45 days. Opened coffee cannot be returned."}
        ],
        "expected": {"facts": ["45 days"]},
        "segment": "documents",
        "metadata": {"lang": "en"},
    },
    {
        "id": "number",
        "input": "A box costs $18.50 and shipping $4. What do three boxes cost in one shipment?",
        "expected": {"number": 59.5, "facts": ["59.50|59.5"]},
        "segment": "numbers",
        "metadata": {"lang": "en"},
    },
    {
        "id": "choice",
        "input": "Which of these is a noble gas? (A) nitrogen (B) argon (C) chlorine. Name the letter and the gas.",
        "expected": {"choice": "B", "options": ["nitrogen", "argon", "chlorine"], "facts": ["argon"]},
        "segment": "choices",
        "metadata": {"lang": "en"},
    },
    {
        "id": "json",
        "input": 'Answer with JSON alone, {"name": ..., "year": ...}: who was first on the moon, and when?',
        "expected": {
            "schema": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "year": {"const": 1969}},
                "required": ["name", "year"],
                "additionalProperties": False,
            },
            "facts": ["Neil Armstrong", "1969"],
        },
        "segment": "json",
        "metadata": {"lang": "en"},
    },
    {
        "id": "tool",
        "input": "What is the weather in Oslo right now?",
        "tools": [_WEATHER],
        "expected": {"tool_call": {"name": "weather", "arguments": {"city": "Oslo"}}},
        "segment": "tools",
        "metadata": {"lang": "en"},
    },
    {
        "id": "no-tool",
        "input": "Say hello in Norwegian.",
        "tools": [_WEATHER],
        "expected": {"tool_call": None, "facts": ["hei|hallo|god dag"]},
        "segment": "tools",
        "metadata": {"lang": "en"},
    },
)


def scaffold(folder: Path, name: str = "") -> Suite:
    """A new suite in `folder`, called `name` or like the folder. Raises Unusable where something is there."""
    check_free(folder)
    made = folder.exists()
    called = yaml.safe_dump(name or folder.resolve().name, allow_unicode=True, width=10_000).split("\n")[0]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "suite.yaml").write_text(_HEAD.format(folder=quote(str(folder)), name=called), encoding="utf-8")
        lines = [orjson.dumps(case, option=orjson.OPT_APPEND_NEWLINE) for case in _CASES]
        (folder / "cases.jsonl").write_bytes(b"".join(lines))
        (folder / GATE).write_text(_GATE, encoding="utf-8")
        return read_suite(folder)
    except SuiteError as error:
        for path in folder.iterdir():
            path.unlink()
        if not made:
            shutil.rmtree(folder)
        raise Unusable(str(error)) from error
    except OSError as error:
        raise Unusable(f"{folder}: {error.strerror}") from error
