"""A judge for tests, whose verdicts are a function of what it is shown."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from distill.student.judging import Judge, JudgeSettings
from distill.student.teacher import Teacher
from evals.records import Answer
from evals.targets.port import TargetFailure
from tests.evals.runner.plain import PlainTarget


@dataclass
class Bench:
    """A judge that says what `says` makes of the material, and counts what it was asked; "broken" is a failure."""

    says: Callable[[Mapping[str, Any]], str]
    asked: Counter[str] = field(default_factory=Counter)

    def judge(self, folder: Path, cap: str = "5", concurrency: int = 4) -> Judge:
        settings = JudgeSettings(model="judge", cap_usd=Decimal(cap), concurrency=concurrency)
        target = PlainTarget(self._reply, takes_s=0.0)
        return Judge(Teacher(target, settings, folder / "judge", asked_as="judge"))

    def _reply(self, question: str, _: int) -> Answer | Exception:
        material = json.loads(question)
        self.asked[material["answer"]] += 1
        said = self.says(material)
        if said == "broken":
            return TargetFailure("server_error", "Broken.")
        return Answer(text=said, cost=Decimal("0.01"), completion_tokens=1)
