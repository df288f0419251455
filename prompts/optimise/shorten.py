"""Finds a cheaper prompt whose answers are as good: Weir's own optimiser, which needs nothing installed.

It takes parts away (a demonstration, a sentence of a tunable section), has the model that reflects say what is left
in fewer words, and moves slots behind what all tenants share, so that a provider caches more of it. Each move is
kept where the validation cases, beside the prompt that was begun with, lose no more than the suite's margin.

The non-obvious decision: the cases that it learns from only say in which order parts are tried. What none of them
misses is taken away in one go and halved where that was too much, so a prompt full of padding costs a few rounds
of validation instead of one for each sentence.

What no case asks for is what it takes away. A rule that must stay, such as what never to ask a customer for, needs
a locked section, or cases of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random

import msgspec

from evals.cases import Case
from evals.findings import TINY
from prompts.optimise.ports import CallFailed, Expected, Search, SearchEnded
from prompts.prompt import SLOT, BookedPrompt, Section

LEARN_SHARE = 0.2
"""Of the cases that are not for the test: the order of trying needs few, and a loss of two points shows in many."""
_BATCH = 8
"""Cases between two looks at whether a prompt is worth asking on. Fixed, so that concurrency changes no call."""
_SURE = 1.96
"""Standard errors of the mean loss: a prompt that is no worse is given up in one of forty looks."""
_WORDS = 12
"""A section of fewer words is not worth the calls that a shorter one takes."""
_TRIES: Mapping[str, int] = {"light": 1, "medium": 2, "heavy": 3}
"""Texts asked for of each section."""
_OTHERWISE = 1.0
"""Temperature of all but the first, lest they be the same."""
_MARK = r"[ \t]*(?:[-*•]|\d+[.)])"
_SENTENCE = re.compile(
    rf"""(?:^{_MARK}[ \t]+)?
    (?P<said> (?![#\n]) (?:[^\n] | (?<!:)\n(?![ \t]*\n|[ \t]*[#|>]|{_MARK}[ \t]))*? [.!?]["')\]]* (?=\s|$) [ \t]*
            | [^\n]+)""",
    re.MULTILINE | re.VERBOSE,
)
"""One that was wrapped goes on in the next line, but not into a heading, a list or another paragraph."""
_LONE_MARK = re.compile(rf"^{_MARK}[ \t]*$\n?", re.MULTILINE)
_TRAILING = re.compile(r"[ \t]+$", re.MULTILINE)
_GAPS = re.compile(r"\n{3,}")
_FENCE = re.compile(r"```[^\n]*\n(.*)```", re.DOTALL)

_ASKED = """\
Shorten the instructions below, which are part of what an assistant is told before each question. Say all \
that changes its answers, in as few words as you can: leave out courtesies, repetitions and reasons. Keep each \
name, address, number and {{{{ slot }}}} exactly as it is written. Add nothing.

Instructions:
```
{text}
```

Give the shortened instructions between triple backticks."""


class Shorten:
    """Implements `prompts.optimise.ports.Optimiser`."""

    name = "shorten"
    tunes = "instructions and demonstrations, which become fewer"

    def split(self, cases: int) -> float:
        return LEARN_SHARE

    def expected(self, search: Search) -> Expected:
        train, validation = len(search.parts.train), len(search.parts.validation)
        parts = len(_parts(search.prompt))
        texts = _TRIES[search.effort] * sum(_worth_a_call(each.text) for each in search.prompt.tunable)
        rounds = math.ceil(math.log2(parts + 1)) + texts + (_stable(search.prompt) is not None)
        half = math.ceil(rounds / 2)  # a prompt that loses too much is given up early
        return Expected(task=train * (1 + parts) + validation * (1 + half), reflection=texts)

    def best(self, search: Search) -> BookedPrompt:
        """The cheapest that loses no more than the margin: the prompt that was begun with where none does."""
        race = _Race(search)
        found = search.prompt
        try:
            for better in _cheaper(search, race):
                found = better
        except SearchEnded:
            if not race.begun:
                raise
        return found


class _Part(msgspec.Struct, frozen=True):
    """What may be taken away: a demonstration by its place, or the letters `start` to `end` of a section."""

    section: str
    start: int
    end: int


class _Race:
    """Asks cases under a prompt, and says what it loses against the one that was begun with.

    `begun`: that one has been asked all of them.
    """

    def __init__(self, search: Search) -> None:
        draw = Random(search.seed)  # noqa: S311 - an order, no secret
        self._search = search
        self._train, self._validation = list(search.parts.train), list(search.parts.validation)
        draw.shuffle(self._train)
        draw.shuffle(self._validation)
        self._base: dict[str, float] = {}
        self.begun = False

    def begin(self) -> None:
        """Ask the first prompt all cases. Those without an answer are left out from then on."""
        for cases in (self._train, self._validation):
            values = self._values(self._search.prompt, cases)
            self._base |= {case.id: each for case, each in zip(cases, values, strict=True) if each is not None}
        self._train = [case for case in self._train if case.id in self._base]
        self._validation = [case for case in self._validation if case.id in self._base]
        self.begun = True

    def misses(self, prompt: BookedPrompt) -> float:
        """The mean loss in the cases that are learned from."""
        losses = self._losses(prompt, self._train)
        return sum(losses) / len(losses) if losses else 0.0

    def holds(self, prompt: BookedPrompt) -> bool:
        """Whether `prompt` loses no more than the margin in the validation cases, asked until that is sure."""
        if self._search.unfit(prompt):
            return False
        losses: list[float] = []
        total, margin = len(self._validation), self._search.margin + TINY
        for start in range(0, total, _BATCH):
            batch = self._validation[start : start + _BATCH]
            losses += self._losses(prompt, batch)
            gain = sum(1 - self._base[case.id] for case in self._validation[start + _BATCH :])
            if sum(losses) - gain > margin * total or _clearly_above(losses, margin):
                return False
        return bool(losses) and sum(losses) <= margin * total

    def _losses(self, prompt: BookedPrompt, cases: Sequence[Case]) -> list[float]:
        values = self._values(prompt, cases)
        return [self._base[case.id] - (value or 0.0) for case, value in zip(cases, values, strict=True)]

    def _values(self, prompt: BookedPrompt, cases: Sequence[Case]) -> list[float | None]:
        with ThreadPoolExecutor(self._search.concurrency) as threads:
            return list(threads.map(lambda case: self._value(prompt, case), cases))

    def _value(self, prompt: BookedPrompt, case: Case) -> float | None:
        """None where there is no answer. Raises SearchEnded."""
        line, messages = self._search.line, self._search.messages(prompt, case)
        try:
            value = line.mark(case, line.task(case, messages, version=prompt.version)).value
        except CallFailed:
            return None
        self._search.told(prompt, case, value)
        return value


def _cheaper(search: Search, race: _Race) -> Iterator[BookedPrompt]:
    """Ever cheaper prompts, each as good as the first."""
    race.begin()
    found = search.prompt
    for fewer in _fewer_parts(search, race):
        found = fewer
        yield found
    for name in [section.name for section in found.tunable]:
        for shorter in _fewer_words(search, race, found, name):
            found = shorter
            yield found
    moved = _stable(found)
    if moved is not None and race.holds(moved):
        yield moved


def _fewer_parts(search: Search, race: _Race) -> Iterator[BookedPrompt]:
    """With parts taken away: first all that no case misses together, else half of them, and so on."""
    lost: dict[_Part, float] = {}
    for part in _parts(search.prompt):
        prompt = _without(search.prompt, [part])
        if prompt is not None and not search.unfit(prompt):
            lost[part] = race.misses(prompt)
    gone: list[_Part] = []
    hopeful = sorted((part for part in lost if lost[part] <= search.margin + TINY), key=lost.__getitem__)
    waiting = [hopeful] if hopeful else []
    while waiting:
        parts = waiting.pop()
        prompt = _without(search.prompt, [*gone, *parts])
        if prompt is not None and race.holds(prompt):
            gone += parts
            yield prompt
        elif len(parts) > 1:
            half = len(parts) // 2
            waiting += [parts[half:], parts[:half]]  # what is missed least comes first


def _fewer_words(search: Search, race: _Race, prompt: BookedPrompt, name: str) -> Iterator[BookedPrompt]:
    """With a section as the reflecting model says it, where that is shorter and as good."""
    for number in range(_TRIES[search.effort]):
        (text,) = [each.text for each in prompt.sections if each.name == name]
        if not _worth_a_call(text):
            return
        asked = [{"role": "user", "content": _ASKED.format(text=text)}]
        try:
            said = search.line.model(asked, _OTHERWISE if number else None)
        except CallFailed:
            continue
        fenced = _FENCE.search(said)
        shorter = (fenced[1] if fenced else said).strip()
        if shorter and len(shorter.encode()) < len(text.encode()) and race.holds(prompt.tuned({name: shorter})):
            prompt = prompt.tuned({name: shorter})
            yield prompt


def _worth_a_call(text: str) -> bool:
    return len(text.split()) >= _WORDS


def _parts(prompt: BookedPrompt) -> list[_Part]:
    """Demonstrations, then sentences of tunable sections; headings and bullets count as sentences."""
    shown = [_Part("", place, place + 1) for place in range(len(prompt.demonstrations))]
    said = [
        _Part(section.name, *found.span("said"))
        for section in prompt.tunable
        for found in _SENTENCE.finditer(section.text)
        if found["said"].strip()
    ]
    return shown + said


def _without(prompt: BookedPrompt, parts: Sequence[_Part]) -> BookedPrompt | None:
    """None where nothing would be left."""
    away = {part.start for part in parts if not part.section}
    shown = [each for place, each in enumerate(prompt.demonstrations) if place not in away]
    texts = {
        section.name: _cut(section.text, [part for part in parts if part.section == section.name])
        for section in prompt.tunable
    }
    try:
        return prompt.tuned(texts, shown)
    except ValueError:
        return None


def _cut(text: str, parts: Sequence[_Part]) -> str:
    if not parts:
        return text
    for part in sorted(parts, key=lambda part: part.start, reverse=True):
        text = text[: part.start] + text[part.end :]
    return _GAPS.sub("\n\n", _TRAILING.sub("", _LONE_MARK.sub("", text))).strip()


def _stable(prompt: BookedPrompt) -> BookedPrompt | None:
    """With tunable sections that hold slots behind all that are alike for every tenant; None where that is so.

    Locked sections keep their order among each other, and so do those that are moved.
    """
    moving = [section for section in prompt.tunable if _varies(prompt, section)]
    staying = [section for section in prompt.sections if section not in moving]
    moved = msgspec.structs.replace(prompt, sections=(*staying, *moving))
    return moved if _shared(moved) > _shared(prompt) else None


def _varies(prompt: BookedPrompt, section: Section) -> bool:
    return any(found[1] in prompt.slots for found in SLOT.finditer(section.text))


def _shared(prompt: BookedPrompt) -> int:
    """Letters before the first slot: what a provider's cache has for every tenant."""
    text = prompt.text
    return min((found.start() for found in SLOT.finditer(text) if found[1] in prompt.slots), default=len(text))


def _clearly_above(losses: Sequence[float], margin: float) -> bool:
    """Whether the mean loss is above `margin`, were the next cases like these.

    A case of +1 and one of -1 are added, as `evals.statistics.paired` does, lest a few that agree seem to be all.
    """
    widened = [*losses, 1.0, -1.0]
    mean = sum(losses) / len(widened)
    variance = sum((loss - mean) ** 2 for loss in widened) / (len(widened) - 1)
    return mean - _SURE * math.sqrt(variance / len(widened)) > margin
