"""Asks the model that reflects for better instructions, in words of our own.

The non-obvious decision: the model is told what a proposal is refused for before it writes one. A proposal that
drops a slot or quotes an example costs a call and can never be served.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from prompts.optimise.feedback import escaping
from prompts.optimise.ports import CallFailed, Line
from prompts.prompt import SLOT, BookedPrompt

_TASK = """\
You improve the instructions of an assistant. Below are its instructions as they are now, and examples of how it did
with them: what it was asked, what it replied, and what a reviewer said."""
_RULES = """\
Find out what the replies lack, and rewrite the instructions so that the assistant does better on questions of all
kinds, not only on these. Keep what works. Write general rules: do not quote or mention these examples, their facts,
numbers or names. Be brief."""
_FORM = "Write the new instructions, complete, between triple backticks, and nothing else between them."
_WARM = 1.0
"""Temperature: the same instructions and examples are to give another proposal the next time."""
_FENCED = re.compile(r"```(?:[a-zA-Z]*\n)?(.*)```", re.DOTALL)


class Proposer:
    """GEPA's proposal function."""

    def __init__(self, line: Line, base: BookedPrompt) -> None:
        self._line = line
        self._base = base

    def __call__(
        self,
        candidate: Mapping[str, str],
        reflective_dataset: Mapping[str, Sequence[Mapping[str, Any]]],
        components_to_update: Sequence[str],
    ) -> dict[str, str]:
        """New texts by component; a component whose call failed keeps its own."""
        return {
            name: self._proposed(candidate[name], reflective_dataset.get(name, ())) for name in components_to_update
        }

    def _proposed(self, instructions: str, examples: Sequence[Mapping[str, Any]]) -> str:
        request = {"role": "user", "content": request_of(instructions, examples, self._base)}
        try:
            with escaping():
                said = self._line.model([request], _WARM)
        except CallFailed:
            return instructions
        return proposal_in(said) or instructions


def request_of(instructions: str, examples: Sequence[Mapping[str, Any]], base: BookedPrompt) -> str:
    """What the model is asked, for instructions of `base`'s tunable sections."""
    shown = [
        f"Example {number}\nAsked: {' '.join(example['Inputs'].values())}\n"
        f"Replied: {' '.join(example['Generated Outputs'].values())}\nReview: {example['Feedback']}"
        for number, example in enumerate(examples, 1)
    ]
    parts = [
        _TASK,
        f"The instructions now:\n```\n{instructions}\n```",
        *shown,
        standing_notes(base),
        _RULES,
        _FORM,
    ]
    return "\n\n".join(part for part in parts if part)


def standing_notes(base: BookedPrompt) -> str:
    """What of `base` stays as it is, for a model that writes its instructions; empty where nothing does."""
    notes = [
        f"The assistant is also told this, which stays as it is and need not be repeated:\n{section.text}"
        for section in base.sections
        if section.locked
    ]
    if base.contract.text:
        notes.append(f"Last of all it is told this, which stays too:\n{base.contract.text}")
    slots = sorted({f"{{{{ {name} }}}}" for section in base.tunable for name in _slots(section.text, base)})
    if slots:
        notes.append(f"Keep these placeholders, written just so, and add no others: {', '.join(slots)}")
    if len(base.tunable) > 1:
        headings = ", ".join(f"'## {section.name}'" for section in base.tunable)
        notes.append(f"Keep these headings, each on a line of its own: {headings}")
    return "\n\n".join(notes)


def proposal_in(said: str) -> str:
    """What stands between the first triple backticks and the last; all of it where there are none."""
    found = _FENCED.search(said)
    return (found[1] if found else said.replace("```", "")).strip()


def _slots(text: str, base: BookedPrompt) -> set[str]:
    return {name for name in SLOT.findall(text) if name in base.slots}
