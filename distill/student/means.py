"""What the stages of a recipe work with: its configuration, traffic, suite, teacher and encoder.

The non-obvious decision: all of it is made when a stage first asks for it. A run whose stages are done reads no
suite, starts no teacher, and loads no encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from distill.student.judging import Judge
from distill.student.mining.traffic import Traffic, read_requests
from distill.student.recipe import Recipe
from distill.student.running import Tell
from distill.student.teacher import Teacher, teacher_of
from evals.suite import Suite, read_suite
from evals.targets.in_process import InProcessTarget
from evals.targets.port import Price
from evals.targets.prices import stated_price
from evals.targets.spec import DEFAULT_TIMEOUT_S, TargetSpec
from router.config.load import Loaded
from router.config.students import StudentUpstream

if TYPE_CHECKING:
    from evals.scorers.port import Vectors

TEACHER, JUDGE = "teacher", "judge"
"""The folders of what these two said: of no stage, since it is paid for once."""


@dataclass(frozen=True, kw_only=True)
class Means:
    """`version` is that of the encoder in the folder `encoder`; `state` is Weir's folder, `by` is who runs it."""

    recipe: Recipe
    loaded: Loaded
    folder: Path
    state: Path
    encode: Callable[[Sequence[str]], Vectors]
    encoder: Path
    version: str
    by: str

    @cached_property
    def suite(self) -> Suite | None:
        """Raises SuiteError."""
        return None if self.recipe.suite is None else read_suite(self.recipe.suite)

    @cached_property
    def teacher(self) -> Teacher | None:
        """Raises TeacherFailed."""
        settings = self.recipe.teacher
        return teacher_of(self._place, settings, self.folder / TEACHER) if settings.model else None

    @cached_property
    def judge(self) -> Judge | None:
        """Raises TeacherFailed."""
        settings = self.recipe.judge
        if not settings.model:
            return None
        return Judge(teacher_of(self._place, settings, self.folder / JUDGE, asked_as="judge"))

    @property
    def price(self) -> Price | None:
        """Of the teacher, or of the model that it would have to be: None where nobody knows it."""
        return self._priced(self.recipe.teacher.model or self.recipe.route)

    @property
    def student_price(self) -> Price | None:
        """As the recipe says, or the configuration of a model that is this student: None where neither does."""
        if self.recipe.student_price:
            return stated_price(self.recipe.student_price)
        config, whose = self.loaded.config, (self.recipe.route, self.recipe.tenant)
        for name in config.models:
            upstream = config.upstreams[self.loaded.upstream_of(name)]
            if isinstance(upstream, StudentUpstream) and (upstream.route, upstream.tenant or "") == whose:
                return self._priced(name)
        return None

    @property
    def _place(self) -> TargetSpec:
        return TargetSpec(config=self.recipe.config, tenant=self.recipe.tenant, state=self.state)

    def _priced(self, name: str) -> Price | None:
        """Of a route or model. Raises TargetFailure."""
        recipe, state = self.recipe, self.state
        target = InProcessTarget(
            name, self.loaded, recipe.config, tenant=recipe.tenant, state=state, timeout_s=DEFAULT_TIMEOUT_S
        )
        return target.price()

    def traffic(self, tell: Tell) -> Traffic:
        """What mining reads. Raises Unusable."""
        recipe = self.recipe
        return read_requests(
            self.loaded.config,
            route=recipe.route,
            owner=recipe.tenant,
            logs=recipe.logs,
            state=self.state,
            today=datetime.now(UTC).date(),
            tell=tell,
            teacher=recipe.teacher.model if recipe.teacher.model in self.loaded.config.models else "",
            regions=recipe.mine.regions,
            keep=recipe.mine.keep,
        )
