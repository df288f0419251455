"""What is to be optimised, as the command line says it and a run's folder keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal

from evals.suite import Suite
from evals.targets.spec import DEFAULT_TIMEOUT_S
from prompts.evidence import Objective
from prompts.prompt import BookedPrompt
from router.config.load import Loaded

OptimiserName = Literal["gepa", "miprov2", "bootstrap", "simba", "shorten"]
"""`shorten` is Weir's own: it looks for a cheaper prompt whose answers are as good."""
Effort = Literal["light", "medium", "heavy"]
"""How long an optimiser searches where no budget ends it before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """`prompt` is the version to begin with, called `name` and used by `route`; requests are `tenant`'s.

    `budget` is in dollars, for task, reflection and judge calls together; None: no cap. `reflect_with` is a model
    of the configuration that writes instructions; empty where none is asked to. `folder` keeps what the search
    does, so that it can go on.
    """

    loaded: Loaded
    path: Path
    """Of the configuration."""
    state: Path
    route: str
    name: str
    prompt: BookedPrompt
    tenant: str
    suite: Suite
    optimiser: OptimiserName
    folder: Path
    reflect_with: str
    objective: Objective = "quality"
    effort: Effort = "light"
    budget: Decimal | None = None
    test_share: float = 0.4
    """Of the cases, which no optimiser sees."""
    seed: int = 0
    concurrency: int = 8
    most_tokens: int
    """Of instructions and demonstrations together."""
    most_demonstrations: int = 4
    """As many as dspy's optimisers add where nobody says."""
    timeout_s: float = DEFAULT_TIMEOUT_S
