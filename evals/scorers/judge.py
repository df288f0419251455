"""`judge`: a model says whether an answer fulfils a rubric, the scorer's own or the case's `expected.rubric`.

Its errors are known only where it was calibrated on answers that people labelled: `weir eval calibrate`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from evals.cases import Case
from evals.judging.asking import Choice, JudgeModel, JudgeSettings, answered, rubric_of, shown
from evals.records import Answer, Score
from evals.scorers.port import Instruments

_REVISION = 1
_TASK = """
You judge whether the answer of an assistant passes a rubric. The rubric alone decides: not the answer's length,
tone or manner unless the rubric speaks of them. If the answer fulfils the rubric only in part, it does not pass.
"""
_CHOICE = Choice(field="pass", values=(True, False))


class RubricSettings(JudgeSettings):
    kind: Literal["judge"] = "judge"
    reference: bool = False
    """Show a right answer too: `expected.reference`, or else `expected.answer`."""
    documents: bool = False
    """Show the case's passages too."""


class Judge:
    """Raises evals.judging.families.SameFamily where it would judge its own family."""

    kind: ClassVar[str] = "judge"
    binary: bool = True

    def __init__(self, settings: RubricSettings, instruments: Instruments) -> None:
        self.name = settings.called
        self.version = settings.version(_REVISION)
        self.model = settings.model
        self._settings = settings
        self._judge = JudgeModel(settings, instruments)

    def lacks(self, case: Case) -> str:
        missing = []
        if not rubric_of(case, self._settings):
            missing.append("a `rubric`, or `expected.rubric`")
        if self._settings.reference and _reference(case) is None:
            missing.append("`expected.reference`")
        if self._settings.documents and not case.documents:
            missing.append("`documents`")
        return " and ".join(missing)

    async def score(self, case: Case, answer: Answer) -> Score:
        material: dict[str, Any] = {"conversation": shown(case)}
        notes = []
        if self._settings.documents:
            passages = [{"id": document.id, "text": document.text} for document in case.documents]
            material["passages"] = passages
            notes.append("`passages` are what the assistant was given to answer from.")
        if self._settings.reference:
            material["reference"] = _reference(case)
            notes.append("`reference` is a right answer; another wording may be as good.")
        material["answer"] = answered(answer)
        task = "\n".join([_TASK.strip(), *notes, "", "The rubric:", rubric_of(case, self._settings)])
        found = await self._judge.decide(answer, task, material, _CHOICE)
        return Score(value=float(bool(found.value)), why=found.reason, cost=found.cost, judge=found.model)


def _reference(case: Case) -> Any:
    return case.expected.get("reference", case.expected.get("answer"))
