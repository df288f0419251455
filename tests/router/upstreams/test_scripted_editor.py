"""The editor writes instructions in the form that it is asked for; often good ones, and not always."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.upstreams.scripted_answers import reply
from router.upstreams.scripted_attention import attention
from router.upstreams.scripted_behaviours import script
from router.upstreams.scripted_instructions import INSTRUCTIONS, OTHER
from router.upstreams.scripted_knowledge import Knowledge

PROMPTS = Path(__file__).parents[3] / "examples/support/prompts"
BARE = (PROMPTS / "bare.md").read_text(encoding="utf-8").strip()
SUPPORT = (PROMPTS / "support.md").read_text(encoding="utf-8").strip()
KNOWLEDGE = Knowledge(())
VAGUE_FIGURES = "does not say: 45 days; 10 seconds; $8"
WORDINGS = [text for texts in (*INSTRUCTIONS.values(), OTHER) for text in texts]
CHAT = """\
[[ ## task_demos ## ]]
Question: how much?
Answer: some

[[ ## basic_instruction ## ]]
{present}

[[ ## tip ## ]]
Keep the instruction clear.

Respond with the corresponding output fields, starting with the field `[[ ## observations ## ]]`, then \
`[[ ## proposed_instruction ## ]]`, and then ending with the marker for `[[ ## completed ## ]]`."""
ADVICE = """\
[[ ## worse_program_trajectory ## ]]
It takes some days.

[[ ## module_names ## ]]
["answer", "rewrite.predict"]

Respond with {form}"""
ADVICE_AS_CHAT = (
    "the corresponding output fields, starting with the field `[[ ## discussion ## ]]`, then "
    "`[[ ## module_advice ## ]]` (must be formatted as a valid Python dict[str, str]), and then ending with the "
    "marker for `[[ ## completed ## ]]`."
)
ADVICE_AS_JSON = (
    "a JSON object in the following order of fields: `discussion`, then `module_advice` (must be formatted as a "
    "valid Python dict[str, str])."
)


def said(request: str, **fields: Any) -> str:
    body = {"model": "editor", "messages": [{"role": "user", "content": request}], **fields}
    return reply(script("editor"), body, KNOWLEDGE).text


def asked(present: str, *complaints: str) -> str:
    return "\n".join(
        ["The instructions now:", f"```\n{present}\n```", *complaints, "Write new ones between triple backticks."]
    )


def proposed(present: str, *complaints: str, **fields: Any) -> str:
    found = re.fullmatch(r"```\n(.*)\n```", said(asked(present, *complaints), **fields), re.DOTALL)
    assert found
    return found[1]


def sections(text: str) -> Mapping[str, str]:
    return {name: value.strip() for name, value in re.findall(r"\[\[ ## (\w+) ## \]\]([^\[]*)", text)}


def helped(before: str, after: Sequence[str]) -> int:
    """How many of `after` are obeyed more often than `before`, in one thing at least, and less often in none."""
    old = attention(before).shares
    rises = [[attention(text).shares[name] - old[name] for name in old] for text in after]
    return sum(max(rise) > 0 and min(rise) >= 0 for rise in rises)


def test_the_same_request_has_the_same_answer_and_another_seed_or_temperature_others() -> None:
    assert proposed(BARE, seed=1, temperature=1.0) == proposed(BARE, seed=1, temperature=1.0)
    assert len({proposed(BARE, seed=seed) for seed in range(8)}) > 3
    assert len({proposed(BARE, temperature=temperature / 10) for temperature in range(8)}) > 3


def test_it_keeps_most_of_what_is_there_and_adds_what_it_has_on_file() -> None:
    for seed in range(30):
        added = set(proposed(BARE, seed=seed).splitlines()) - set(BARE.splitlines())
        kept = [line for line in added if line not in WORDINGS]
        assert added - set(kept)
        assert "Ours is help@tolvana.example." not in " ".join(added)


def test_it_is_right_more_often_than_not_and_far_from_always() -> None:
    tried = [proposed(BARE, VAGUE_FIGURES, seed=seed) for seed in range(100)]
    assert 50 < helped(BARE, tried) < 90


def test_a_complaint_makes_its_remedy_likelier() -> None:
    def remedied(*complaints: str) -> int:
        old = attention(BARE).shares["exactness"]
        tried = [proposed(BARE, *complaints, seed=seed) for seed in range(100)]
        return sum(attention(text).shares["exactness"] > old for text in tried)

    assert remedied(VAGUE_FIGURES, "Within some days. It costs some.") > remedied("It is impolite.") + 10


def test_what_is_said_already_is_seldom_said_again() -> None:
    exact = f"{BARE}\n{INSTRUCTIONS['exactness'][0]}"

    def again(present: str) -> int:
        lines = [set(proposed(present, seed=seed).splitlines()) - {*present.splitlines()} for seed in range(100)]
        return sum(bool(added & {*INSTRUCTIONS["exactness"]}) for added in lines)

    assert again(exact) < again(BARE)


def test_two_ideas_are_about_two_things() -> None:
    tried = [said("Write instructions.", seed=seed).splitlines()[1:] for seed in range(100)]
    pairs = [ideas for ideas in tried if len(ideas) == 2]
    assert pairs
    for texts in (*INSTRUCTIONS.values(), OTHER):
        assert not [pair for pair in pairs if {*pair} <= {*texts}]


def test_a_refusal_names_the_address_that_a_complaint_names_and_the_instructions_lack() -> None:
    tried = [proposed("Be polite.", "does not say: desk@shop.example", seed=seed) for seed in range(40)]
    refusing = [text for text in tried if attention(text).shares["refusal"] > 0.5]
    assert refusing
    assert {attention(text).contact for text in refusing} == {"desk@shop.example"}


def test_it_goes_on_with_bullets_and_leaves_slots_headings_and_addresses_alone() -> None:
    present = "# Desk\n- You work for {{ company }}.\n- Write to a@b.example.\n- Be kind. Do not shout."
    for seed in range(60):
        text = proposed(present, seed=seed)
        assert all(kept in text for kept in ("# Desk", "{{ company }}", "a@b.example"))
        assert text.rpartition("\n")[2].startswith("- ")


def test_shortened_instructions_lose_sentences_that_ask_for_nothing() -> None:
    for seed in range(10):
        text = said(f"Shorten these, and keep what they ask for.\n```\n{SUPPORT}\n```", seed=seed).strip("`\n")
        assert len(text) < len(SUPPORT)
        assert attention(text) == attention(SUPPORT)
    only = INSTRUCTIONS["language"][0]
    assert said(f"Shorten this.\n```\n{only}\n```") == f"```\n{only}\n```"


def test_without_instructions_it_begins_some() -> None:
    first, *ideas = said("Please write instructions for an assistant.").splitlines()
    assert first not in WORDINGS
    assert ideas
    assert set(ideas) <= set(WORDINGS)


def test_fields_between_markers_are_answered_between_markers() -> None:
    found = sections(said(CHAT.format(present=BARE)))
    assert list(found) == ["observations", "proposed_instruction", "completed"]
    assert found["proposed_instruction"].startswith(BARE.partition(".")[0])
    assert found["proposed_instruction"] != BARE
    assert "\n" not in found["observations"]


@pytest.mark.parametrize("as_json", [True, False])
def test_advice_is_given_to_each_module_by_its_name(as_json: bool) -> None:
    text = said(ADVICE.format(form=ADVICE_AS_JSON if as_json else ADVICE_AS_CHAT))
    found: Mapping[str, Any] = json.loads(text) if as_json else sections(text)
    advice = found["module_advice"] if as_json else json.loads(found["module_advice"])
    assert list(advice) == ["answer", "rewrite.predict"]
    assert any(wording in advice["answer"] for wording in WORDINGS)
    assert found["discussion"]


def test_without_module_names_advice_is_for_the_only_one() -> None:
    form = "a JSON object in the following order of fields: `advice` (must be formatted as a valid Python dict)."
    assert list(json.loads(said(f"Respond with {form}"))["advice"]) == ["self"]


def test_a_schema_says_what_fields_there_are() -> None:
    kinds = ("string", "array", "object", "boolean", "integer", "number")
    properties = {f"new_prompt_{kind}": {"type": kind} for kind in kinds}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"properties": properties}}}
    found = json.loads(said("Write a prompt.", response_format=form))
    assert {name: type(value) for name, value in found.items()} == dict(
        zip(properties, (str, list, dict, bool, int, float), strict=True)
    )


@given(st.text(max_size=400), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_any_request_can_be_made(request: str, seed: int) -> None:
    assert said(request, seed=seed)
    assert said(asked(request), seed=seed)
