"""How two versions of a prompt differ, as a person reads it: word by word, section by section.

The non-obvious decision: a word or two that two changes happen to have between them count as changed too. A reader
follows one passage that was written anew more easily than ten that were not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, Literal

from msgspec import Struct

from prompts.prompt import BookedPrompt, Demonstration, Section

Change = Literal["same", "changed", "removed", "added"]

_WORD = re.compile(r"\S+\s*|\s+")
_LEAST_SAME = 3
"""Words in a row that are not changed between two changes; by eye, on prompts that optimisers had rewritten."""


class Passage(Struct, frozen=True):
    """Words that both versions have, or one of them. `change` is never `changed`."""

    change: Change
    text: str


class SectionDifference(Struct, frozen=True, kw_only=True):
    """A section by its name. `locked` is what it was and what it is; None where a version has no such section."""

    name: str
    change: Change
    locked: tuple[bool | None, bool | None]
    passages: tuple[Passage, ...]


class Difference(Struct, frozen=True, kw_only=True):
    """From one version to another.

    `slots` and `contract` hold what changed alone, each with what it was and what it is, or None.
    """

    sections: tuple[SectionDifference, ...]
    reordered: bool
    """Whether sections, or demonstrations, that both have stand in another order."""
    demonstrations_removed: tuple[Demonstration, ...]
    demonstrations_added: tuple[Demonstration, ...]
    slots: Mapping[str, tuple[str | None, str | None]]
    contract: Mapping[str, tuple[Any, Any]]
    rule: tuple[str, str]


def difference(before: BookedPrompt, after: BookedPrompt) -> Difference:
    """What would make `after` of `before`."""
    return Difference(
        sections=tuple(_sections(before.sections, after.sections)),
        reordered=_reordered([each.name for each in before.sections], [each.name for each in after.sections])
        or _reordered(before.demonstrations, after.demonstrations),
        demonstrations_removed=_only_in(before.demonstrations, after.demonstrations),
        demonstrations_added=_only_in(after.demonstrations, before.demonstrations),
        slots=_changed(before.slots, after.slots),
        contract=_changed(before.contract.terms, after.contract.terms),
        rule=(before.rule, after.rule),
    )


def passages(before: str, after: str) -> tuple[Passage, ...]:
    """`before` and `after` in one row of passages: without the added ones it is `before`, to the letter."""
    a, b = _WORD.findall(before), _WORD.findall(after)
    steps = SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    found: list[Passage] = []
    removed = added = ""
    for at, (step, a_from, a_to, b_from, b_to) in enumerate(steps):
        one, other = "".join(a[a_from:a_to]), "".join(b[b_from:b_to])
        inside = 0 < at < len(steps) - 1
        if step != "equal" or (inside and a_to - a_from < _LEAST_SAME):
            removed, added = removed + one, added + other
            continue
        found += [Passage("removed", removed), Passage("added", added), Passage("same", one)]
        removed = added = ""
    found += [Passage("removed", removed), Passage("added", added)]
    return tuple(passage for passage in found if passage.text)


def _sections(before: Sequence[Section], after: Sequence[Section]) -> Iterator[SectionDifference]:
    """In the order of `after`; what is gone comes last."""
    old, new = ({each.name: each for each in sections} for sections in (before, after))
    for name in [*new, *(name for name in old if name not in new)]:
        was, is_ = old.get(name), new.get(name)
        change: Change = "added" if was is None else "removed" if is_ is None else "changed"
        yield SectionDifference(
            name=name,
            change="same" if was == is_ else change,
            locked=(was.locked if was else None, is_.locked if is_ else None),
            passages=passages(was.text if was else "", is_.text if is_ else ""),
        )


def _reordered(before: Sequence[Any], after: Sequence[Any]) -> bool:
    return [each for each in before if each in after] != [each for each in after if each in before]


def _only_in(ours: Sequence[Demonstration], theirs: Sequence[Demonstration]) -> tuple[Demonstration, ...]:
    return tuple(each for each in ours if each not in theirs)


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = [*before, *(name for name in after if name not in before)]
    both = {name: (before.get(name), after.get(name)) for name in names}
    return {name: (was, is_) for name, (was, is_) in both.items() if was != is_}
