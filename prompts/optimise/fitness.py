"""Why a prompt may not be served, whatever it scores: not what its author locked, too long, or learned by heart.

The non-obvious decision: what a prompt quotes is told by runs of words and by facts, each where the prompt that it
comes from did not have them. A prompt that holds the questions of cases, or their answers, scores well on these and
on no others. There are two measures, since questions are sentences, and what is expected of an answer is often no
more than `$17`:

- `RUN` words in a row of what a case's user or assistant says, or of what is expected; of a shorter text all of
  them, if they are `SHORTEST`.
- `FACTS` of what is expected in one case, one of them with a figure or of several words.

What occurs in the cases of many clusters is how all of them speak, and no quotation. Demonstrations may quote: they
are cases, of the part that an optimiser learns from.

Measured on `examples/support`, all 294 cases, as tests/prompts/optimise/test_fitness.py holds it: of the questions,
each pasted into the prompt, 92 % are found, all of `SHORTEST` words among them; of the answers, each a sentence of
the facts that are expected, 89 %; of the others nearly all expect one fact. Of 88 sentences that prompts say, and
of 10 whole prompts in other words, none is taken for a quotation. Languages written without blanks are not cut into
words, so there only facts are found.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from evals.cases import Case
from prompts.optimise.estimate import prompt_tokens
from prompts.prompt import SLOT, BookedPrompt

RUN = 6
"""Words. Rules and questions have five in a row in common by chance: "how do I reset my"."""
SHORTEST = 4
"""Words of a whole question that nobody writes by chance. Shorter ones, such as "error E7", are anybody's."""
FACTS = 2
"""One alone may be a rule's own, such as a period that a company names everywhere."""
COMMON = 0.1
"""Share of the clusters above which a run or a fact is how all cases speak, but `_FEW` clusters at least."""
_FEW = 3
_WORD = re.compile(r"[$€£]?\d+(?:[.,]\d+)*%?|[^\W\d_]+")
"""Figures with their sign, so that "$1" is not the first item of a list."""
_NAMED = 5
"""Cases that a log names: enough to look at."""
_TOLD = 60
"""Letters of a quotation that the reason repeats: it is read by whoever writes the next prompt."""

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Fact:
    """Each of `ways` says it. `telling`: it has a figure, or several words."""

    ways: tuple[Words, ...]
    telling: bool


class Refusal(NamedTuple):
    """`why` is for whoever mends the prompt, and may quote a case. `logged` quotes nobody."""

    why: str
    logged: str


class Fitness:
    """Implements `prompts.optimise.ports.Unfit`, for prompts that are to follow `base`.

    `most_tokens` are those of instructions and demonstrations together. `quoted` are the cases that a search knows:
    none may be quoted. `shown` are those that demonstrations may be made of; None: any of `quoted`.
    """

    def __init__(
        self, base: BookedPrompt, *, most_tokens: int, quoted: Sequence[Case], shown: Sequence[Case] | None = None
    ) -> None:
        self._base = base
        self._most_tokens = most_tokens
        self._runs, self._facts = _quotable(quoted, _said_in(base))
        self._lengths = {len(run) for run in self._runs}
        self._lengths |= {len(way) for facts in self._facts.values() for fact in facts for way in fact.ways}
        self._shown = {case.question for case in (quoted if shown is None else shown)}
        self._hidden = {case.question for case in quoted} - self._shown

    def __call__(self, prompt: BookedPrompt) -> str:
        refusal = self.refusal(prompt)
        return refusal.why if refusal is not None else ""

    def refusal(self, prompt: BookedPrompt) -> Refusal | None:
        """None where `prompt` may be served. The same prompt has the same reason in every process."""
        why = self._changed(prompt) or self._slots(prompt) or self._long(prompt)
        return Refusal(why, why) if why else self._strange(prompt) or self._quotes(prompt)

    def _changed(self, prompt: BookedPrompt) -> str:
        """What is the author's word."""
        base = self._base
        if [(section.name, section.locked) for section in prompt.sections] != [
            (section.name, section.locked) for section in base.sections
        ]:
            return "its sections are not those of the prompt that it follows: keep their names, order and locks."
        for old, new in zip(base.sections, prompt.sections, strict=True):
            if old.locked and old.text != new.text:
                return f"it changes the section '{old.name}', which is locked: leave that as it is."
        for what in ("contract", "slots", "rule"):
            if getattr(base, what) != getattr(prompt, what):
                return f"it changes the {'merge rule' if what == 'rule' else what}: leave that as it is."
        return ""

    def _slots(self, prompt: BookedPrompt) -> str:
        had, has = _slots_of(self._base), _slots_of(prompt)
        if lost := sorted((had & self._base.slots.keys()) - has):
            return f"it lost {_braced(lost)}: what an installation fills in there must stay."
        if new := sorted(has - had - self._base.slots.keys()):
            return f"it has {_braced(new)}, which nobody fills: only slots that the prompt declares may be used."
        return ""

    def _long(self, prompt: BookedPrompt) -> str:
        tokens = prompt_tokens(prompt)
        if tokens <= self._most_tokens:
            return ""
        return f"it takes about {tokens:,} tokens, and {self._most_tokens:,} are allowed: make it shorter."

    def _strange(self, prompt: BookedPrompt) -> Refusal | None:
        """Demonstrations of other cases than those that are learned from would give the others away."""
        own = {shown.user for shown in self._base.demonstrations}
        for shown in prompt.demonstrations:
            if shown.user in own or shown.user in self._shown:
                continue
            whose = (
                "is kept for choosing among prompts" if shown.user in self._hidden else "is no case to learn from"
            )
            what = f"it has a demonstration that {whose}"
            return Refusal(f"{what}: {_short(shown.user)}.", f"{what}.")
        return None

    def _quotes(self, prompt: BookedPrompt) -> Refusal | None:
        words = _words("\n".join(section.text for section in prompt.tunable))
        said = dict.fromkeys(run for length in sorted(self._lengths) for run in _runs(words, length))
        found: dict[str, str] = {}
        for run in said:
            if (case := self._runs.get(run)) is not None:
                found.setdefault(case, f"it quotes the case {case}, '{_short(' '.join(run))}'")
        for case, told in self._given(said):
            found.setdefault(case, f"it gives the answer of the case {case}, '{_short(told)}'")
        if not found:
            return None
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        cases = f"{len(found)} cases" if len(found) > 1 else "a case"
        logged = f"it quotes {cases} of the suite: {', '.join([*found][:_NAMED])}{more}."
        return Refusal(f"{next(iter(found.values()))}: say the rule behind it.", logged)

    def _given(self, said: Collection[Words]) -> Iterator[tuple[str, str]]:
        """Cases whose answer is given, with what is said of it."""
        for case, facts in self._facts.items():
            found = [next((way for way in fact.ways if way in said), None) for fact in facts]
            given = [(fact, way) for fact, way in zip(facts, found, strict=True) if way is not None]
            if len({way for _, way in given}) >= FACTS and any(fact.telling for fact, _ in given):
                yield case, "', '".join(" ".join(way) for _, way in given)


def _quotable(cases: Sequence[Case], had: str) -> tuple[Mapping[Words, str], Mapping[str, Sequence[_Fact]]]:
    """Runs, each with a case that has it, and the facts of each case: those that are not in `had`, nor common."""
    runs: dict[Words, str] = {}
    clusters: defaultdict[Words, set[str]] = defaultdict(set)
    facts: dict[str, list[_Fact]] = {}
    for case in cases:
        own = set(_runs_of(case))
        facts[case.id] = list(_facts_of(case))
        for words in own | {way for fact in facts[case.id] for way in fact.ways}:
            clusters[words].add(case.cluster)
        for run in own:
            runs.setdefault(run, case.id)
    many = max(_FEW, COMMON * len({case.cluster for case in cases}))

    def telling(words: Words) -> bool:
        return len(clusters[words]) <= many and _line(words) not in had

    told = {case: [fact for fact in of if all(map(telling, fact.ways))] for case, of in facts.items()}
    return {run: case for run, case in runs.items() if telling(run)}, told


def _runs_of(case: Case) -> Iterator[Words]:
    """Of its turns, and of what is expected, in each way that it may be said."""
    texts = [text for turn in case.messages if turn["role"] in ("user", "assistant") for text in _texts(turn)]
    for words in map(_words, [*texts, *(way for ways in _leaves(case.expected) for way in ways)]):
        if len(words) >= SHORTEST:
            yield from _runs(words, min(RUN, len(words)))


def _facts_of(case: Case) -> Iterator[_Fact]:
    for said in _leaves(case.expected):
        ways = tuple(words for way in said if (words := _words(way)))
        if ways and max(map(len, ways)) < RUN:  # a longer one is found by its runs
            yield _Fact(ways, any(len(way) > 1 or any(map(str.isdigit, way[0])) for way in ways))


def _leaves(expected: Any) -> Iterator[Sequence[str]]:
    """Each text and figure that is expected, in the ways it may be said: "30 minutes|30 minutos" in two."""
    if isinstance(expected, Mapping):
        for value in expected.values():
            yield from _leaves(value)
    elif isinstance(expected, list | tuple):
        for value in expected:
            yield from _leaves(value)
    elif isinstance(expected, str):
        yield expected.split("|")
    elif isinstance(expected, int | float) and not isinstance(expected, bool):
        yield [str(expected)]


def _texts(turn: Mapping[str, Any]) -> Iterator[str]:
    content = turn.get("content")
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else ():
        if isinstance(part.get("text"), str):
            yield part["text"]


def _said_in(prompt: BookedPrompt) -> str:
    shown = (text for one in prompt.demonstrations for text in (one.user, one.assistant))
    return _line(_words("\n".join([prompt.text, *shown, *prompt.slots.values()])))


def _words(text: str) -> Words:
    """Lower case, without accents: who copies a question may mend its spelling."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return tuple(_WORD.findall("".join(letter for letter in plain if not unicodedata.combining(letter))))


def _runs(words: Words, length: int) -> Iterator[Words]:
    for start in range(len(words) - length + 1):
        yield words[start : start + length]


def _line(words: Words) -> str:
    return f" {' '.join(words)} "


def _slots_of(prompt: BookedPrompt) -> set[str]:
    return {name for section in prompt.tunable for name in SLOT.findall(section.text)}


def _braced(names: Iterable[str]) -> str:
    return ", ".join(f"{{{{ {name} }}}}" for name in names)


def _short(text: str) -> str:
    return text if len(text) <= _TOLD else f"{text[:_TOLD]}..."
