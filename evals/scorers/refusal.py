"""`refusal`: an answer says that it does not know, where `expected.refuse` is true; where it is false it does not.

The non-obvious decision: what counts is the first sentence that says something. "I found nothing about hotels. The
help pages tell of coffee [1]." refuses; "It costs $29 [1]. How long that takes I could not find." answers.

Refusals are known by their words in English and Spanish, and the commonest in German and French. `phrases` are
regular expressions for others, such as a route's own `refusal`. An answer of a Weir that asked no model, since it
had found nothing, is a refusal whatever its words. A run's summary has precision and recall of all refusals.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from evals.cases import Case
from evals.records import Answer, Score
from evals.scorers.claims import claims_in
from evals.scorers.exact import quoted
from evals.scorers.port import Instruments, Settings

_REVISION = 1
RETRIEVAL, NOTHING = "retrieval", "nothing"
"""Among an answer's evidence, what a Weir says where its search came back empty."""


def _compilable(phrase: str) -> str:
    try:
        re.compile(phrase)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return phrase


class RefusalSettings(Settings):
    kind: Literal["refusal"] = "refusal"
    phrases: tuple[Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_compilable)], ...] = ()
    """Regular expressions; a sentence with one of them refuses. Case does not count."""


class Refusal:
    kind: ClassVar[str] = "refusal"
    model: str = ""
    binary: bool = True

    def __init__(self, settings: RefusalSettings, instruments: Instruments) -> None:
        self.name = settings.called
        self.version = settings.version(_REVISION)
        self._phrases = [re.compile(phrase, re.IGNORECASE) for phrase in settings.phrases]

    def lacks(self, case: Case) -> str:
        if "refuse" not in case.expected:
            return "`expected.refuse`"
        if case.expected["refuse"] is not True and case.expected["refuse"] is not False:
            raise ValueError("expected.refuse: must be true or false")
        return ""

    async def score(self, case: Case, answer: Answer) -> Score:
        refused, said = self._refused(answer)
        if refused == case.expected["refuse"]:
            return Score(value=1)
        why = "refuses what has an answer" if refused else "answers what has none"
        return Score(value=0, why=f"{why}: {quoted(said)}" if said else f"{why}, and says nothing")

    def _refused(self, answer: Answer) -> tuple[bool, str]:
        """Whether it refuses, and the sentence that tells."""
        if answer.evidence.get(RETRIEVAL) == NOTHING and not answer.completion_tokens:
            return True, answer.text
        for claim in claims_in(answer.text):
            if claim.refuses or any(phrase.search(claim.text) for phrase in self._phrases):
                return True, claim.text
            if not claim.empty:
                return False, claim.text
        return False, answer.text
