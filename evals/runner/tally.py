"""What a run has come to so far: what its bar and its last line tell."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from contracts.money import ZERO
from evals.records import Row


@dataclass(slots=True)
class Tally:
    """`total` is the work of the whole run; `kept` of it an earlier start had done. `spent` is this start's."""

    total: int
    quality: str
    kept: int = 0
    done: int = 0
    errors: int = 0
    recalled: int = 0
    unjudged: int = 0
    spent: Decimal = ZERO
    last_error: str = ""
    note: str = ""
    """What is going on besides, such as how far a batch is."""
    _sum: float = field(default=0.0, repr=False)
    _scored: int = field(default=0, repr=False)

    def count(self, row: Row) -> None:
        """A row that stands, old or new."""
        self.done += 1
        self.recalled += row.recalled
        if row.error:
            self.errors += 1
            self.last_error = row.error
            self._scored += 1  # an answer that never came is worth nothing
        elif score := row.scores.get(self.quality):
            self._sum += score.value
            self._scored += 1

    @property
    def score(self) -> float | None:
        """The mean of the scorer that stands for quality, so far."""
        return self._sum / self._scored if self._scored else None
