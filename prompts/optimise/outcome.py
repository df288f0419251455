"""What came of an optimisation, for the command line and the page alike."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Literal

from msgspec import Struct

from prompts.evidence import Evidence, Objective
from prompts.optimise.standing import Step
from prompts.prompt import BookedPrompt

CameTo = Literal["passed", "refused", "nothing", "stopped"]
"""`refused`: something scored better, and may not serve or could not be shown to be better. `stopped`: the same
order goes on."""


class TurnedAway(Struct, frozen=True):
    """A prompt that scored better than the one to begin with, and why it may not serve.

    `why` may quote a case; `logged`, which anybody may read, does not.
    """

    version: str
    why: str
    logged: str


class Outcome(Struct, frozen=True, kw_only=True):
    """`before` is the prompt to begin with, `found` the one that was tested; dollars are of all starts.

    `cases` are those of the three parts, `searched` what the search alone took, `ended` why it ended early.
    """

    came_to: CameTo
    reason: str
    name: str
    route: str
    suite: str
    optimiser: str
    objective: Objective
    folder: Path
    cases: tuple[int, int, int]
    before: BookedPrompt
    tried: int
    searched: Decimal
    spent: Decimal
    ended: str
    steps: tuple[Step, ...]
    found: BookedPrompt | None = None
    evidence: Evidence | None = None
    turned_away: tuple[TurnedAway, ...] = ()
