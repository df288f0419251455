"""What the scorers say of an answer, each at most once.

The non-obvious decision: each score carries a hash of its scorer and of what that was told to expect. So a resumed
run knows by itself which scores still hold, even if it was killed while it scored others anew.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from evals.cases import Case, canonical
from evals.records import Answer, Row, Score, ScorerFacts
from evals.runner.ending import Ended, Ending
from evals.scorers.port import Scorer
from evals.targets.port import TargetFailure


@dataclass(slots=True)
class Marks:
    """`scores` by the scorer's name. `unjudged` tells why a scorer that applies has none.

    `cancelled`: the task was cancelled meanwhile. What it has is to be written down before it ends.
    """

    scores: dict[str, Score]
    unjudged: dict[str, str] = field(default_factory=dict)
    cancelled: bool = False


class Marking:
    """`reference` has another run's answers, by case: what pairwise judges compare with."""

    def __init__(self, scorers: Sequence[Scorer], reference: Mapping[str, str] | None = None) -> None:
        self._scorers = scorers
        self._reference = reference or {}
        self._judged_by: dict[str, str] = {}

    @property
    def facts(self) -> dict[str, ScorerFacts]:
        return {
            one.name: ScorerFacts(kind=one.kind, version=one.version, binary=one.binary, model=one.model)
            for one in self._scorers
        }

    @property
    def judges(self) -> list[Scorer]:
        return [scorer for scorer in self._scorers if scorer.model]

    def holds(self, case: Case, row: Row) -> bool:
        """Whether `row` has each score that it should have, and no other."""
        wanted = {scorer.name: self._by(scorer, case) for scorer in self._scorers if not scorer.lacks(case)}
        return wanted == {name: score.by for name, score in row.scores.items()}

    def lacks(self, case: Case) -> str:
        """What the scorers lack where none of them can judge `case`, and empty where one can."""
        missing = {scorer.name: scorer.lacks(case) for scorer in self._scorers}
        return "; ".join(f"{name} needs {what}" for name, what in missing.items()) if all(missing.values()) else ""

    def hold(self, name: str, judge: str) -> bool:
        """Whether `judge` is the one of the scorer `name`, which has the first one for as long as a run lasts."""
        return not judge or self._judged_by.setdefault(name, judge) == judge

    def by_one_judge(self, row: Row, unjudged: Mapping[str, str], ending: Ending) -> tuple[Row, Mapping[str, str]]:
        """`row` without scores of a judge who is not the one of earlier scores, which ends the run."""
        others = {name: score for name, score in row.scores.items() if not self.hold(name, score.judge)}
        for name, score in others.items():
            ending.call(
                f"The judge of {name} answered as {score.judge}, and earlier as {self._judged_by[name]}: scores of "
                "two judges can't be compared. Let `model` and `pinned` name one snapshot, and run it again."
            )
        scores = {name: score for name, score in row.scores.items() if name not in others}
        told = dict.fromkeys(others, "judge_changed: scored by another judge than earlier answers")
        return msgspec.structs.replace(row, scores=scores), {**unjudged, **told}

    async def mark(self, case: Case, answer: Answer, ending: Ending, had: Mapping[str, Score]) -> Marks:
        """Scores of an answer; those of `had` that still hold are kept. What there is, where the run ends."""
        marks = Marks({})
        for scorer in self._scorers:
            if scorer.lacks(case):
                continue
            by = self._by(scorer, case)
            kept = had.get(scorer.name)
            if kept is not None and kept.by == by:
                marks.scores[scorer.name] = kept
                continue
            try:
                score = await scorer.score(case, answer)
            except TargetFailure as failure:
                marks.unjudged[scorer.name] = f"{failure.code}: {failure.message}"
                if failure.fatal:
                    ending.call(failure.message)
            except Ended:
                marks.unjudged[scorer.name] = "the run ended"
            except (OSError, ValueError) as error:  # an encoder that is not installed, a judge of the same family
                marks.unjudged[scorer.name] = str(error)
                ending.call(f"{scorer.name}: {error}")
            except asyncio.CancelledError:
                marks.unjudged[scorer.name] = "the run ended"
                marks.cancelled = True
                return marks
            else:
                why = score.why.encode(errors="replace").decode()  # a model may write half a surrogate pair
                marks.scores[scorer.name] = msgspec.structs.replace(score, why=why, by=by)
        return marks

    def _by(self, scorer: Scorer, case: Case) -> str:
        other = self._reference.get(case.id, "") if scorer.kind == "pairwise" else ""
        told = [scorer.version, case.asked, case.expected, case.metadata, other]
        return hashlib.blake2b(canonical(told), digest_size=8).hexdigest()
