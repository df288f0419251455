"""What curating left, as the gate looks at it: each part with its unknown questions, and what the traffic asks for.

The non-obvious decision: what the student is judged by stands for requests as they came, and not for the questions
that happen to be in a part. A suite's cases belong to no traffic; they tell how good an intent's answers are, and
the traffic tells how much that matters.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import Struct

from distill.student.child import StageFailed
from distill.student.curating.curate import DATA
from distill.student.curating.unknown import UNKNOWN_FILE, Unknown
from distill.student.examples import TEST, TRAIN, TUNE, Example, read_examples, read_lines
from heads.intents import UNKNOWN


@dataclass(frozen=True, kw_only=True)
class Parts:
    """`train` is what the student learned; `learned`, which heads learn from, all but `test`.
    `tune` and `test` have their unknown questions with them. `known` are the intents that the student learned.
    `shares` (1 together) are those of the traffic's requests, of each known intent and of all others as `UNKNOWN`.
    Requests whose answer was not good enough for any part count too: they are asked all the same.
    """

    train: Sequence[Example]
    learned: Sequence[Example]
    tune: Sequence[Example]
    test: Sequence[Example]
    known: frozenset[str]
    shares: Mapping[str, float]


class _Facts(Struct, frozen=True):
    """Of `data.json`, what is read here: requests by intent."""

    asked: Mapping[str, int]


def read_parts(folder: Path) -> Parts:
    """Raises StageFailed, OSError, or ValueError that names the line."""
    train, tune, test = (read_examples(folder / name) for name in (TRAIN, TUNE, TEST))
    others = list(read_lines(folder / UNKNOWN_FILE, Unknown))
    try:
        facts = msgspec.json.decode((folder / DATA).read_bytes(), type=_Facts)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"{folder / DATA} does not say what was asked ({error}): curate again") from error
    return parts_of(train, tune, test, others, facts.asked)


def parts_of(
    train: Sequence[Example],
    tune: Sequence[Example],
    test: Sequence[Example],
    others: Sequence[Unknown],
    asked: Mapping[str, float],
) -> Parts:
    """`asked` are requests by intent. Raises StageFailed where a part has nothing in it."""
    for name, part in ((TRAIN, train), (TUNE, tune), (TEST, test)):
        if not part:
            raise StageFailed(f"{name} has no examples: curate more of the traffic, or give a suite.")
    known = frozenset(one.intent for one in train)
    of = {part: [one for one in others if one.part == part] for part in ("train", "tune", "test")}
    tuned, tested = [*tune, *of["tune"]], [*test, *of["test"]]
    return Parts(
        train=train,
        learned=[*train, *of["train"], *tuned],
        tune=tuned,
        test=tested,
        known=known,
        shares=_shares(asked, known),
    )


def _shares(asked: Mapping[str, float], known: frozenset[str]) -> dict[str, float]:
    requests: defaultdict[str, float] = defaultdict(float)
    for intent, many in asked.items():
        requests[intent if intent in known else UNKNOWN] += many
    total = sum(requests.values())
    if not total:
        raise StageFailed("No question stands for any request of the traffic: curate some of the traffic.")
    return {stratum: many / total for stratum, many in sorted(requests.items())}
