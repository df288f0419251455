"""`pairwise`: a model says whether an answer is better (1) than another, as good (.5) or worse (0).

The other one is what an earlier run answered to the case, or `expected.reference`. Judges favour a position (Zheng
et al., "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", NeurIPS 2023), so each pair is judged twice, with
positions swapped; where the two do not say the same, it is a tie.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from evals.cases import Case
from evals.judging.asking import Choice, JudgeModel, JudgeSettings, answered, rubric_of, shown
from evals.records import Answer, Score
from evals.scorers.port import Instruments

_REVISION = 1
_TASK = """
You compare two answers of assistants, `first` and `second`, to the same conversation. Say which is better by the
criterion below, or "tie" where neither is. Their order, length and manner count for nothing unless the criterion
speaks of them.
"""
_CRITERION = "It answers what was asked, rightly and completely, without saying anything false."
_CHOICE = Choice(field="better", values=("first", "second", "tie"))


class PairwiseSettings(JudgeSettings):
    kind: Literal["pairwise"] = "pairwise"
    rubric: str = _CRITERION


class Pairwise:
    """Raises evals.judging.families.SameFamily where it would judge its own family."""

    kind: ClassVar[str] = "pairwise"
    binary: bool = False

    def __init__(self, settings: PairwiseSettings, instruments: Instruments) -> None:
        self.name = settings.called
        self.version = settings.version(_REVISION)
        self.model = settings.model
        self._settings = settings
        self._others = instruments.reference
        self._judge = JudgeModel(settings, instruments)

    def lacks(self, case: Case) -> str:
        rubric_of(case, self._settings)
        if "reference" in case.expected and not isinstance(case.expected["reference"], str):
            raise ValueError("expected.reference: must be a text")
        return "" if self._other(case) is not None else "another run to compare with, or `expected.reference`"

    async def score(self, case: Case, answer: Answer) -> Score:
        other = self._other(case) or ""
        if answer.text == other and not answer.tool_calls:
            return Score(value=0.5, why="both answers are the same")
        mine, theirs = answered(answer), {"text": other}
        task = "\n".join([_TASK.strip(), "", "The criterion:", rubric_of(case, self._settings) or _CRITERION])
        talk = {"conversation": shown(case)}
        ahead = await self._judge.decide(answer, task, {**talk, "first": mine, "second": theirs}, _CHOICE)
        behind = await self._judge.decide(answer, task, {**talk, "first": theirs, "second": mine}, _CHOICE)
        cost = ahead.cost + behind.cost
        verdicts = (_WINS_AHEAD[str(ahead.value)], _WINS_BEHIND[str(behind.value)])
        if verdicts[0] == verdicts[1]:
            return Score(value=verdicts[0], why=ahead.reason, cost=cost, judge=ahead.model)
        told = " and ".join(_CALLED[verdict] for verdict in verdicts)
        why = f"the judge was inconsistent: {told} when shown first and second. {ahead.reason} {behind.reason}"
        return Score(value=0.5, why=why.strip(), cost=cost, judge=ahead.model)

    def _other(self, case: Case) -> Any:
        try:
            return self._others[case.id]
        except KeyError:
            return case.expected.get("reference")


_WINS_AHEAD = {"first": 1.0, "second": 0.0, "tie": 0.5}
_WINS_BEHIND = {"first": 0.0, "second": 1.0, "tie": 0.5}
_CALLED = {1.0: "better", 0.0: "worse", 0.5: "as good"}
