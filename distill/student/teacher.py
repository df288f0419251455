"""The teacher: a large model's answers to questions, within a sum, each of them paid for once.

The non-obvious decision: an answer is known by what was asked of which model, and by nothing of the configuration
around it. So a student that is promoted, or another route that is added, between two starts of a run makes nothing
be asked again; another model behind the teacher's name does.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Self

from msgspec import Struct
from pydantic import Field, JsonValue, PositiveInt, model_validator

from contracts.money import ZERO
from distill.student.child import StageFailed
from distill.student.running import Tell
from evals.cases import Case, canonical
from evals.records import Answer, Row
from evals.run_folder import Results, rows_in
from evals.runner.allowance import Allowance
from evals.runner.asking import Asking
from evals.runner.ending import Ending
from evals.runner.marking import Marking
from evals.runner.pace import Pace
from evals.runner.plan import Plan, Work
from evals.runner.recall import Recall
from evals.runner.running import Runner
from evals.runner.standing import paid_for
from evals.targets.in_process import InProcessTarget
from evals.targets.port import Target, TargetFailure
from evals.targets.spec import TargetSpec, target_of
from router.config.load import ConfigError, Loaded, load
from router.config.values import Section

AskedAs = Literal["teacher", "judge"]
"""As what of a recipe a model is asked."""
_CUT = frozenset({"length", "max_tokens", "content_filter"})
"""Why an answer ended that is not the whole one."""
_STOPPED = "It was stopped."


class TeacherSettings(Section):
    """Who teaches, and for how much."""

    model: str = Field("", description="The model or route that teaches; left out: nobody is asked.")
    cap_usd: Decimal | None = Field(
        None, gt=0, description="Dollars that it may take in all, over all starts. Needed where a `model` is named."
    )
    concurrency: PositiveInt = Field(8, description="Questions asked at a time.")
    max_tokens: PositiveInt = Field(
        512, description="Tokens of an answer at most: one that is cut short there teaches nothing."
    )
    request: dict[str, JsonValue] = Field(
        {"temperature": 0}, description="Fields of each request. Some models take no other temperature than 1."
    )

    @model_validator(mode="after")
    def _capped(self) -> Self:
        if self.model and self.cap_usd is None:
            raise ValueError("a model that is asked needs a `cap_usd`: the dollars that it may take")
        return self


class Asked(Struct, frozen=True):
    """A conversation that ends with a user's turn. `id` is what the caller knows it by."""

    id: str
    messages: tuple[Mapping[str, Any], ...]


class Taught(Struct, frozen=True, kw_only=True):
    """A whole answer. `cost` in dollars is what it took, this time or earlier; `model` is what says it answered."""

    answer: str
    cost: Decimal
    model: str


class Teacher:
    """Asks `target`, which is not started, and keeps what it answers in `folder`.

    `version` names whatever would change its answers; left out: the target's own. Raises ValueError for settings
    without a cap.
    """

    def __init__(
        self,
        target: Target,
        settings: TeacherSettings,
        folder: Path,
        *,
        version: str = "",
        asked_as: AskedAs = "teacher",
    ) -> None:
        self._asked_as, self._cap = asked_as, f"{asked_as}.cap_usd"
        if settings.cap_usd is None:
            raise ValueError(f"{self._cap} is missing: say how many dollars the {asked_as} may take")
        self._target = target
        self._settings = settings
        self._folder = folder
        self._version = version or target.version
        self.left_out = 0
        """Questions of the last call that the cap left without an answer."""

    @property
    def name(self) -> str:
        return self._settings.model or self._target.name

    @property
    def spent(self) -> Decimal:
        """Dollars, by this start and earlier ones. Raises RunUnusable where the answers are damaged."""
        return sum((paid_for(row) for row in rows_in(self._folder)), ZERO)

    def unanswered(self, asked: Sequence[Asked]) -> list[Asked]:
        """Those that `answers` would have to ask, each once. Raises RunUnusable where what was kept is damaged."""
        plan = self._plan(asked)
        kept = {row.key for row in rows_in(self._folder) if row.answer is not None}
        missing = {plan.key(case, 0): one for one, case in zip(asked, plan.cases, strict=True)}
        return [one for key, one in missing.items() if key not in kept]

    def answers(self, asked: Sequence[Asked], tell: Tell) -> Mapping[str, Taught]:
        """What is answered, by the questions' ids: all, but for what failed, was cut short or is beyond the cap.

        Those that come first are asked first. Raises StageFailed, OSError, and RunUnusable where what was kept
        is damaged. Ctrl-C lets what is under way end, and is then raised.
        """
        plan = self._plan(asked)
        works = {work.key: work for work in plan.works()}
        known = {row.key: row for row in rows_in(self._folder) if row.answer is not None and row.key in works}
        missing = [work for key, work in works.items() if key not in known]
        self.left_out = 0
        if missing:
            asyncio.run(self._ask(missing, plan, known, tell))
        found = {one.id: known.get(plan.key(case, 0)) for one, case in zip(asked, plan.cases, strict=True)}
        return {id_: taught for id_, row in found.items() if row is not None and (taught := _taught(row))}

    def _plan(self, asked: Sequence[Asked]) -> Plan:
        settings = self._settings
        bound = {} if "max_completion_tokens" in settings.request else {"max_tokens": settings.max_tokens}
        return Plan(
            cases=[_case(one) for one in asked],
            repeats=1,
            target_version=self._version,
            request={**settings.request, **bound},
        )

    async def _ask(self, works: Sequence[Work], plan: Plan, known: dict[str, Row], tell: Tell) -> None:
        target, ending = self._target, Ending()
        try:
            await target.start()
            try:
                if target.price() is None:
                    raise StageFailed(
                        f"Nobody knows what {self.name} costs, so {self._cap} cannot be kept: price it."
                    )
                await self._work_through(works, plan, known, ending, tell)
            finally:
                await target.close()
        except TargetFailure as failure:
            raise StageFailed(failure.message) from failure
        if ending.reason.startswith(self._cap):
            self.left_out = sum(work.key not in known for work in works)
        elif ending.called:
            raise StageFailed(ending.reason)

    async def _work_through(
        self, works: Sequence[Work], plan: Plan, known: dict[str, Row], ending: Ending, tell: Tell
    ) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        settings, done = self._settings, 0
        allowance = Allowance(self._target.price, ending, cap=settings.cap_usd, spent=self.spent, option=self._cap)
        asking = Asking(self._target, ending=ending, pace=Pace(ending), allowance=allowance)
        results = Results(self._folder)

        def deliver(row: Row, _: Mapping[str, str] | None) -> None:
            nonlocal done
            results.append(row)
            if row.answer is not None:
                known[row.key] = row
            done += 1
            tell(f"asking the {self._asked_as}", done, len(works))

        runner = Runner(
            asking=asking,
            marking=Marking(()),
            recall=Recall(None),
            ending=ending,
            request=plan.request,
            deliver=deliver,
        )
        work = asyncio.create_task(runner.work_through(works, settings.concurrency))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:  # what was sent is paid for: it may end, and is kept
            ending.call(_STOPPED)
            await work
            raise
        finally:
            results.close()


def teacher_of(
    spec: TargetSpec, settings: TeacherSettings, folder: Path, *, asked_as: AskedAs = "teacher"
) -> Teacher:
    """The teacher that `settings` name, at the place that `spec` names. Raises StageFailed, with advice."""
    spec = spec.of(settings.model)
    try:
        if spec.config is None:
            return Teacher(target_of(spec), settings, folder, asked_as=asked_as)
        loaded = load(spec.config)
        target = InProcessTarget(
            spec.target,
            loaded,
            spec.config,
            tenant=spec.tenant,
            state=spec.state,
            timeout_s=spec.timeout_s,
            purpose="train",
        )
    except TargetFailure as failure:
        raise StageFailed(failure.message) from failure
    except ConfigError as error:
        raise StageFailed(str(error)) from error
    version = _version_of(loaded, spec.target) or target.version
    return Teacher(target, settings, folder, version=version, asked_as=asked_as)


def _version_of(loaded: Loaded, model: str) -> str:
    """Of a model and the upstream behind it; empty for a route, which has more that changes answers: all of it."""
    found = loaded.config.models.get(model)
    if found is None:
        return ""
    upstream = loaded.upstream_of(model)
    settings = loaded.config.upstreams[upstream].model_dump(mode="json", exclude={"api_key"})
    told = [model, found.model_dump(mode="json", exclude={"price"}), upstream, settings]
    return hashlib.blake2b(canonical(told), digest_size=8).hexdigest()


def _case(asked: Asked) -> Case:
    """Under a name that is of its content: two callers may know it by different ones."""
    case = Case(id="", messages=asked.messages, expected={}, segment="all", cluster="", metadata={})
    return replace(case, id=case.asked, cluster=case.asked)


def _taught(row: Row) -> Taught | None:
    """None for an answer that is not whole, or that is calls and no text."""
    answer: Answer | None = row.answer
    if answer is None or answer.finish in _CUT or not answer.text.strip() or answer.tool_calls:
        return None
    return Taught(answer=answer.text, cost=answer.cost or ZERO, model=answer.model)
