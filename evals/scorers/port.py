"""What every scorer is, and what it may ask for."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field

from evals.cases import Case, canonical
from evals.records import Answer, Score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    """(texts, dimensions), each row of length one."""


class Settings(BaseModel):
    """What a suite says of one scorer. `name` is what scores are filed under; left out, the kind's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    name: str = Field("", max_length=64)

    @property
    def called(self) -> str:
        return self.name or self.kind

    def version(self, revision: int) -> str:
        """A hash of these settings and of `revision`, which is raised when the scorer would score otherwise."""
        said = [revision, self.model_dump(mode="json", exclude={"name"})]
        return hashlib.blake2b(canonical(said), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruments:
    """What scorers may use beyond their own wits. `ask` sends a chat request and may cost money.

    It raises `evals.targets.port.TargetFailure`. `encode` raises OSError or ValueError, with advice, where no
    encoder is installed; it may take seconds the first time. `reference` has another run's answers, by case.
    """

    ask: Callable[[Mapping[str, Any]], Awaitable[Answer]]
    encode: Callable[[Sequence[str]], Vectors]
    candidate: str = ""
    """The name of the model or route whose answers are judged."""
    encoder: str = ""
    """What tells `encode` from another one, such as a hash of its weights: other vectors are other scores."""
    reference: Mapping[str, str] = field(default_factory=dict)


class Scorer(Protocol):
    """Judges answers. `version` is a hash of all that can change its scores."""

    kind: ClassVar[str]
    binary: bool
    """It says 0 or 1, and nothing between."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def model(self) -> str:
        """The model that is asked, or empty."""

    def lacks(self, case: Case) -> str:
        """What `case` would have to say so that answers to it can be judged; empty where nothing is missing.

        Raises ValueError where it says so, but wrongly.
        """

    async def score(self, case: Case, answer: Answer) -> Score:
        """The score of an answer, never of a failure.

        Only asked where `lacks` says nothing. Raises TargetFailure where a model had to be asked and failed."""
