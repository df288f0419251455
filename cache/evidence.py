"""What one tenant's or pool's lookups on one route have shown, of each way to score them.

The non-obvious decision: the verifier does not always know best. It was trained on some questions, and where others
are asked the plain cosine may tell more. So the labels judge both, each with half of the doubt that is allowed, and
the scope serves by the one that proves the larger set of hits.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec import MsgspecError
from msgspec.msgpack import decode, encode
from msgspec.structs import replace

from cache.acceptance import CLOSED, Acceptance, AcceptanceTerms, score_of
from cache.limits import AcceptanceLimits

Scorer = Literal["verifier", "cosine"]
SCORERS: tuple[Scorer, Scorer] = ("verifier", "cosine")


class Choice(NamedTuple):
    """By which scores a scope serves, from which bin on, and the share of lookups that this is."""

    scorer: Scorer
    threshold: int
    share: float

    @property
    def score(self) -> float | None:
        """The lowest score that is served; None where none is."""
        return None if self.threshold == CLOSED else score_of(self.threshold)


class Evidence:
    """An `Acceptance` for each scorer. Belongs to one thread."""

    def __init__(self, limits: AcceptanceLimits | None = None) -> None:
        self._by = {scorer: Acceptance(limits) for scorer in SCORERS}
        self._counts = self._by["verifier"]
        """The one that keeps what has nothing to do with scores."""

    @property
    def events(self) -> int:
        """How many lookups and labels have been counted here."""
        return sum(acceptance.events for acceptance in self._by.values())

    @property
    def lookups(self) -> float:
        """How many lookups count, faded ones in part; so it is with all that follows."""
        return self._counts.lookups

    @property
    def near(self) -> float:
        """Of them, those that found something near."""
        return self._counts.near

    @property
    def labels(self) -> float:
        """Answers that were compared with fresh ones."""
        return self._counts.labels

    @property
    def served(self) -> float:
        """Answers served."""
        return self._counts.served

    def of(self, scorer: Scorer) -> Acceptance:
        """What is known by one scorer."""
        return self._by[scorer]

    def look(self, score: float | None, similarity: float | None = None) -> None:
        """Count a lookup: the best score of the verifier and the best cosine, None where nothing was near.

        Where there is no `similarity`, it is the score.
        """
        self._by["verifier"].look(score)
        self._by["cosine"].look(score if similarity is None else similarity)

    def label(self, score: float, wrong: bool, *, scorer: Scorer | None = None) -> None:
        """What `scorer` gave this score was compared with a fresh answer; None: both did."""
        for each in SCORERS if scorer is None else (scorer,):
            self._by[each].label(score, wrong)

    def choice(self, terms: AcceptanceTerms) -> Choice:
        """By which scores `terms` let the most be served, and from where on."""
        halved = replace(terms, confidence=(1 + terms.confidence) / 2)
        choices = []
        for scorer, acceptance in self._by.items():
            threshold = acceptance.threshold(halved)
            choices.append(Choice(scorer, threshold, acceptance.share_above(threshold)))
        return max(choices, key=lambda choice: choice.share)

    def serve(self) -> None:
        """An answer was served."""
        self._counts.serve()

    def audit(self, wrong: bool) -> None:
        """An answer that was served has been compared with a fresh one."""
        self._counts.audit(wrong)

    def audited(self, confidence: float) -> tuple[float, float, float] | None:
        """Wrong answers among all lookups as audits saw them: the estimate and its two-sided interval."""
        return self._counts.audited(confidence)

    def state(self) -> bytes:
        """All that is known, for `restore`."""
        return encode([self._by[scorer].state() for scorer in SCORERS])

    def restore(self, state: bytes) -> None:
        """Take over what another one knew, as far as memory goes. Raises ValueError where `state` is not one."""
        try:
            states = decode(state, type=tuple[bytes, bytes])
        except MsgspecError as error:
            raise ValueError("not the state of a scope's evidence") from error
        for scorer, part in zip(SCORERS, states, strict=True):
            self._by[scorer].restore(part)
