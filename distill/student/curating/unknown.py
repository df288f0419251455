"""Questions that a student must be kept away from: of intents that were not picked, and of none.

They are in parts like examples: on those of `train` the student's intents are told apart from all else, and on the
others it is seen whether they are.
"""

from __future__ import annotations

from distill.student.curating.parting import Part
from distill.student.examples import Example

UNKNOWN_FILE = "unknown.jsonl"


class Unknown(Example, frozen=True, kw_only=True):
    """`intent` is what mining called it. `answer` is what is known to be said, or empty: no student learns it."""

    part: Part
    answer: str = ""
